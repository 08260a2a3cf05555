"""Finds a file of weights on disk, in a package, or on the Hugging Face Hub."""

import contextlib
import importlib.util
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from al_jax import errors

# In place of a file, if the caller that builds the network sets its weights.
ELSEWHERE = 'elsewhere'
_PREFIX, _PACKAGED = 'hub:', 'package:'
_FORM = 'hub:OWNER/NAME, optionally followed by @REVISION and :FILE'
_ADDRESS = re.compile(
  r'hub:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?'
  r'(:(?P<file>[^:\\]+))?',
  re.ASCII,
)
# Usual names of published weights, in the order in which they are tried.
_USUAL = ('model.safetensors', 'pytorch_model.bin')
_SECONDS = 10
_ELSEWHERE = 'download the file elsewhere and give its path'


def locate(where: str) -> pathlib.Path:
  """Finds a file of weights, downloading it if it is on the hub.

  A download stays in the cache of the `huggingface_hub` package. A cached file
  is used without network access, so a branch such as `main` stays as it was
  first downloaded; give a commit as REVISION to choose another.

  Args:
    where: path of a file; `package:NAME/FILE`, a file in an installed package;
      or `hub:OWNER/NAME`, optionally followed by `@REVISION` and `:FILE`, for
      example `hub:timm/resnet50.a1_in1k`. The default file is
      `model.safetensors`, or else `pytorch_model.bin`.

  Returns:
    Path of the file on this machine.

  Raises:
    OSError: If there is no such file, repository or revision, or the hub cannot
      be reached.
    ValueError: If the path is a folder, or the address on the hub is malformed.
  """
  if not isinstance(where, str) or not where:
    raise ValueError(
      f'weights is {where!r}; it must be the path of a file, package:NAME/FILE '
      'or hub:OWNER/NAME.'
    )
  if where.startswith(_PREFIX):
    return _on_hub(where)
  if where.startswith(_PACKAGED):
    return _in_package(where)
  path = pathlib.Path(os.path.expanduser(where))
  if path.is_dir():
    raise ValueError(f'{path} is a folder; give the path of a file in it.')
  if not path.is_file():
    raise FileNotFoundError(
      f'There is no file {path}; give the path of a file of weights, or '
      'hub:OWNER/NAME to download one.'
    )
  return path


def named_in(options: Mapping[str, Any]) -> list[pathlib.Path]:
  """Lists the files that are named in the options of a network.

  Args:
    options: options of a network, by name.

  Returns:
    Paths, in the order of the options.
  """
  found = []
  for value in options.values():
    is_text = isinstance(value, str)
    if is_text and value.startswith((_PREFIX, _PACKAGED)):
      found.append(locate(value))
    elif is_text and os.path.isfile(os.path.expanduser(value)):
      found.append(pathlib.Path(os.path.expanduser(value)))
  return found


def _in_package(where):
  name, _, file = where.removeprefix(_PACKAGED).partition('/')
  # A name without a dot: `find_spec` would import the parent of a dotted one.
  found = None
  if name.isidentifier():
    # `find_spec` raises it for a module that was not imported from a file.
    with contextlib.suppress(ValueError):
      found = importlib.util.find_spec(name)
  if found is None:
    raise FileNotFoundError(
      f'{where}: there is no package {name!r} here; install it, or give the '
      'path of a file of weights.'
    )
  for folder in found.submodule_search_locations or ():
    path = pathlib.Path(folder) / file
    if path.is_file():
      return path
  raise FileNotFoundError(
    f'{where}: the package {name!r} has no file {file!r}.'
  )


def _on_hub(where):
  parts = _ADDRESS.fullmatch(where)
  if parts is None or any(
    not part.strip('.')
    for group in parts.groupdict().values()
    if group is not None
    for part in group.split('/')
  ):
    raise ValueError(f'{where!r} is no address on the hub; write {_FORM}.')
  names = _USUAL if parts['file'] is None else (parts['file'],)
  for name in names:
    path = _path_of(where, parts['repository'], parts['revision'], name)
    if path is not None:
      return pathlib.Path(path)
  raise FileNotFoundError(
    f'{where}: the repository {parts["repository"]} has no file '
    f'{" or ".join(names)}; look at its files on its page and write '
    f'hub:{parts["repository"]}:FILE.'
  )


@errors.needs('an address that begins with hub:')
def _path_of(where, repository, revision, name):
  """Returns a file's path in the cache; None if the repository lacks it."""
  import huggingface_hub
  from huggingface_hub import utils

  try:
    return _download(huggingface_hub, repository, revision, name)
  except utils.LocalEntryNotFoundError as error:
    # A network error, although it is a subclass of the next one.
    raise _unreachable(where, error) from error
  except utils.EntryNotFoundError:
    return None
  except utils.GatedRepoError as error:
    raise PermissionError(
      f'{where}: access to {repository} is restricted; request it on its page '
      f'and log in with hf auth login, or {_ELSEWHERE}.'
    ) from error
  except utils.RepositoryNotFoundError as error:
    raise FileNotFoundError(
      f'{where}: there is no repository {repository}, or it is private; check '
      'the name at https://huggingface.co/models, or log in with hf auth login.'
    ) from error
  except utils.RevisionNotFoundError as error:
    raise FileNotFoundError(
      f'{where}: {repository} has no revision {revision or "main"}; give a '
      'branch, a tag or a commit of it.'
    ) from error
  except utils.HFValidationError as error:
    raise ValueError(
      f'{where!r} is no address on the hub ({errors.clause(error)}); write '
      f'{_FORM}.'
    ) from error
  # Versions of the package use requests, httpx or httpx2, whose errors have no
  # class in common.
  except Exception as error:
    raise _unreachable(where, error) from error


def _download(package, repository, revision, name):
  # The package reads the variables only when it is imported.
  endpoint = (os.environ.get('HF_ENDPOINT') or '').rstrip('/') or None
  place = {
    'revision': revision,
    'cache_dir': os.environ.get('HF_HUB_CACHE') or None,
  }
  cached = package.try_to_load_from_cache(repository, name, **place)
  if isinstance(cached, str):
    return cached
  if cached is not None:
    return None  # The cache knows that the file does not exist.
  # Try once first: `hf_hub_download` tries for minutes to reach a hub.
  url = package.hf_hub_url(
    repository, name, revision=revision, endpoint=endpoint
  )
  # If the file is missing, the call below raises, and caches that it is.
  with contextlib.suppress(package.utils.EntryNotFoundError):
    package.get_hf_file_metadata(url, timeout=_SECONDS)
  return package.hf_hub_download(
    repository, name, endpoint=endpoint, etag_timeout=_SECONDS, **place
  )


def _unreachable(where, error):
  return ConnectionError(
    f'{where} cannot be downloaded ({errors.clause(error)}); {_ELSEWHERE}.'
  )

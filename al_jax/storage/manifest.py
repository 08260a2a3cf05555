"""Manifest of a run: enough to tell whether two runs are one experiment."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

import al_jax
from al_jax import files, tasks
from al_jax.data import dataset as dataset_lib
from al_jax.storage import _form, records

_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')
_GIT_SECONDS = 10

_NAME = 'manifest.json'
# Result files, which are not written again once a run has finished.
_RESULTS = ('records.jsonl', 'full_labels.jsonl', 'pretraining.jsonl')


def build(
  config: Mapping[str, Any], dataset: dataset_lib.Dataset
) -> dict[str, Any]:
  """Describes a run that starts now, as JSON values.

  Args:
    config: the resolved configuration, nested mappings and sequences of plain
      values; tuples become lists.
    dataset: data set of the run, after its transforms.

  Returns:
    A dict with `config`, `data`, `records_format`, `versions`, `device`,
    `platform`, `git`, `command` and `started` (UTC). `git` is None if the code
    does not run from a checkout.
  """
  devices = jax.devices()
  return {
    'config': plain_config(config),
    'data': _data_facts(dataset),
    'records_format': records.FORMAT,
    'versions': {
      'python': platform.python_version(),
      'al_jax': al_jax.__version__,
      **{name: importlib.metadata.version(name) for name in _PACKAGES},
    },
    'device': {
      'platform': devices[0].platform,
      'kind': devices[0].device_kind,
      'count': len(devices),
    },
    'platform': platform.platform(),
    'git': git_state(__file__),
    'command': command(),
    'started': now(),
  }


def now() -> str:
  """Returns the time in UTC, to the second."""
  return datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')


def plain_config(config: Any, *, name: str = 'config') -> Any:
  """Converts a configuration to JSON values and non-finite floats.

  Args:
    config: nested mappings and sequences of plain values.
    name: name of the configuration in error messages.

  Returns:
    The configuration as dicts, lists and plain values.

  Raises:
    ValueError: a value has another type; the message names its field.
  """
  if isinstance(config, Mapping):
    return {
      str(key): plain_config(value, name=f'{name}.{key}')
      for key, value in config.items()
    }
  if isinstance(config, list | tuple):
    return [
      plain_config(value, name=f'{name}[{position}]')
      for position, value in enumerate(config)
    ]
  if isinstance(config, np.generic):
    config = config.item()
  if config is None or isinstance(config, str | int | float):
    return config
  way = ''
  if callable(config):
    way = ' Name your own function by its dotted path: my_module.my_function.'
  raise ValueError(
    f'{name} is {config!r}; a manifest holds numbers, strings, booleans, None, '
    f'and mappings and sequences of these.{way}'
  )


def write(path: files.Path, manifest: dict[str, Any]) -> None:
  """Writes a manifest as indented JSON, replacing the file as a whole."""
  text = json.dumps(files.json_value(manifest), indent=2, allow_nan=False)
  with files.replacing(path) as partial:
    partial.write_text(text + '\n', encoding='utf-8')


def read(path: files.Path) -> dict[str, Any]:
  """Reads a manifest that `write` wrote.

  Args:
    path: path of the file.

  Returns:
    Fields of the manifest. Any may be absent; the types of the others are
    checked.

  Raises:
    ValueError: the file is damaged, or its records have a later format; the
      message is one line.
  """
  try:
    manifest = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(f'{path} is not a manifest: {error}') from error
  if not isinstance(manifest, dict):
    raise ValueError(f'{path} is not a manifest: it holds no JSON object.')
  _form.check(path, manifest)
  own = manifest.get('digests', {}).get(_NAME)
  if own is not None and own != _own_digest(manifest):
    raise _form.damaged(path, 'it does not match its own checksum')
  if (found := manifest.get('records_format', 1)) > records.FORMAT:
    raise ValueError(
      f'{path} has records_format {found}; this version of al_jax reads up to '
      f'{records.FORMAT}: update al_jax.'
    )
  return manifest


def finished(
  folder: pathlib.Path, manifest: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns the final manifest of a run that has just finished.

  Args:
    folder: folder of the run, with all its results.
    manifest: manifest from the start of the run.

  Returns:
    The manifest with `finished` (UTC), and with the checksums of the results
    and of itself by file name.
  """
  paths = [folder / name for name in _RESULTS]
  digests = {path.name: files.checksum(path) for path in paths if path.exists()}
  about = {**manifest, 'finished': now(), 'digests': digests}
  return {**about, 'digests': {**digests, _NAME: _own_digest(about)}}


def task_of(manifest: Mapping[str, Any]) -> tasks.Task:
  """Returns the task of a run; curves and tables show its headline metric.

  Args:
    manifest: manifest from `read`. Those of earlier versions have a number of
      classes in place of a task.
  """
  facts = manifest.get('data', {})
  if 'task' in facts:
    return tasks.from_json(facts['task'])
  return tasks.numbered(facts.get('num_classes', 1))


def declared(metric: tasks.Metric) -> dict[str, Any]:
  """Describes a learner's own metric for a manifest."""
  fields = metric._asdict()
  defaults = metric._field_defaults
  return {
    name: value
    for name, value in fields.items()
    if name != 'name' and (name not in defaults or value != defaults[name])
  }


def report_metrics_of(manifest: Mapping[str, Any]) -> tuple[tasks.Metric, ...]:
  """Returns the metrics that learners themselves declare, see `Report`.

  Args:
    manifest: manifest from `read`; most declare none.
  """
  declared = manifest.get('report_metrics', {})
  return tuple(tasks.Metric(name, **of) for name, of in declared.items())


def missing_files(
  folder: pathlib.Path, manifest: Mapping[str, Any]
) -> list[str]:
  """Compares the results of a finished run with their checksums.

  Args:
    folder: folder of the run.
    manifest: manifest read from there. Unfinished runs and runs of earlier
      versions have no checksums.

  Returns:
    Names of the missing files.

  Raises:
    ValueError: a file has changed.
  """
  digests = manifest.get('digests', {})
  missing = []
  for name in _RESULTS:
    path = folder / name
    if name not in digests:
      continue
    if not path.exists():
      missing.append(name)
    elif files.checksum(path) != digests[name]:
      raise ValueError(
        f'{path} has changed since the run finished (it does not match its '
        'checksum in manifest.json): put a copy of it back, or delete it and '
        'repeat the command of the run, which writes it again from the '
        'checkpoints.'
      )
  return missing


def _own_digest(manifest):
  """Hashes a manifest without its own checksum, in the form on disk."""
  digests = {**manifest.get('digests', {})}
  digests.pop(_NAME, None)
  return files.digest(files.json_value({**manifest, 'digests': digests}))


def config_difference(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[str]:
  """Lists the differences between two configurations, for people to read.

  Args:
    old: configuration from a manifest. NaN and infinities may be floats, as
      `build` makes them, or strings, as `read` returns them.
    new: configuration to compare with.

  Returns:
    A line `field.subfield: old -> new` for each value that differs, in the
    order of the fields; none if there is no difference. An empty mapping that
    gains or loses a subfield has no line of its own.
  """
  old_leaves = dict(_leaves(files.json_value(old)))
  new_leaves = dict(_leaves(files.json_value(new)))
  lines = []
  names = dict.fromkeys([*old_leaves, *new_leaves])
  for name in names:
    value = old_leaves.get(name, new_leaves.get(name))
    if value == {} and any(other.startswith(f'{name}.') for other in names):
      continue
    before = _shown(old_leaves, name)
    after = _shown(new_leaves, name)
    if before != after:
      lines.append(f'{name}: {before} -> {after}')
  return lines


def _leaves(
  values: Mapping[str, Any], prefix: str = ''
) -> Iterator[tuple[str, Any]]:
  for key, value in values.items():
    # An empty mapping counts as a value, because it has no leaves.
    if isinstance(value, Mapping) and value:
      yield from _leaves(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def _shown(leaves: Mapping[str, Any], name: str) -> str:
  return repr(leaves[name]) if name in leaves else '(absent)'


def command(*, without: str | None = None) -> str:
  """Returns the command line of this process, quoted for a shell.

  Args:
    without: name of a Boolean flag to leave out.
  """
  return without_flag(shlex.join(_typed()), without or '')


def without_flag(command: str, name: str) -> str:
  """Removes a Boolean flag from a command line.

  Args:
    command: command line for a shell. It is returned unchanged if it cannot be
      parsed.
    name: name of the flag, without hyphens.
  """
  flags = {f'-{name}', f'--{name}'} if name else set()
  try:
    words = shlex.split(command)
  except ValueError:
    return command
  return shlex.join(word for word in words if word.split('=')[0] not in flags)


def _typed() -> list[str]:
  """Returns the words of the command line, `al-jax` without interpreter."""
  interpreter, *words = sys.orig_argv
  if not words or pathlib.Path(words[0]).stem != 'al-jax':
    return [interpreter, *words]
  found = shutil.which('al-jax')
  if found and os.path.realpath(found) == os.path.realpath(words[0]):
    words[0] = 'al-jax'
  return words


def _data_facts(dataset: dataset_lib.Dataset) -> dict[str, Any]:
  validation = dataset.validation
  return {
    'name': dataset.name,
    'fingerprint': dataset.fingerprint,
    'train': len(dataset.train),
    'validation': 0 if validation is None else len(validation),
    'test': 0 if dataset.test is None else len(dataset.test),
    'task': tasks.to_json(dataset.task),
    'normalize': dataset.normalize,
    'majority': majority(dataset),
  }


def majority(dataset: dataset_lib.Dataset) -> dict[str, float]:
  """Returns the share of the most frequent class in each split with classes.

  It is the accuracy of a network that always predicts that class.

  Args:
    dataset: the data set.
  """
  return {
    name: float(np.max(np.bincount(classes)) / len(classes))
    for name, classes in _classes(dataset).items()
  }


def _classes(dataset: dataset_lib.Dataset) -> dict[str, np.ndarray]:
  """Returns class numbers by split, for the splits that have classes."""
  found = {
    name: dataset.task.strata(split.targets)
    for name, split in (('train', dataset.train), ('test', dataset.test))
    if split is not None and split.targets is not None
  }
  return {name: of for name, of in found.items() if of is not None}


def git_state(source: files.Path) -> dict[str, Any] | None:
  """Returns the commit that a source file belongs to, or None.

  Args:
    source: a file. If git does not track it (an installed package in an
      environment inside another checkout), it belongs to no commit.

  Returns:
    `{'commit': hexadecimal, 'dirty': whether tracked files differ from it}`.
  """
  source = pathlib.Path(source)
  try:
    _git(source.parent, 'ls-files', '--error-unmatch', source.name)
    commit = _git(source.parent, 'rev-parse', 'HEAD')
    changes = _git(
      source.parent, 'status', '--porcelain', '--untracked-files=no'
    )
  except (OSError, subprocess.SubprocessError):
    return None
  return {'commit': commit, 'dirty': bool(changes)}


def _git(folder: pathlib.Path, *arguments: str) -> str:
  finished = subprocess.run(
    ['git', *arguments],
    cwd=folder,
    # A run must not lock the index, which its user may be working with.
    env={**os.environ, 'GIT_OPTIONAL_LOCKS': '0'},
    capture_output=True,
    check=True,
    text=True,
    timeout=_GIT_SECONDS,
  )
  return finished.stdout.strip()

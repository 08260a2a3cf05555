"""One string or dict names a data set: `load(spec) -> Dataset`."""

import importlib
import inspect
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from al_jax import errors
from al_jax.data import cache, checks
from al_jax.data.dataset import Dataset, RawData
from al_jax.data.moments import NORMALIZATIONS, constants

# Each has `read(location, **options) -> RawData`. Imported when asked for.
_SOURCES = {
  'digits': 'al_jax.data.digits',
  'file': 'al_jax.data.files',
  'images': 'al_jax.data.images',
  'openml': 'al_jax.data.openml',
  'tfds': 'al_jax.data.tfds',
}
_FORMS = {
  'digits': 'digits',
  'file': 'file:PATH',
  'images': 'images:FOLDER',
  'openml': 'openml:ID',
  'tfds': 'tfds:NAME or tfds:NAME:VERSION',
}
_NOT_CACHED = ('digits',)  # quicker to read than to look up


class _Spec(NamedTuple):
  """A spec, taken apart and checked.

  Attributes:
    source: the string that names the source.
    scheme: what is before its first colon.
    location: what is after.
    options: of the source's `read`.
    transforms: functions with their options.
    normalize: see `moments.constants`; None: by the kind of data.
  """

  source: str
  scheme: str
  location: str
  options: dict[str, Any]
  transforms: list[tuple[Callable[..., RawData], dict[str, Any]]]
  normalize: str | None


def load(
  spec: str | Mapping[str, Any],
  *,
  cache_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
  """Reads a data set, checks it, and finds what normalises it.

  Decoded arrays are kept in a cache (see `al_jax.data.cache`) and memory-mapped
  from there, keyed by the options and by name, size and time of the files read.
  Transforms come after the cache.

  Args:
    spec: names a source: `'digits'`, `'tfds:NAME'`, `'openml:ID'`,
      `'file:PATH'` or `'images:FOLDER'`. Or a dict that has it as `'source'`,
      and maybe options of the source's `read`; `'transforms'`, a list of dicts
      with `'name'` and the options of that transform (`al_jax.data.transforms`),
      applied in order; and `'normalize'`: `'channel'`, `'feature'` or `'none'`
      (see `moments.constants`), by default `'channel'` for pictures and
      `'none'` for all else, as the published experiments on tables have it.
    cache_dir: the folder of decoded data; None: the environment variable
      AL_JAX_CACHE_DIR, or else `~/.cache/al_jax`.

  Returns:
    A Dataset.

  Raises:
    ValueError: the spec is not one, with the closest name that is; or the data
      cannot be learnt from, with the first place where (see `checks.check`).
    FileNotFoundError: the data are not there.
  """
  parsed = _parse(spec)
  examined = _read(parsed, cache_dir)
  if parsed.transforms:
    raw = examined.raw
    for transform, options in parsed.transforms:
      raw = transform(raw, **options)
    examined = checks.examine(raw)
  raw = examined.raw
  normalize = parsed.normalize or ('channel' if raw.is_image else 'none')
  mean, std = constants(examined.train_moments, normalize)
  return Dataset(
    name=raw.name,
    train=raw.train,
    test=raw.test,
    validation=raw.validation,
    class_names=raw.class_names,
    mean=mean,
    std=std,
    fingerprint=examined.fingerprint,
    is_image=raw.is_image,
  )


def _read(
  parsed: _Spec, cache_dir: str | os.PathLike[str] | None
) -> checks.Examined:
  """What the source gives, from the cache where it can be."""
  module = importlib.import_module(_SOURCES[parsed.scheme])

  def build() -> checks.Examined:
    return checks.examine(module.read(parsed.location, **parsed.options))

  if parsed.scheme in _NOT_CACHED:
    return build()
  if parsed.scheme == 'tfds':
    accepted = inspect.signature(module.source_files).parameters
    files = module.source_files(
      parsed.location,
      **{k: v for k, v in parsed.options.items() if k in accepted},
    )
  else:
    files = _files_named(parsed.location, parsed.options.values())
  key = {
    'source': parsed.source,
    'options': {name: repr(v) for name, v in parsed.options.items()},
    'files': [_identity(path) for path in files],
  }
  return cache.open_or_build(parsed.source, key, build, cache_dir=cache_dir)


def _files_named(location: str, values: Iterable[Any]) -> list[pathlib.Path]:
  """All files that a location or an option names, or that a folder has.

  What names no file adds none: an option may be a path or something else.
  """
  base = pathlib.Path(location).expanduser()
  named = [base]
  for value in values:
    if isinstance(value, str | os.PathLike):
      path = pathlib.Path(value).expanduser()
      named += [path, base / path, base.parent / path]
  files = set()
  for path in named:
    if path.is_dir():
      files |= {inner for inner in path.rglob('*') if inner.is_file()}
    elif path.is_file():
      files.add(path)
  return sorted(files)


def _identity(path: pathlib.Path) -> list[Any]:
  """What is taken to change when the content of a file does."""
  status = path.stat()
  return [path.name, status.st_size, status.st_mtime_ns]


def _parse(spec: str | Mapping[str, Any]) -> _Spec:
  """Takes a spec apart; raises if any name in it is not known."""
  if isinstance(spec, str):
    spec = {'source': spec}
  if not isinstance(spec, Mapping) or not isinstance(spec.get('source'), str):
    raise ValueError(
      f"a data set is named by a string, or by a dict with 'source', not "
      f'{spec!r}. Sources: {", ".join(_FORMS.values())}.'
    )
  source = spec['source']
  scheme, _, location = source.partition(':')
  if scheme not in _SOURCES:
    raise errors.unknown_name('data source', scheme, _SOURCES)
  if not location and _FORMS[scheme] != scheme:
    raise ValueError(f'{source!r} must be of the form {_FORMS[scheme]}.')
  own = ('source', 'transforms', 'normalize')
  options = {name: value for name, value in spec.items() if name not in own}
  read = importlib.import_module(_SOURCES[scheme]).read
  _check_options(f'option of {scheme}', read, options, also=own)
  normalize = spec.get('normalize')
  if normalize is not None and normalize not in NORMALIZATIONS:
    raise errors.unknown_name('normalize', normalize, NORMALIZATIONS)
  transforms = _parse_transforms(spec.get('transforms') or ())
  return _Spec(source, scheme, location, options, transforms, normalize)


def _parse_transforms(
  transforms: Sequence[Mapping[str, Any]],
) -> list[tuple[Callable[..., RawData], dict[str, Any]]]:
  """The functions by their names, with their options."""
  if not transforms:
    return []
  known = importlib.import_module('al_jax.data.transforms').TRANSFORMS
  found = []
  for transform in transforms:
    if not isinstance(transform, Mapping) or 'name' not in transform:
      raise ValueError(
        f"a transform is a dict with 'name' and its options, not "
        f'{transform!r}. Transforms: {", ".join(known)}.'
      )
    options = dict(transform)
    name = options.pop('name')
    if name not in known:
      raise errors.unknown_name('transform', name, known)
    _check_options(
      f'option of the transform {name!r}', known[name], options, also=('name',)
    )
    found.append((known[name], options))
  return found


def _check_options(
  what: str,
  function: Callable[..., RawData],
  options: Mapping[str, Any],
  *,
  also: Sequence[str],
) -> None:
  """Raises if an option is not one of the function's, or one is missing."""
  accepted = {
    name: parameter
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
  }
  for name in options:
    if name not in accepted:
      raise errors.unknown_name(what, name, [*accepted, *also])
  for name, parameter in accepted.items():
    if parameter.default is inspect.Parameter.empty and name not in options:
      raise ValueError(f'{what}: {name} must be given.')

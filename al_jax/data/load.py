"""One string or dict names a data set: `load(spec) -> Dataset`."""

import functools
import importlib
import inspect
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from al_jax import errors, parts
from al_jax.data import cache, checks, identity, named
from al_jax.data.dataset import Dataset, RawData
from al_jax.data.moments import NORMALIZATIONS, constants_of
from al_jax.data.transforms import apply_transforms, check_transforms


class _Format(NamedTuple):
  """A format that data are read from.

  Attributes:
    module: has `read(location, **options) -> RawData`; imported when needed.
    form: how a spec names it.
    files: `(location, options) -> paths`, the files that are read. They and the
      options are the key of the cache. If None, nothing is cached.
  """

  module: str
  form: str
  files: Callable[[str, Mapping[str, Any]], Sequence[pathlib.Path]] | None


def _files_named(
  location: str, options: Mapping[str, Any]
) -> list[pathlib.Path]:
  """All files that the location or an option names, or that a folder has.

  What names no file adds none: an option may be a path or something else.
  """
  base = pathlib.Path(location).expanduser()
  named = [base]
  for value in options.values():
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


def _ensure_tfds_prepared(
  location: str, options: Mapping[str, Any]
) -> list[pathlib.Path]:
  """Prepares a set that is absent, if that can be, and lists its files."""
  from al_jax.data.sources import tfds

  return tfds.ensure_prepared(location, data_dir=options.get('data_dir'))


def _files_of_canvases(
  location: str, options: Mapping[str, Any]
) -> Sequence[pathlib.Path]:
  """Lists the files that the digits on canvases are read from."""
  from al_jax.data.sources import canvases

  return canvases.files(location, options)


_FORMATS = {
  'detect': _Format(
    'al_jax.data.sources.canvases.detect', 'detect:DIGITS', _files_of_canvases
  ),
  # Quicker to read than to look up.
  'diabetes': _Format('al_jax.data.sources.diabetes', 'diabetes', None),
  'digits': _Format('al_jax.data.sources.digits', 'digits', None),
  # Keeps what it makes by itself, whatever the pictures come from.
  'embed': _Format('al_jax.models.backbones.embedding', 'embed:DATA', None),
  'file': _Format('al_jax.data.sources.files', 'file:PATH', _files_named),
  'images': _Format(
    'al_jax.data.sources.images', 'images:FOLDER', _files_named
  ),
  'keypoints': _Format(
    'al_jax.data.sources.canvases.keypoints',
    'keypoints:DIGITS',
    _files_of_canvases,
  ),
  'modalities': _Format(
    'al_jax.data.sources.modalities', 'modalities:FOLDER', _files_named
  ),
  # OpenML never changes what an id stands for.
  'openml': _Format('al_jax.data.sources.openml', 'openml:ID', lambda *_: ()),
  'tfds': _Format(
    'al_jax.data.sources.tfds',
    'tfds:NAME or tfds:NAME:VERSION',
    _ensure_tfds_prepared,
  ),
}


class _Spec(NamedTuple):
  """A spec, taken apart and checked.

  Attributes:
    source: the string that names the source.
    read: `(**options) -> RawData`.
    files: `(options) -> paths`, the key of the cache; None: nothing is cached.
    options: of `read`.
    transforms: names with their options.
    normalize: see `moments.constants`; None: by the kind of data.
  """

  source: str
  read: Callable[..., RawData]
  files: Callable[[Mapping[str, Any]], Sequence[pathlib.Path]] | None
  options: dict[str, Any]
  transforms: Sequence[Mapping[str, Any]]
  normalize: str | None


@errors.needs('al_jax.load')
def load(
  spec: str | Mapping[str, Any],
  *,
  cache_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
  """Reads a data set, checks it, and finds what normalises it.

  Decoded arrays are kept in a cache (see `al_jax.data.cache`) and memory-mapped
  from there, keyed by the options and by name, size and content of the files
  read (see `al_jax.data.identity`).
  Transforms come after the cache.

  Args:
    spec: names a source: `'digits'`, `'diabetes'`, `'tfds:NAME'`,
      `'openml:ID'`, `'file:PATH'`, `'images:FOLDER'`, `'modalities:FOLDER'`,
      `'keypoints:mnist'` or `'detect:mnist'`; `'embed:tfds:cifar10'` for what a
      published network makes of pictures; or a function of yours that
      returns RawData or a Dataset, by a dotted path. Arrays and frames go to
      `Dataset.from_arrays`. Or a dict
      that has it as `'source'`, and maybe options of the source's `read`;
      `'transforms'`, a list as `transforms.apply_transforms` takes it; and
      `'normalize'`: `'channel'`, `'feature'` or `'none'` (see
      `moments.constants`), by default `'channel'` for pictures and for each of
      several modalities and `'feature'` for all else: tables.
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
  return _finished(
    parsed.source,
    _read(parsed, cache_dir),
    transforms=parsed.transforms,
    normalize=parsed.normalize,
  )


def finished(
  source: str,
  raw: RawData,
  *,
  transforms: Sequence[Mapping[str, Any]],
  normalize: str | None,
) -> Dataset:
  """Checks data that were read, and finds what normalises them.

  Args:
    source: what warnings call the data.
    raw: the data.
    transforms: see `load`.
    normalize: see `load`.

  Returns:
    A Dataset.
  """
  _check_options(transforms, normalize)
  return _finished(
    source, checks.examine(raw), transforms=transforms, normalize=normalize
  )


def _finished(source, examined, *, transforms, normalize):
  """Likewise, of data that were checked."""
  for remark in examined.raw.remarks:
    logging.warning('%s: %s', source, remark)
  if transforms:
    examined = checks.examine(apply_transforms(examined.raw, transforms))
  raw = examined.raw
  _warn_if_constant(source, examined.train_moments, raw.train.targets)
  scaled = raw.is_image or isinstance(raw.train.inputs, dict)
  normalize = normalize or raw.normalize or ('channel' if scaled else 'feature')
  mean, std = constants_of(examined.train_moments, normalize)
  return Dataset(
    name=raw.name,
    train=raw.train,
    test=raw.test,
    validation=raw.validation,
    task=raw.task,
    mean=mean,
    std=std,
    fingerprint=examined.fingerprint,
    is_image=raw.is_image,
    normalize=normalize,
    pictures=raw.pictures,
  )


def _warn_if_constant(source: str, train_moments: Any, targets: Any) -> None:
  """Warns of inputs and numbers to predict that never vary in training."""
  constant = [
    named.what(name)
    for name, found in named.arrays(train_moments).items()
    if not named.says_who_has(name) and not found.variance.any()
  ]
  # Of classes each has an example, and there are two or more.
  constant += [
    named.what(name, 'targets')
    for name, part in named.arrays(targets).items()
    if not np.ptp(part, axis=0).any()
  ]
  for what in constant:
    logging.warning(
      '%s: the %s of all training examples are the same: there is nothing '
      'to learn from them.',
      source,
      what,
    )


def _read(
  parsed: _Spec, cache_dir: str | os.PathLike[str] | None
) -> checks.Examined:
  """What the source gives, from the cache where it can be."""

  def build() -> checks.Examined:
    return checks.examine(parsed.read(**parsed.options))

  if parsed.files is None:
    return build()
  key = {
    'source': parsed.source,
    'options': {name: repr(v) for name, v in parsed.options.items()},
    'files': identity.of_files(parsed.files(parsed.options)),
  }
  return cache.open_or_build(parsed.source, key, build, cache_dir=cache_dir)


def _parse(spec: str | Mapping[str, Any]) -> _Spec:
  """Takes a spec apart; raises if any name in it is not known."""
  if isinstance(spec, str):
    spec = {'source': spec}
  if not isinstance(spec, str | Mapping) and (
    hasattr(spec, '__array__') or hasattr(spec, '__dlpack__')
  ):
    raise ValueError(
      f'a data set is named by a string; given is a {type(spec).__name__}. '
      'al_jax.Dataset.from_arrays(x, y) takes arrays and data frames.'
    )
  if not isinstance(spec, Mapping) or not isinstance(spec.get('source'), str):
    raise ValueError(
      f"a data set is named by a string, or by a dict with 'source', not "
      f'{spec!r}. Sources: {", ".join(s.form for s in _FORMATS.values())}.'
    )
  source = spec['source']
  called = f'data source {source.partition(":")[0]!r}'
  own = ('source', 'transforms', 'normalize')
  options = {name: value for name, value in spec.items() if name not in own}
  read, files, known = _reader_of(source)
  for name in options:
    if name not in known:
      raise errors.unknown_option(called, name, [*known, *own])
  errors.check_required(called, read, options)
  normalize, steps = spec.get('normalize'), spec.get('transforms')
  steps = () if steps is None else steps
  _check_options(steps, normalize)
  return _Spec(source, read, files, options, steps, normalize)


def _check_options(steps: Any, normalize: Any) -> None:
  """Raises ValueError for an unknown normalisation or transform."""
  if normalize is not None:
    errors.check_name('normalize', normalize, NORMALIZATIONS)
  check_transforms(steps)


def takes_classes(source: str) -> bool:
  """Tells whether a source can have examples that nobody has labelled.

  Args:
    source: see `load`.

  Returns:
    Whether it is one of the library's, with the option `classes`.
  """
  in_table = source.partition(':')[0] in _FORMATS
  return in_table and 'classes' in _reader_of(source)[2]


def _reader_of(
  source: str,
) -> tuple[Callable[..., RawData], Callable | None, list[str]]:
  """Returns how a source is read, its files, and the options it has."""
  scheme, _, location = source.partition(':')
  if scheme not in _FORMATS:
    return _own_reader(source, scheme)
  data_format = _FORMATS[scheme]
  if not location and data_format.form != scheme:
    raise ValueError(f'{source!r} must be of the form {data_format.form}.')
  read = importlib.import_module(data_format.module).read
  _, *known = inspect.signature(read).parameters  # without the location
  files = data_format.files
  if files is not None:
    files = functools.partial(files, location)
  return functools.partial(read, location), files, known


def _own_reader(source, scheme):
  """Likewise, of a function that a dotted path names; never of a file."""
  from al_jax.data.sources import files

  path = pathlib.Path(source).expanduser()
  meant = 'images' if path.is_dir() else 'file' if files.kind_of(path) else ''
  if meant:
    raise ValueError(
      f'data source {source!r} is a path without what it holds. Did you mean '
      f"'{meant}:{source}'?"
    )
  if path.exists() or not parts.is_dotted(source):
    raise errors.unknown_name('data source', scheme, _FORMATS)
  function = parts.find('data source', source, {})

  def read(**options):
    made = function(**options)
    if isinstance(made, Dataset):
      return made.as_raw()
    parts.check_made('data source', source, made, RawData)
    return made

  return read, None, errors.options_of(function)

"""Loads a data set by a string or a dict: `load(spec) -> Dataset`."""

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
  """A format of data.

  Attributes:
    module: module with `read(location, **options) -> RawData`; imported when
      needed.
    form: form of a spec, for messages.
    files: `(location, options) -> paths`, the files that are read. They and the
      options are the cache key. If None, nothing is cached.
  """

  module: str
  form: str
  files: Callable[[str, Mapping[str, Any]], Sequence[pathlib.Path]] | None


def _files_named(
  location: str, options: Mapping[str, Any]
) -> list[pathlib.Path]:
  """Lists files that the location or an option names, or has as a folder.

  Options that name no file are ignored: not every option is a path.
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
  """Prepares a set if it is absent, and lists its files."""
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
  # Reading is quicker than the cache.
  'diabetes': _Format('al_jax.data.sources.diabetes', 'diabetes', None),
  'digits': _Format('al_jax.data.sources.digits', 'digits', None),
  # Has its own cache of embeddings.
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
  # An OpenML id always stands for the same data.
  'openml': _Format('al_jax.data.sources.openml', 'openml:ID', lambda *_: ()),
  'tfds': _Format(
    'al_jax.data.sources.tfds',
    'tfds:NAME or tfds:NAME:VERSION',
    _ensure_tfds_prepared,
  ),
}


class _Spec(NamedTuple):
  """A parsed and checked spec.

  Attributes:
    source: string that names the source.
    read: `(**options) -> RawData`.
    files: `(options) -> paths`, part of the cache key. If None, nothing is
      cached.
    options: options for `read`.
    transforms: names of transforms with their options.
    normalize: see `moments.constants`. If None, the kind of data decides.
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
  """Reads and checks a data set, and computes its normalisation.

  Decoded arrays are cached (see `al_jax.data.cache`) and memory-mapped from
  there. The cache key is made of the options and of name, size and content of
  the files read (see `al_jax.data.identity`). Transforms run after the cache.
  Arrays and frames in memory go to `Dataset.from_arrays` instead.

  Args:
    spec: name of a source: `'digits'`, `'diabetes'`, `'tfds:NAME'`,
      `'openml:ID'`, `'file:PATH'`, `'images:FOLDER'`, `'modalities:FOLDER'`,
      `'keypoints:mnist'` or `'detect:mnist'`; `'embed:tfds:cifar10'` for the
      embeddings of pictures by a published network; or the dotted path of your
      own function that returns RawData or a Dataset. Or a dict with this name
      as `'source'`, and maybe with options of the source's `read`;
      `'transforms'`, a list for `transforms.apply_transforms`; and
      `'normalize'`: `'channel'`, `'feature'` or `'none'` (see
      `moments.constants`). The default is `'channel'` for pictures and
      modalities, and `'feature'` for tables.
    cache_dir: folder of decoded data. If None, the environment variable
      AL_JAX_CACHE_DIR, or else `~/.cache/al_jax`.

  Returns:
    A Dataset.

  Raises:
    ValueError: If the spec is not valid (the message suggests the closest
      name), or the data cannot be learnt from (the message names the first
      place, see `checks.check`).
    FileNotFoundError: If the data are not there.
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
  """Checks data, applies transforms and computes the normalisation.

  Args:
    source: name of the data in warnings.
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
  """Does the work of `finished` for data that are checked already."""
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
  """Warns if inputs or targets are the same for all training examples."""
  constant = [
    named.what(name)
    for name, found in named.arrays(train_moments).items()
    if not named.says_who_has(name) and not found.variance.any()
  ]
  # Classes are never constant: two or more have examples (see `checks`).
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
  """Reads the source, from the cache if possible, and checks it."""

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
  """Parses a spec; raises ValueError for an unknown name in it."""
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
  """Returns whether a source can read unlabelled examples.

  Args:
    source: see `load`.

  Returns:
    True for the library's sources with the option `classes`.
  """
  in_table = source.partition(':')[0] in _FORMATS
  return in_table and 'classes' in _reader_of(source)[2]


def _reader_of(
  source: str,
) -> tuple[Callable[..., RawData], Callable | None, list[str]]:
  """Returns a source's `read`, its `files`, and the names of its options."""
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
  """Does the work of `_reader_of` for a function named by a dotted path."""
  from al_jax.data.sources import files

  path = pathlib.Path(source).expanduser()
  meant = 'images' if path.is_dir() else 'file' if files.kind_of(path) else ''
  if meant:
    raise ValueError(
      f'data source {source!r} is a path without a format. Did you mean '
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

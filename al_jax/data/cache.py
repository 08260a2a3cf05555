"""Decoded arrays on disk, memory-mapped: a data set is decoded once.

An entry is a folder of `.npy` files and a manifest. It is written under a
temporary name and renamed when complete, so an entry with its final name is
complete. Later damage (data lost on a full disk, a flipped bit, an incomplete
copy) shows in sizes and checksums, which are compared at every opening. Entries
may be deleted at any time.

Checksums are CRC-32 of up to 256 blocks of 1 MiB per array, evenly spaced.
Arrays of up to 256 MiB are thus read whole, at 2.7 GB/s on the author's
machine. In larger arrays, damage to a part may go unnoticed.
"""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import warnings
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

import al_jax
from al_jax import files, tasks
from al_jax.data import named
from al_jax.data.checks import Examined
from al_jax.data.dataset import RawData, Split
from al_jax.data.moments import Moments

# Increase when the content of an entry or the decoding of sources changes.
_FORMAT = 4
_MANIFEST = 'manifest.json'
_BLOCK = 1 << 20
_MAX_BLOCKS = 256


class _DamagedError(Exception):
  """Raised for a damaged entry; the message describes the damage."""


def open_or_build(
  label: str,
  key: Mapping[str, Any],
  build: Callable[[], Examined],
  *,
  cache_dir: str | os.PathLike[str] | None = None,
) -> Examined:
  """Opens an entry, or builds and stores it.

  A damaged entry is rebuilt, with a warning. If two processes need the same
  entry, one builds it and the other waits.

  Args:
    label: readable start of the entry's name.
    key: everything that the content depends on, as JSON values.
    build: makes the content; its errors are passed on.
    cache_dir: folder of all entries. If None, the environment variable
      AL_JAX_CACHE_DIR, or else `~/.cache/al_jax`.

  Returns:
    The content, with inputs memory-mapped; or in memory, after a warning, if
    the folder is not writable.
  """
  root = files.cache_root(cache_dir)
  made_by = {'format': _FORMAT, 'version': al_jax.__version__}
  entry = root / f'{files.slug(label)}-{files.digest({**made_by, **key})}'
  found = _open_if_whole(entry)
  if found is not None:
    return found
  with contextlib.ExitStack() as stack:
    try:
      root.mkdir(parents=True, exist_ok=True)
      stack.enter_context(
        files.locked(
          entry, f'another process is building {entry}: waiting for it'
        )
      )
      found = _open_if_whole(entry)  # built while this process waited
      if found is not None:
        return found
      _remove_remains(entry)
    except OSError as error:
      _warn_not_kept(root, error)
      return build()
    content = build()
    try:
      _store(entry, content)
    except OSError as error:
      _warn_not_kept(root, error)
      return content
    # Reopened, so that inputs are memory-mapped from the first run on.
    return _open_if_whole(entry) or content


def _warn_not_kept(root: pathlib.Path, error: OSError) -> None:
  warnings.warn(
    f'decoded data cannot be kept in {root}: {error}. The run continues '
    f'without a cache. The variable {files.CACHE_VARIABLE} chooses another '
    'folder.',
    RuntimeWarning,
    stacklevel=3,
  )


def _remove_remains(entry: pathlib.Path) -> None:
  """Deletes a damaged entry and partial ones; the caller holds the lock."""
  for path in entry.parent.glob(f'{entry.name}.partial-*'):
    shutil.rmtree(path)
  if entry.exists():
    shutil.rmtree(entry)


def _arrays(content: Examined) -> dict[str, np.ndarray]:
  """Returns the arrays of an entry by file name, without ending."""
  arrays = {}
  for modality, moments in named.arrays(content.train_moments).items():
    arrays[_file_of('train_mean', modality)] = moments.mean
    arrays[_file_of('train_variance', modality)] = moments.variance
  for part, split in content.raw.parts().items():
    for modality, array in named.arrays(split.inputs).items():
      arrays[_file_of(f'{part}_inputs', modality)] = array
    for target, array in named.arrays(split.targets).items():
      arrays[_file_of(f'{part}_targets', target)] = array
    arrays[f'{part}_ids'] = split.ids
  return arrays


def _file_of(name: str, part: str) -> str:
  """Returns the file name of an array, without ending."""
  return f'{name}.{part}' if part else name


def _by_part(
  arrays: Mapping[str, np.ndarray], name: str
) -> np.ndarray | dict[str, np.ndarray] | None:
  """Returns the array of a name, a dict of its parts, or None."""
  if name in arrays:
    return arrays[name]
  start = f'{name}.'
  found = {
    file.removeprefix(start): array
    for file, array in arrays.items()
    if file.startswith(start)
  }
  return found or None


def _store(entry: pathlib.Path, content: Examined) -> None:
  """Writes an entry under a temporary name, then renames it."""
  partial = entry.with_name(
    f'{entry.name}.partial-{os.getpid()}-{secrets.token_hex(4)}'
  )
  partial.mkdir()
  try:
    stored = {}
    for name, array in _arrays(content).items():
      path = partial / f'{name}.npy'
      np.save(path, array, allow_pickle=False)
      stored[name] = {
        'bytes': path.stat().st_size,
        'checksum': _checksum(path),
        'dtype': array.dtype.str,
        'shape': list(array.shape),
      }
    facts = {
      'files': stored,
      'fingerprint': content.fingerprint,
      'is_image': content.raw.is_image,
      'name': content.raw.name,
      'remarks': list(content.raw.remarks),
      'task': tasks.to_json(content.raw.task),
    }
    manifest = {'digest': files.digest(facts), 'facts': facts}
    (partial / _MANIFEST).write_text(json.dumps(manifest, indent=2))
    partial.rename(entry)
  except BaseException:
    shutil.rmtree(partial, ignore_errors=True)
    raise


def _checksum(path: pathlib.Path) -> int:
  """Returns the CRC-32 of a file, or of some blocks of a large file."""
  size = path.stat().st_size
  num_blocks = -(-size // _BLOCK)
  blocks = range(num_blocks)
  if num_blocks > _MAX_BLOCKS:
    # Evenly spaced; includes the first and the last block.
    blocks = [
      i * (num_blocks - 1) // (_MAX_BLOCKS - 1) for i in range(_MAX_BLOCKS)
    ]
  checksum = 0
  with open(path, 'rb') as file:
    for block in blocks:
      file.seek(block * _BLOCK)
      checksum = zlib.crc32(file.read(_BLOCK), checksum)
  return checksum


def _open_if_whole(entry: pathlib.Path) -> Examined | None:
  """Opens an entry; returns None if it is absent, or damaged (and warns)."""
  try:
    return _open(entry)
  except FileNotFoundError:
    if not entry.exists():
      return None
    reason = 'a file is missing'
  except NotADirectoryError:
    return None
  except (_DamagedError, OSError, ValueError, KeyError, TypeError) as error:
    reason = f'{type(error).__name__}: {error}'
  warnings.warn(
    f'the cache entry {entry} is damaged and is rebuilt: {reason}.',
    RuntimeWarning,
    stacklevel=3,
  )
  return None


def _open(entry: pathlib.Path) -> Examined:
  """Opens an entry and compares it with its manifest."""
  manifest = json.loads((entry / _MANIFEST).read_text())
  facts = manifest['facts']
  if manifest['digest'] != files.digest(facts):
    raise _DamagedError('its manifest does not fit its own digest')
  arrays = {
    name: _open_array(entry, name, file)
    for name, file in facts['files'].items()
  }
  splits = {
    part: Split(
      inputs=_by_part(arrays, f'{part}_inputs'),
      # Copied into memory: small and read often.
      targets=jax.tree.map(np.array, _by_part(arrays, f'{part}_targets')),
      ids=np.array(arrays[f'{part}_ids']),
    )
    for part in ('train', 'test', 'validation')
    if f'{part}_ids' in arrays
  }
  raw = RawData(
    name=facts['name'],
    task=tasks.from_json(facts['task']),
    is_image=facts['is_image'],
    remarks=tuple(facts['remarks']),
    **splits,
  )
  variance = _by_part(arrays, 'train_variance')
  moments = named.mapped(
    lambda modality, mean: Moments(
      np.array(mean),
      np.array(variance[modality] if modality else variance),
    ),
    _by_part(arrays, 'train_mean'),
  )
  return Examined(raw, facts['fingerprint'], moments)


def _open_array(
  entry: pathlib.Path, name: str, file: Mapping[str, Any]
) -> np.ndarray:
  """Memory-maps an array; raises _DamagedError if it is not as listed."""
  path = entry / f'{name}.npy'
  if path.parent != entry or path.is_symlink():
    raise _DamagedError(f'its manifest names a file {name!r}')
  size = path.stat().st_size
  if size != file['bytes']:
    raise _DamagedError(f'{path.name} has {size} bytes, not {file["bytes"]}')
  if _checksum(path) != file['checksum']:
    raise _DamagedError(f'{path.name} does not fit its checksum')
  array = np.load(path, mmap_mode='r', allow_pickle=False)
  if array.dtype.str != file['dtype'] or list(array.shape) != file['shape']:
    raise _DamagedError(f'{path.name} is {array.dtype}{list(array.shape)}')
  return array

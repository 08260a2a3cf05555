"""Decoded arrays on disk, memory-mapped: a data set is decoded once.

An entry is a folder of `.npy` files and a manifest. It is written under another
name and renamed when it is whole, so what has the right name was finished; what
happened to it afterwards (a full disk that lost data, a flipped bit, a copy cut
off) shows in sizes and checksums, which every opening compares. Entries may be
deleted at any time.

Checksums are CRC-32 of up to 256 blocks of 1 MiB for each array, evenly spaced.
Arrays of up to 256 MiB are thereby read whole, at 2.7 GB/s on the machine this
was written on; of a larger one, damage to a part may go unnoticed.
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

# Counted up when the content of an entry, or how sources are decoded, changes.
_FORMAT = 4
_MANIFEST = 'manifest.json'
_BLOCK = 1 << 20
_MAX_BLOCKS = 256


class _DamagedError(Exception):
  """An entry is not what was once written; the message says in what."""


def open_or_build(
  label: str,
  key: Mapping[str, Any],
  build: Callable[[], Examined],
  *,
  cache_dir: str | os.PathLike[str] | None = None,
) -> Examined:
  """Opens an entry, or builds it and keeps it.

  Args:
    label: begins the name of the entry, for people who look into the folder.
    key: what the content depends on, in terms of JSON.
    build: makes the content. Its errors are passed on.
    cache_dir: the folder of all entries; None: the environment variable
      AL_JAX_CACHE_DIR, or else `~/.cache/al_jax`.

  Returns:
    The content, with inputs memory-mapped; from memory, after a warning, where
    the folder cannot be written to. A damaged entry is built anew, with a
    warning. Of two processes that want the same entry one builds, the other
    waits.
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
    # Memory-mapped from now on, as it will be next time.
    return _open_if_whole(entry) or content


def _warn_not_kept(root: pathlib.Path, error: OSError) -> None:
  warnings.warn(
    f'decoded data cannot be kept in {root}: {error}. The run goes on without '
    f'a cache. The variable {files.CACHE_VARIABLE} chooses another folder.',
    RuntimeWarning,
    stacklevel=3,
  )


def _remove_remains(entry: pathlib.Path) -> None:
  """Deletes a damaged entry, and what killed processes left; under the lock."""
  for path in entry.parent.glob(f'{entry.name}.partial-*'):
    shutil.rmtree(path)
  if entry.exists():
    shutil.rmtree(entry)


def _arrays(content: Examined) -> dict[str, np.ndarray]:
  """What an entry has files of."""
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
  """What the file of an array is called, without its ending."""
  return f'{name}.{part}' if part else name


def _by_part(
  arrays: Mapping[str, np.ndarray], name: str
) -> np.ndarray | dict[str, np.ndarray] | None:
  """The array of a name, or those of its parts; None if there are none."""
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
  """Writes an entry under another name, then renames it."""
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
  """CRC-32 of the file, or of blocks of it where it is long."""
  size = path.stat().st_size
  num_blocks = -(-size // _BLOCK)
  blocks = range(num_blocks)
  if num_blocks > _MAX_BLOCKS:
    # The first and the last are among them.
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
  """An entry; None if there is none, or, with a warning, a damaged one."""
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
    f'the cache entry {entry} is damaged and is built anew: {reason}.',
    RuntimeWarning,
    stacklevel=3,
  )
  return None


def _open(entry: pathlib.Path) -> Examined:
  """An entry, compared with its manifest."""
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
      # Small, and read often: in memory.
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
  """A memory-mapped array that is what the manifest says."""
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

"""Measures selection from files that are larger than the memory it may use.

Run as `python -m experiments.benchmark tiled`; it writes up to 11 GB below
TMPDIR, and deletes them. Each selection runs in a separate process, whose
anonymous memory is sampled; pages of the mapped files are not part of it. Linux
reports how many bytes the process read from the disk instead of the page cache.
Caches are not cleared.
"""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import pathlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import kernels
from al_jax.loop.stopwatch import Stopwatch
from experiments.benchmarks import timing
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import Machine

# Target for the memory of the selection besides the files.
_AT_MOST_BYTES = 3e9
_CLASSES = 10
# Rows made at a time, and bytes read at a time.
_SLICE, _READ = 1 << 13, 1 << 26


class Pool(NamedTuple):
  """A pool in two files.

  Attributes:
    num_points: N.
    num_features: D.
    dtype: type of the numbers in the files.
    part: number of first points from which both kernels select again, in memory
      and in the files.
  """

  num_points: int
  num_features: int
  dtype: str
  part: int

  def __str__(self) -> str:
    return f'{self.num_points:,} x {self.num_features:,} {self.dtype}'

  @property
  def row_bytes(self) -> int:
    """Bytes of a row in both files together."""
    return np.dtype(self.dtype).itemsize * (self.num_features + _CLASSES)


POOLS = (
  Pool(1_000_000, 1_024, 'float32', part=100_000),
  Pool(20_000_000, 256, 'float16', part=400_000),
)


class Found(NamedTuple):
  """Measurements of a process that selected.

  Attributes:
    seconds: seconds of the selection, including compilation.
    peak_bytes: peak anonymous memory of the process during the selection.
    passes: number of times the embeddings were read, in slices.
    disk_bytes: bytes read from the disk during the selection.
    picks: number of different points picked.
    part_seconds: seconds to select from the part, without compilation, in the
      files and in memory.
    are_equal: whether both selections from the part picked the same.
  """

  seconds: float
  peak_bytes: int
  passes: float
  disk_bytes: int
  picks: int
  part_seconds: tuple[float, float]
  are_equal: bool


class Counted:
  """An array that counts the rows read from it in slices."""

  def __init__(self, array):
    self._array = array
    self.shape, self.dtype = array.shape, array.dtype
    self.rows_read = 0

  def __getitem__(self, index):
    if isinstance(index, slice):
      self.rows_read += index.stop - index.start
    return self._array[index]


def measure(k: int = 1_000) -> Iterator[Row]:
  """Measures every selection from every pool."""
  machine, rows = timing.measure_machine()
  yield from rows
  for pool in POOLS:
    with tempfile.TemporaryDirectory() as folder:
      yield from of_pool(machine, pool, k, folder)


def of_pool(machine: Machine, pool: Pool, k: int, folder: str) -> Iterator[Row]:
  """Makes a pool, and selects from it.

  Args:
    machine: rates for the bounds.
    pool: sizes of the pool.
    k: number of picks.
    folder: folder to write the files to.
  """
  clock = Stopwatch()
  make(pool, folder)
  size = pool.num_points * pool.row_bytes
  yield Row(f'{pool} written', clock.lap(), note=f'{size / 1e9:.1f} GB')
  before = _disk_bytes()
  clock = Stopwatch()
  _read_all(folder)
  reading = clock.lap()
  from_disk = (_disk_bytes() - before) / size
  yield Row(
    f'{pool} read',
    reading,
    note=f'{size / 1e9 / reading:.2f} GB/s, {from_disk:.0%} from the disk',
  )
  for name in SELECTIONS:
    found = _in_a_process(name, pool, k, folder)
    yield from _rows(machine, name, pool, k, found, reading)


def _rows(machine, name, pool, k, found, reading):
  columns = pool.num_features + (_CLASSES if name == 'badge' else 0)
  product = 2 * pool.num_points * columns * k / machine.operations_per_second
  read = found.passes * pool.num_points * pool.row_bytes / 1e9
  yield Row(
    f'{name}, k = {k:,}, {pool}',
    found.seconds,
    product,
    'product of all with all',
    found.seconds / product,
    bound=reading,
    extra_bytes=found.peak_bytes,
    bytes_at_most=_AT_MOST_BYTES,
    note=f'{found.passes:.2f} passes, {read:.0f} GB, '
    f'{found.disk_bytes / 1e9:.1f} GB from the disk; {found.picks:,} picks',
  )
  in_files, in_memory = found.part_seconds
  yield Row(
    f'{name}, k = {k:,}, the first {pool.part:,}',
    in_files,
    in_memory,
    'the kernel in memory',
    in_files / in_memory,
    note='the same picks' if found.are_equal else 'OTHER PICKS',
  )


def make(pool: Pool, folder: str) -> None:
  """Writes embeddings.npy and logits.npy, a slice at a time.

  Features are the sum of a class mean and as much noise, after a ReLU. The
  logit of the class is raised, by an amount that differs between slices.
  """
  rng = np.random.default_rng(0)
  centers = rng.standard_normal((_CLASSES, pool.num_features), np.float32)
  # Noise is taken from windows of one array: drawing all would take minutes.
  noise = rng.standard_normal(1 << 25, np.float32)
  embeddings, logits = (
    np.lib.format.open_memmap(
      pathlib.Path(folder, name), 'w+', pool.dtype, (pool.num_points, columns)
    )
    for name, columns in (
      ('embeddings.npy', pool.num_features),
      ('logits.npy', _CLASSES),
    )
  )
  for start in range(0, pool.num_points, _SLICE):
    stop = min(start + _SLICE, pool.num_points)
    labels = rng.integers(0, _CLASSES, stop - start)
    size = (stop - start) * pool.num_features
    offset = rng.integers(0, len(noise) - size)
    rows = noise[offset : offset + size].reshape(-1, pool.num_features)
    embeddings[start:stop] = np.maximum(0.7 * (centers[labels] + rows), 0)
    some = 2 * rng.standard_normal((stop - start, _CLASSES), np.float32)
    some[np.arange(stop - start), labels] += 4 + 3 * rng.standard_normal()
    logits[start:stop] = some
  embeddings.flush()
  logits.flush()


def _read_all(folder):
  """Reads both files once, as fast as possible."""
  buffer = bytearray(_READ)
  for path in pathlib.Path(folder).glob('*.npy'):
    with path.open('rb', buffering=0) as file:
      while file.readinto(buffer):
        pass


def _badge(logits, embeddings, k):
  points = kernels.Tiled(logits, embeddings, points=kernels.gradient_factors)
  return kernels.kmeans_plus_plus(jax.random.key(0), points, k)


def _badge_in_memory(logits, embeddings, k):
  factors = kernels.gradient_factors(logits, embeddings)
  return kernels.kmeans_plus_plus(jax.random.key(0), factors, k)


def _core_set(logits, embeddings, k):
  del logits
  return kernels.k_center(kernels.Tiled(embeddings), k)


def _core_set_in_memory(logits, embeddings, k):
  del logits
  return kernels.k_center(embeddings, k)


# Each selection from files, and in memory.
SELECTIONS = {
  'badge': (_badge, jax.jit(_badge_in_memory, static_argnums=2)),
  'core_set': (_core_set, _core_set_in_memory),
}


def _in_a_process(*arguments):
  with concurrent.futures.ProcessPoolExecutor(
    max_workers=1, mp_context=multiprocessing.get_context('spawn')
  ) as processes:
    return processes.submit(select, *arguments).result()


def select(name: str, pool: Pool, k: int, folder: str) -> Found:
  """Selects from the files, and from a part of them, in this process."""
  from_files, in_memory = SELECTIONS[name]
  arrays = [
    np.load(pathlib.Path(folder, each), mmap_mode='r')
    for each in ('logits.npy', 'embeddings.npy')
  ]
  counted = [*map(Counted, arrays)]
  before = _disk_bytes()
  with _sampled_memory() as peak:
    clock = Stopwatch()
    picks = np.asarray(from_files(*counted, k).indices)
    seconds = clock.lap()
  disk_bytes = _disk_bytes() - before
  part = [array[: pool.part] for array in arrays]
  of_files, files_seconds = _timed(from_files, *part, k)
  of_memory, memory_seconds = _timed(in_memory, *jax.device_put(part), k)
  return Found(
    seconds,
    peak[0],
    counted[1].rows_read / pool.num_points,
    disk_bytes,
    len(set(picks[picks >= 0].tolist())),
    (files_seconds, memory_seconds),
    bool(np.array_equal(of_files.indices, of_memory.indices)),
  )


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
  """Returns the result of a call, and its seconds once it is compiled."""
  found = call(*arguments)
  return found, timing.seconds_of(functools.partial(call, *arguments))


@contextlib.contextmanager
def _sampled_memory(every: float = 0.02):
  """Yields a list whose item is the peak anonymous memory of this process."""
  peak, over = [_status('RssAnon')], threading.Event()

  def sample():
    while not over.wait(every):
      peak[0] = max(peak[0], _status('RssAnon'))

  thread = threading.Thread(target=sample)
  thread.start()
  try:
    yield peak
  finally:
    over.set()
    thread.join()


def _status(field):
  """Reads a field of /proc/self/status, in bytes; Linux only."""
  for line in pathlib.Path('/proc/self/status').read_text().splitlines():
    name, _, value = line.partition(':')
    if name == field:
      return 1024 * int(value.split()[0])
  raise RuntimeError(f'{field} is not in /proc/self/status')


def _disk_bytes():
  """Returns the bytes read from disk for this process; Linux only."""
  for line in pathlib.Path('/proc/self/io').read_text().splitlines():
    name, _, value = line.partition(':')
    if name == 'read_bytes':
      return int(value)
  raise RuntimeError('read_bytes is not in /proc/self/io')

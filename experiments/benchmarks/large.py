"""Measures BADGE's selection at ImageNet's size: its time and its memory.

Run as `python -m experiments.benchmark imagenet`.

The points resemble the outputs of a trained network: predictions range from
certain to undecided, and features are non-negative and similar within a class.
They are made in slices, so that only the points themselves are held. A separate
process makes them and selects from them; its memory is read before anything
else is measured.
"""

import concurrent.futures
import functools
import multiprocessing
import pathlib
import resource
import sys
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from al_jax import kernels
from al_jax.kernels import Factors
from experiments.benchmarks import costs, timing
from experiments.benchmarks.kernels import seeding
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine

# Points made at a time.
_SLICE = 1_000
# Target for the memory of the process, of which the inputs are 2.44 GB.
_AT_MOST_BYTES = 4e9


class Sizes(NamedTuple):
  """Sizes of a selection; by default, of a sixth of ImageNet."""

  num_points: int = 200_000
  num_features: int = 2_048
  num_classes: int = 1_000
  k: int = 1_000

  @property
  def input_bytes(self) -> int:
    """Bytes of the points: two float32 factors."""
    return 4 * self.num_points * (self.num_features + self.num_classes)


class Found(NamedTuple):
  """Measurements of a process that selected.

  Attributes:
    compiling: seconds to compile.
    seconds: median seconds of a selection.
    extra_bytes: memory of the compiled program besides arguments and result.
    bytes_before: peak memory of the process before the points were made.
    peak_bytes: peak memory of the process.
    indices: picks, [K].
  """

  compiling: float
  seconds: float
  extra_bytes: int
  bytes_before: int
  peak_bytes: int
  indices: np.ndarray


def measure() -> Iterator[Row]:
  """Yields every measurement at this size."""
  machine, rows = timing.measure_machine()
  yield from rows
  yield from selection(machine)


def selection(
  machine: Machine,
  sizes: Sizes | None = None,
  *,
  repeats: int = 5,
  at_most_bytes: float = _AT_MOST_BYTES,
) -> Iterator[Row]:
  """Measures BADGE's selection in a separate process.

  Args:
    machine: rates for the bounds.
    sizes: sizes of the selection. If None, the default.
    repeats: number of selections to time.
    at_most_bytes: target for the memory of the process.

  Yields:
    A Row for each of two lower bounds, and one of memory.

  Raises:
    RuntimeError: the picks are not k different points.
  """
  sizes = sizes or Sizes()
  found = _in_a_process(sizes, repeats)
  check_distinct(found.indices, sizes)
  kwargs = sizes._asdict()
  what = f'BADGE, {seeding.in_short(kwargs)}'
  row = Row(
    what,
    found.seconds,
    compiling=found.compiling,
    extra_bytes=found.extra_bytes,
    bound=machine.least(costs.kmeans_plus_plus(**kwargs)),
  )
  yield _beside(
    row,
    'matrix-multiply floor',
    seeding.floor(machine, **kwargs),
    at_most=1.5,
    note=f'{sizes.k:,} picks, all different',
  )
  yield _beside(
    row,
    'a pass per pick, at best',
    machine.least(costs.one_pick_per_pass(**kwargs)),
    at_most=0.1,
  )
  beyond = found.peak_bytes - sizes.input_bytes
  yield Row(
    what,
    None,
    which_is='all that its process holds',
    extra_bytes=found.peak_bytes,
    bytes_at_most=at_most_bytes,
    note=f'{beyond / 1e6:,.0f} MB beyond the points, '
    f'{found.bytes_before / 1e6:,.0f} MB of them from before',
  )


def _beside(row, which_is, against, **of_row):
  return row._replace(
    against=against,
    which_is=which_is,
    ratio=row.seconds / against,
    **of_row,
  )


def _in_a_process(sizes, repeats):
  """Runs `select` in a process that does nothing else."""
  with concurrent.futures.ProcessPoolExecutor(
    max_workers=1, mp_context=multiprocessing.get_context('spawn')
  ) as processes:
    return processes.submit(select, sizes, repeats).result()


def select(sizes: Sizes, repeats: int) -> Found:
  """Makes the points and selects from them, in this process."""
  key, points_key = jax.random.split(jax.random.key(0))
  jax.block_until_ready(key)  # initialises the backend
  bytes_before = peak_bytes()
  points = gradients(
    points_key, sizes.num_points, sizes.num_features, sizes.num_classes
  )
  ours = CompiledCall(
    functools.partial(kernels.kmeans_plus_plus, k=sizes.k), key, points
  )
  picks = ours()
  seconds = [ours.seconds() for _ in range(repeats)]
  return Found(
    ours.compiling,
    float(np.median(seconds)),
    ours.extra_bytes,
    bytes_before,
    peak_bytes(),
    np.asarray(picks.indices),
  )


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def gradients(
  key: jax.Array, num_points: int, num_features: int, num_classes: int
) -> Factors:
  """Draws gradients of a network that is certain and right about most points.

  Logits are normal, and that of the true class is raised. With 1,000 classes,
  the largest probability is 0.7 on average, below 0.3 for a fifth of the points
  and above 0.99 for three in ten. Features are the sum of a class mean and as
  much noise, after a ReLU.

  Args:
    key: PRNG key, consumed.
    num_points: N; static.
    num_features: D; static.
    num_classes: C; static.

  Returns:
    Factors of [N, C] and [N, D]. Beyond them, only a slice is held in memory.
  """
  center_key, slices_key = jax.random.split(key)
  centers = jax.random.normal(center_key, (num_classes, num_features))
  size = min(_SLICE, num_points)

  def one_slice(key):
    label_key, lift_key, logit_key, feature_key = jax.random.split(key, 4)
    labels = jax.random.randint(label_key, (size,), 0, num_classes)
    lifts = 13 + 4 * jax.random.normal(lift_key, (size, 1))
    logits = 3 * jax.random.normal(logit_key, (size, num_classes))
    logits += lifts * jax.nn.one_hot(labels, num_classes)
    noise = jax.random.normal(feature_key, (size, num_features))
    features = jnp.maximum(0.7 * (centers[labels] + noise), 0.0)
    return kernels.gradient_factors(logits, features)

  def write(number, points):
    # The last slice may overlap the one before.
    start = jnp.minimum(number * size, num_points - size)
    return jax.tree.map(
      lambda whole, part: lax.dynamic_update_slice_in_dim(
        whole, part, start, 0
      ),
      points,
      one_slice(jax.random.fold_in(slices_key, number)),
    )

  empty = Factors(
    jnp.zeros((num_points, num_classes)), jnp.zeros((num_points, num_features))
  )
  return lax.fori_loop(0, -(-num_points // size), write, empty)


def peak_bytes() -> int:
  """Returns the peak memory of this process.

  Prefers Linux's /proc: the figure of `getrusage` includes the memory of the
  process that started this one.
  """
  status = pathlib.Path('/proc/self/status')
  if status.exists():
    for line in status.read_text(encoding='utf-8').splitlines():
      name, _, value = line.partition(':')
      if name == 'VmHWM':
        return 1024 * int(value.split()[0])
  unit = 1 if sys.platform == 'darwin' else 1024
  return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def check_distinct(indices: np.ndarray, sizes: Sizes) -> None:
  """Raises RuntimeError unless the picks are k different points of the pool."""
  inside = indices[(indices >= 0) & (indices < sizes.num_points)]
  count = len(set(inside.tolist()))
  if count != sizes.k:
    raise RuntimeError(f'{count} different points were picked, not {sizes.k}')

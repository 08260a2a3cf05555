"""BADGE's selection at the size of ImageNet, on one accelerator.

Points are drawn on the device in slices, as factors: 16 GB for 1,280,000 points
with 2,048 features and 1,000 classes.
"""

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from al_jax import kernels
from al_jax.kernels import Factors, _blocks, _draws
from experiments.benchmarks import costs, large, plain, timing
from experiments.benchmarks.accelerator.sections import in_a_sentence
from experiments.benchmarks.large import Sizes
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine

IMAGENET = Sizes(num_points=1_280_000, k=10_000)
# Target of the selection, and picks timed of an algorithm with a pass per pick.
_AT_MOST_SECONDS, _PICKS_BY_PASS = 30.0, 21
# A selection that takes longer is not repeated.
_LONG_SECONDS = 15.0


def measure(
  machine: Machine, sizes: Sizes = IMAGENET, *, blocks: Sequence[int] = ()
) -> Iterator[Row]:
  """Measures the selection; if it fails, from half of the points.

  Args:
    machine: rates for the bounds.
    sizes: sizes of the selection.
    blocks: block sizes, in candidates, to try besides the default.

  Yields:
    Rows.
  """
  problem = ''
  try:
    yield from selection(machine, sizes, blocks=blocks)
  except Exception as error:
    problem = in_a_sentence(error)
  # Outside `except`, where the error would keep the points alive.
  if problem:
    yield Row(_name(sizes), None, note=f'failed: {problem}')
    sizes = sizes._replace(num_points=sizes.num_points // 2)
    yield from selection(machine, sizes, blocks=blocks)


def selection(
  machine: Machine,
  sizes: Sizes,
  *,
  repeats: int = 3,
  blocks: Sequence[int] = (),
) -> Iterator[Row]:
  """Times the selection, counts its passes, and tries other block sizes.

  Args:
    machine: rates for the bounds.
    sizes: sizes of the selection.
    repeats: number of selections to time after the first, if they are short.
    blocks: see `measure`.

  Yields:
    Rows.

  Raises:
    RuntimeError: the picks are not k different points.
  """
  points_key, key = jax.random.split(jax.random.key(0))
  seconds, points = _first(lambda: large.gradients(points_key, *sizes[:3]))
  yield Row(
    'gradients drawn on the device',
    seconds,
    note=f'compiled and run once; {sizes.input_bytes / 1e9:.2f} GB',
  )
  row, picks = _timed(machine, sizes, key, points, repeats)
  per_pass = sizes.input_bytes / machine.bytes_per_second
  yield row
  yield Row(
    _name(sizes),
    row.seconds,
    per_pass,
    'one pass over the points',
    row.seconds / per_pass,
    note=f'{1e3 * sizes.input_bytes / 4.8e12:.2f} ms at 4.8 TB/s',
  )
  yield _counted(key, points, sizes, picks)
  yield _beside_passes(key, points, sizes, row)
  for block in blocks:
    yield _timed(machine, sizes, key, points, 1, block=block)[0]


def _name(sizes):
  return f'BADGE, N {sizes.num_points:,} k {sizes.k:,}'


def _first(call):
  """Returns the seconds of a call, and its result."""
  found = []
  seconds = timing.seconds_of(lambda: found.append(call()) or found)
  return seconds, found[0]


def _timed(machine, sizes, key, points, repeats, **options):
  """Returns the Row of a selection, and its picks."""
  select = functools.partial(kernels.kmeans_plus_plus, k=sizes.k, **options)
  ours = CompiledCall(select, key, points)
  first, found = _first(ours)
  picks = np.asarray(found.indices)
  large.check_distinct(picks, sizes)
  repeats = 1 if first > _LONG_SECONDS else repeats
  seconds = float(np.median([ours.seconds() for _ in range(repeats)]))
  named = ''.join(f', {name} {value}' for name, value in options.items())
  row = Row(
    _name(sizes) + named,
    seconds,
    _AT_MOST_SECONDS,
    'the target',
    seconds / _AT_MOST_SECONDS,
    compiling=ours.compiling,
    at_most=1.0,
    bound=machine.least(costs.kmeans_plus_plus(**sizes._asdict())),
    extra_bytes=ours.extra_bytes,
    note=f'first call {first:.2f} s; all picks different',
  )
  return row, picks


def _counted(key, points, sizes, picks):
  """Counts how often the selection drew candidates and visited all points."""
  found, rounds, visits = jax.device_get(counted(key, points, sizes.k))
  same = np.mean(found == picks)
  return Row(
    f'{_name(sizes)}: counts',
    None,
    note=f'{rounds:,} blocks; {visits} visits to all points, each a pass, '
    f'besides 2 passes at the start; {same:.0%} of picks identical',
  )


@functools.partial(jax.jit, static_argnums=2)
def counted(
  key: jax.Array, points: Factors, k: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Runs `kmeans_plus_plus` step by step and counts its work.

  Args:
    key: PRNG key, consumed.
    points: N points, all finite.
    k: number of picks; static.

  Returns:
    int32[k], the picks of the kernel; the number of blocks of candidates drawn;
    the number of times that all bounds were renewed after the start.
  """
  norms = kernels.squared_norms(points)
  pool = _blocks.Candidates(points, norms, None)
  pickable = jnp.ones(norms.shape, jnp.bool_)
  first_key, blocks_key, _ = jax.random.split(key, 3)
  start = _draws.draw(first_key, jnp.ones_like(norms), 1)

  def one_block(carry):
    state, visits = carry
    state, is_due = _blocks.step(blocks_key, state, pool, 128, 1.0)
    return state, visits + is_due

  first = jax.tree.map(lambda rows: rows[start], points)
  state = _blocks.begin(norms, pickable, start, first, k)
  state = _blocks.begun(_blocks.visit(state, pool, picks_at_once=1), start)
  state, visits = lax.while_loop(
    lambda carry: carry[0].count < k,
    one_block,
    (state, jnp.zeros((), jnp.int32)),
  )
  return state.indices, state.round, visits


def _beside_passes(key, points, sizes, row):
  """Compares the Row with an algorithm that passes over all points per pick."""
  picks = min(_PICKS_BY_PASS, sizes.k)
  plainly = CompiledCall(
    functools.partial(plain.one_seed_per_pass, k=picks), key, points
  )
  plainly()
  against = plainly.seconds() * sizes.k / picks
  return row._replace(
    against=against,
    which_is=f'a pass per pick, {picks} picks',
    ratio=row.seconds / against,
    at_most=0.1,
    note=f'{against / sizes.k * 1e3:.2f} ms a pick',
  )

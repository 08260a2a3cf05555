"""Times calls: compiled apart, and in turns with what they are compared to."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.benchmarks import costs
from experiments.benchmarks.peers import NotInstalled
from experiments.benchmarks.table import Row


class Machine(NamedTuple):
  """What the device was measured to do, in this run."""

  operations_per_second: float
  bytes_per_second: float

  def least(self, cost: costs.Cost) -> float:
    """The seconds below which a call of that cost cannot get here."""
    return costs.least_seconds(cost, **self._asdict())


class CompiledCall:
  """A compiled call of a kernel."""

  def __init__(self, function: Callable[..., Any], *arguments: Any):
    """Compiles it for these arguments, which are put on the device."""
    self._arguments = jax.device_put(arguments)
    begin = time.perf_counter()
    compiled = jax.jit(function).lower(*self._arguments).compile()
    self.compiling = time.perf_counter() - begin
    self.extra_bytes = compiled.memory_analysis().temp_size_in_bytes
    self._compiled = compiled

  def __call__(self) -> Any:
    """What the kernel returns, once it is there."""
    return jax.block_until_ready(self._compiled(*self._arguments))

  def seconds(self) -> float:
    """For one call."""
    return seconds_of(self)


class Peer(NamedTuple):
  """Something else that does the same.

  Attributes:
    which_is: its name, and how much of the work it did if not all.
    prepare: () -> () -> seconds for all of the work, measured or extrapolated.
      It may raise NotInstalled.
    at_most: our time by its time that is aimed at.
    once: it is timed once, without a warm-up.
    note: what else there is to say.
  """

  which_is: str
  prepare: Callable[[], Callable[[], float]]
  at_most: float | None = None
  once: bool = False
  note: str = ''


def seconds_of(call: Callable[[], Any]) -> float:
  """For one call."""
  begin = time.perf_counter()
  jax.block_until_ready(call())
  return time.perf_counter() - begin


def in_turns(
  ours: Callable[[], float], other: Callable[[], float], repeats: int
) -> tuple[float, float, float, float]:
  """Measures two things in turns, after once each that does not count.

  Args:
    ours: measures itself, in seconds.
    other: likewise.
    repeats: pairs.

  Returns:
    Our time when it did not count; then medians: of ours, of the other's, and
    of the ratios of pairs.
  """
  first = ours()
  other()
  pairs = np.array([(ours(), other()) for _ in range(repeats)])
  ratio = float(np.median(pairs[:, 0] / pairs[:, 1]))
  return first, *np.median(pairs, axis=0).tolist(), ratio


def timed(call: Callable[[], Any]) -> Callable[[], float]:
  """`call` as something that measures itself."""
  return functools.partial(seconds_of, call)


def extrapolated(
  call: Callable[[int], Any], few: int, many: int, total: int
) -> float:
  """Seconds for `total` picks, from the time that `few` and `many` take."""
  of_few = seconds_of(lambda: call(few))
  of_many = seconds_of(lambda: call(many))
  each = max(of_many - of_few, 0.0) / (many - few)
  return of_few + (total - few) * each


def measure_machine(
  repeats: int = 7, *, long_enough: float = 0.05, scaled: int = 2**28
) -> tuple[Machine, list[Row]]:
  """The rates that bounds are taken from, the best of each, and their Rows.

  Args:
    repeats: of each.
    long_enough: a product that takes fewer seconds is measured at twice the
      size.
    scaled: numbers that are read and written.

  Returns:
    The Machine, and what to print of it.
  """
  multiply = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
  size, seconds = 512, 0.0
  while seconds < long_enough:
    size *= 2
    matrix = jnp.ones((size, size), jnp.float32)
    product = CompiledCall(multiply, matrix, matrix)
    product()
    seconds = min(product.seconds() for _ in range(repeats))
  to_scale, num_bytes = _seconds_to_scale(repeats, scaled)
  machine = Machine(2 * size**3 / seconds, num_bytes / to_scale)
  return machine, [
    Row(
      f'a matrix product of {size:,} x {size:,}, float32',
      seconds,
      note=f'{machine.operations_per_second / 1e9:,.0f} GF/s at best',
    ),
    Row(
      f'{num_bytes / 2e9:.2f} GB scaled in place',
      to_scale,
      note=f'{machine.bytes_per_second / 1e9:,.1f} GB/s at best',
    ),
  ]


def _seconds_to_scale(repeats, size):
  """For numbers that are read and written where they are, and their bytes."""
  # In place: new memory costs more on its first use.
  scale = jax.jit(lambda array: array * 1.0001, donate_argnums=0)
  array = scale(jnp.ones(size, jnp.float32))
  found = []
  for _ in range(repeats):
    array.block_until_ready()
    begin = time.perf_counter()
    array = scale(array)
    array.block_until_ready()
    found.append(time.perf_counter() - begin)
  return min(found), 2 * array.nbytes


def beside(
  what: str,
  ours: CompiledCall,
  peers: Sequence[Peer],
  *,
  bound: float | None = None,
  repeats: int = 5,
  **of_row: Any,
) -> Iterator[Row]:
  """A Row for each peer; one in all where there is none.

  Args:
    what: is measured.
    ours: the kernel.
    peers: in turn.
    bound: in seconds.
    repeats: pairs of measurements.
    **of_row: fields of the first Row: notes and the like.

  Yields:
    Rows.
  """
  ours()
  row = Row(
    what,
    None,
    compiling=ours.compiling,
    extra_bytes=ours.extra_bytes,
    bound=bound,
  )
  if not peers:
    yield row._replace(seconds=_median_seconds(ours, repeats), **of_row)
  for peer in peers:
    yield _beside(row, ours, peer, repeats)._replace(**of_row)
    of_row = {}


def _beside(row, ours, peer, repeats):
  row = row._replace(
    which_is=peer.which_is, at_most=peer.at_most, note=peer.note
  )
  try:
    other = peer.prepare()
  except NotInstalled as missing:
    return row._replace(
      seconds=_median_seconds(ours, repeats),
      note=f'{missing.package} is not installed',
    )
  if peer.once:
    seconds, against = _median_seconds(ours, repeats), other()
    ratio = seconds / against
  else:
    _, seconds, against, ratio = in_turns(ours.seconds, other, repeats)
  return row._replace(seconds=seconds, against=against, ratio=ratio)


def _median_seconds(ours, repeats):
  return float(np.median([ours.seconds() for _ in range(repeats)]))


def beside_floor(
  what: str,
  ours: CompiledCall,
  which_is: str,
  floor: float,
  *,
  at_most: float | None = None,
  repeats: int = 5,
  **of_row: Any,
) -> Row:
  """A Row that compares with a time that was not measured but follows."""
  ours()
  seconds = _median_seconds(ours, repeats)
  return Row(
    what,
    seconds,
    floor,
    which_is,
    seconds / floor,
    compiling=ours.compiling,
    extra_bytes=ours.extra_bytes,
    at_most=at_most,
    **of_row,
  )

"""Times calls: compiled separately, and alternating with their counterparts."""

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
  """Rates of the device, measured in this run."""

  operations_per_second: float
  bytes_per_second: float

  def least(self, cost: costs.Cost) -> float:
    """Returns the least seconds of a call of that cost on this machine."""
    return costs.least_seconds(cost, **self._asdict())


class CompiledCall:
  """A compiled call of a kernel."""

  def __init__(self, function: Callable[..., Any], *arguments: Any):
    """Compiles the function for these arguments; puts them on the device."""
    self._arguments = jax.device_put(arguments)
    begin = time.perf_counter()
    compiled = jax.jit(function).lower(*self._arguments).compile()
    self.compiling = time.perf_counter() - begin
    self.extra_bytes = compiled.memory_analysis().temp_size_in_bytes
    self._compiled = compiled

  def __call__(self) -> Any:
    """Calls the kernel and waits for its result."""
    return jax.block_until_ready(self._compiled(*self._arguments))

  def seconds(self) -> float:
    """Returns the seconds of one call."""
    return seconds_of(self)


class Peer(NamedTuple):
  """A counterpart of a kernel.

  Attributes:
    which_is: its name, and the part of the work that it does if not all.
    prepare: () -> () -> seconds for all of the work, measured or extrapolated.
      May raise NotInstalled.
    at_most: target for the ratio of the kernel's time to the counterpart's.
    once: whether to time the counterpart once, without a warm-up.
    note: further remarks.
  """

  which_is: str
  prepare: Callable[[], Callable[[], float]]
  at_most: float | None = None
  once: bool = False
  note: str = ''


def seconds_of(call: Callable[[], Any]) -> float:
  """Returns the seconds of one call."""
  begin = time.perf_counter()
  jax.block_until_ready(call())
  return time.perf_counter() - begin


def in_turns(
  ours: Callable[[], float], other: Callable[[], float], repeats: int
) -> tuple[float, float, float, float]:
  """Measures two calls alternately, after one warm-up of each.

  Args:
    ours: call that returns its own seconds.
    other: the counterpart, which returns its own seconds.
    repeats: number of pairs.

  Returns:
    The warm-up seconds of `ours`; then the median seconds of `ours`, those of
    `other`, and the median ratio of pairs.
  """
  first = ours()
  other()
  pairs = np.array([(ours(), other()) for _ in range(repeats)])
  ratio = float(np.median(pairs[:, 0] / pairs[:, 1]))
  return first, *np.median(pairs, axis=0).tolist(), ratio


def timed(call: Callable[[], Any]) -> Callable[[], float]:
  """Makes a call that returns its own seconds."""
  return functools.partial(seconds_of, call)


def extrapolated(
  call: Callable[[int], Any], few: int, many: int, total: int
) -> float:
  """Extrapolates the seconds for `total` picks from `few` and `many`."""
  of_few = seconds_of(lambda: call(few))
  of_many = seconds_of(lambda: call(many))
  each = max(of_many - of_few, 0.0) / (many - few)
  return of_few + (total - few) * each


def measure_machine(
  repeats: int = 7, *, long_enough: float = 0.05, scaled: int = 2**28
) -> tuple[Machine, list[Row]]:
  """Measures the rates for the bounds, the best of several repeats.

  Args:
    repeats: number of measurements of each rate.
    long_enough: minimum seconds of a product; its size is doubled until it
      takes as long.
    scaled: number of floats to read and write.

  Returns:
    The Machine, and its Rows.
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
  """Returns the seconds to scale an array, and the bytes read and written."""
  # In place, because new memory costs more on its first use.
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
  """Yields a Row for each peer; a single one if there are no peers.

  Args:
    what: name of the measurement.
    ours: the kernel.
    peers: counterparts in order.
    bound: lower bound of the seconds.
    repeats: number of pairs of measurements.
    **of_row: further fields of the first Row, such as notes.

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
  """Makes a Row that compares a kernel with a computed lower bound."""
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

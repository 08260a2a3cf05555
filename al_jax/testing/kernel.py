"""Checks rules that every score and every selection must keep."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, xla
from al_jax.interfaces import picks_problem
from al_jax.testing import linear, report
from al_jax.testing.report import Broken, Report, Skipped

# Allowed difference of float16 scores, as a share of the largest score.
_HALF_TOLERANCE = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
  """A function under test, and its inputs.

  Attributes:
    function: The function under test.
    arrays: NumPy arrays to call it with.
    axes: Axis of the examples in each array.
    k: Number of picks; None for scores.
    to: Converts a NumPy array to the type that the function takes.
    reference: NumPy function with the same result, or None.
    tolerance: Allowed difference, as a share of the largest score.
  """

  function: Callable[..., Any]
  arrays: Sequence[np.ndarray]
  axes: Sequence[int]
  k: int | None
  to: Callable[[np.ndarray], Any]
  reference: Callable[..., Any] | None
  tolerance: float

  @property
  def num_examples(self) -> int:
    """The number of examples, N."""
    return self.arrays[0].shape[self.axes[0]]

  def take(self, rows: np.ndarray) -> list[np.ndarray]:
    """Returns arrays of some of the examples."""
    return [
      np.take(array, rows, axis=axis)
      for array, axis in zip(self.arrays, self.axes, strict=True)
    ]

  def spoilt(self, rows: np.ndarray) -> list[np.ndarray]:
    """Returns the arrays with NaN in some examples."""
    found = [array.copy() for array in self.arrays]
    for array, axis in zip(found, self.axes, strict=True):
      np.moveaxis(array, axis, 0)[rows] = np.nan
    return found

  def call(self, arrays: Sequence[np.ndarray], function: Any = None) -> Any:
    """Calls the function, or another one, on arrays of its framework."""
    more = () if self.k is None else (self.k,)
    given = [self.to(array) for array in arrays]
    return (function or self.function)(*given, *more)

  def result(
    self, arrays: Sequence[np.ndarray], function: Any = None
  ) -> np.ndarray:
    """Returns scores or picks as a NumPy array, after checking their form."""
    found = self.call(arrays, function)
    found = np.asarray(getattr(found, 'indices', found))
    number = arrays[0].shape[self.axes[0]]
    if self.k is not None:
      everything = np.ones(number, bool)
      problem = picks_problem(found, self.k, everything, everything)
      if problem:
        raise Broken(f'it {problem}')
      return found
    if found.shape != (number,) or not jnp.issubdtype(found.dtype, np.floating):
      raise Broken(
        f'of {number} examples it returned {found.dtype}{list(found.shape)}; '
        f'it must return float[{number}]'
      )
    return found

  @functools.cached_property
  def plain(self) -> np.ndarray:
    """The result for the unchanged arrays."""
    return self.result(self.arrays)


def check_kernel(
  function: Callable[..., Any],
  arrays: np.ndarray | Sequence[np.ndarray] | None = None,
  *,
  k: int | None = None,
  axis: int | Sequence[int] = 0,
  to: Callable[[np.ndarray], Any] = jnp.asarray,
  reference: Callable[..., Any] | None = None,
  tolerance: float = 1e-4,
  skip: Collection[str] | Mapping[str, str] = (),
  raises: bool = True,
  name: str = 'the function',
) -> Report:
  """Checks a function that scores examples, or one that picks k of them.

  Without `k`, the function is called with the arrays and returns scores, float
  [N], larger for examples to pick first. With `k`, it is called with the arrays
  and k, and returns k different positions or a `kernels.Selection`. Pass a
  function that takes a key as `functools.partial(function, key)`.

  Args:
    function: The function under test.
    arrays: Float arrays to call it with. If None, the logits [40, 4] of a
      linear network.
    k: Number of picks. If None, the function scores.
    axis: Axis of the examples in each array: 1 for samples [S, N, C].
    to: Converts a NumPy array to the type that the function takes, such as
      `numpy.asarray` or `torch.from_numpy`. `numpy.asarray` must take the
      results of the function.
    reference: NumPy function of the same arrays with the same result.
    tolerance: Allowed difference of scores, as a share of the largest.
    skip: Names of rules to leave out; a mapping gives the reasons. Skip
      `'part'` if the score of an example depends on others, and `'order'` if
      the function draws by position.
    raises: Whether a broken rule is an error.
    name: Name of the function, for messages.

  Returns:
    A Report.

  Raises:
    ContractError: If any rule is broken; the message has the evidence for each.
    ValueError: If an argument is invalid.
  """
  errors.check_number('k', k, int, least=1, optional=True)
  if arrays is None:
    arrays = linear.DRAWN @ linear.WEIGHTS
  if isinstance(arrays, np.ndarray):
    arrays = [arrays]
  axes = [axis] * len(arrays) if isinstance(axis, int) else axis
  sizes = [a.shape[at] for a, at in zip(arrays, axes, strict=True)]
  if len(set(sizes)) > 1 or sizes[0] < 4 + 2 * (k or 0):
    raise ValueError(
      f'arrays have {sizes} examples on axis {axis}; they must have the same '
      f'number, {4 + 2 * (k or 0)} or more.'
    )
  case = Case(function, arrays, axes, k, to, reference, tolerance)
  rules = SCORE_RULES if k is None else SELECTION_RULES
  return report.check(name, rules, case, skip=skip, raises=raises)


def _shape(case):
  """Checks that scores are float [N], or picks k different positions."""
  _ = case.plain


def _finite(case):
  """Checks that scores are finite, also for large and for equal inputs."""
  first = case.take(np.zeros(case.num_examples, int))
  pools = {
    'as given': case.arrays,
    'all equal': first,
    'all zero': [np.zeros_like(array) for array in case.arrays],
    'a thousand times larger': [1000 * array for array in case.arrays],
  }
  for pool, arrays in pools.items():
    bad = ~np.isfinite(case.result(arrays).astype(np.float64))
    if bad.any():
      raise Broken(
        f'with inputs {pool} the score of example {np.argmax(bad)} is not '
        'finite'
      )


def _reference(case):
  """Checks that the result is that of the reference."""
  if case.reference is None:
    raise Skipped('no reference was given')
  more = () if case.k is None else (case.k,)
  wanted = case.reference(*case.arrays, *more)
  wanted = np.asarray(getattr(wanted, 'indices', wanted))
  _same(case, wanted, case.plain, 'the reference says')


def _repeats(case):
  """Checks that a second call with the same arrays gives the same result."""
  again = case.result(case.arrays)
  if not np.array_equal(case.plain, again, equal_nan=case.k is None):
    raise Broken(
      f'two calls gave {_shown(case.plain)} and {_shown(again)}: fix its seed'
    )


def _inputs(case):
  """Checks that the function does not write to its arguments."""
  kept = [case.to(array.copy()) for array in case.arrays]
  more = () if case.k is None else (case.k,)
  case.function(*kept, *more)
  for place, (array, now) in enumerate(zip(case.arrays, kept, strict=True)):
    if not np.array_equal(array, np.asarray(now)):
      raise Broken(f'it wrote to its argument {place}')


def _order(case):
  """Checks that the order of the examples changes no score and no pick."""
  order = np.random.default_rng(3).permutation(case.num_examples)
  found = case.result(case.take(order))
  if case.k is None:
    _same(case, case.plain[order], found, 'in another order')
  else:
    places = np.where(found < 0, -1, order[found])
    _same(case, case.plain, places, 'in another order')


def _part(case):
  """Checks that half of the examples get the same scores as among all."""
  half = np.arange(case.num_examples // 2)
  _same(case, case.plain[half], case.result(case.take(half)), 'half of them')


def _nan(case):
  """Checks that examples with NaN are not picked and change no other score."""
  bad = np.arange(case.num_examples) < 2
  spoilt = case.spoilt(bad)
  try:
    case.call(spoilt)
  except Exception as error:
    return f'it rejects NaN: {report.error_text(error)}'
  found = case.result(spoilt)
  if case.k is not None:
    if bad[found].any():
      raise Broken(f'picked {found[bad[found]][0]}, an example with NaN')
    return None
  _same(case, case.plain[~bad], found[~bad], 'beside two examples with NaN')
  if np.isfinite(found[bad]).any():
    raise Broken(f'examples with NaN have finite scores: {found[bad]}')
  return None


def _half(case):
  """Checks that float16 and bfloat16 are rejected, or nearly as float32."""
  told = []
  for dtype in (np.float16, jnp.bfloat16):
    short = [np.asarray(array, dtype) for array in case.arrays]
    try:
      case.call(short)
    except Exception as error:
      text = report.error_text(error)
      told.append(f'it rejects {np.dtype(dtype)}: {text}')
      continue
    found = case.result(short)
    if case.k is None:
      rounded = case.result([np.asarray(array, np.float32) for array in short])
      loose = dataclasses.replace(case, tolerance=_HALF_TOLERANCE)
      _same(loose, rounded, found, f'of {np.dtype(dtype)}')
  return '; '.join(told) or None


def _jit(case):
  """Checks that the result is the same under `jax.jit`."""
  _needs_jax(case)
  if case.k is None:
    jitted = jax.jit(case.function)
  else:
    jitted = jax.jit(case.function, static_argnums=len(case.arrays))
  _same(case, case.plain, case.result(case.arrays, jitted), 'under jax.jit')


def _compilations(case):
  """Checks that a second plain call with other values compiles nothing."""
  _needs_jax(case)
  order = np.arange(case.num_examples)[::-1]
  jax.block_until_ready(case.call(case.arrays))
  before = xla.programs_compiled()
  jax.block_until_ready(case.call(case.take(order)))
  count = xla.programs_compiled() - before
  if count:
    raise Broken(f'the second plain call compiled {count} programs: jit it')


SCORE_RULES = {
  'shape': _shape,
  'finite': _finite,
  'reference': _reference,
  'repeats': _repeats,
  'inputs': _inputs,
  'order': _order,
  'part': _part,
  'nan': _nan,
  'half': _half,
  'jit': _jit,
  'compilations': _compilations,
}
SELECTION_RULES = {
  rule: keeps
  for rule, keeps in SCORE_RULES.items()
  if rule not in ('finite', 'part')
}


def _needs_jax(case):
  found = case.call(case.arrays)
  found = getattr(found, 'indices', found)
  if not isinstance(found, jax.Array):
    raise Skipped(f'it returns {type(found).__name__}, not a JAX array')


def _same(case, wanted, found, what):
  """Raises Broken unless picks are equal, or scores close."""
  if case.k is not None:
    if not np.array_equal(wanted, found):
      raise Broken(f'{what}: {_shown(wanted)} became {_shown(found)}')
    return
  wanted, found = (np.asarray(each, np.float64) for each in (wanted, found))
  if wanted.shape != found.shape:
    raise Broken(f'{what}: shape {list(wanted.shape)}, not {list(found.shape)}')
  scale = max(1e-30, np.abs(wanted[np.isfinite(wanted)]).max(initial=0))
  close = np.abs(wanted - found) <= case.tolerance * scale
  close |= (wanted == found) | (np.isnan(wanted) & np.isnan(found))
  if not close.all():
    at = np.argmin(close)
    raise Broken(
      f'{what}: the score of example {at} is {found[at]:.6g}, not '
      f'{wanted[at]:.6g}'
    )


def _shown(values):
  return str(np.round(values[:8], 6).tolist())

"""Checks that a strategy keeps the contract of `al_jax.interfaces.Strategy`."""

import dataclasses
from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, xla
from al_jax.interfaces import Strategy
from al_jax.interfaces.base import Applied
from al_jax.strategies import needs as needs_lib
from al_jax.tasks import Task
from al_jax.testing import linear, report, tracing
from al_jax.testing.report import Broken, Report, Skipped
from al_jax.testing.strategy_case import Case

# Number of rows per batch. It does not divide the pool: the last batch has
# padding.
_FEW = 7
# Values to put in rows that were not measured.
_POISONS = (np.nan, np.inf, 1e15, 3e38)


def check_strategy(
  strategy: Strategy,
  *,
  apply: Applied | None = None,
  inputs: np.ndarray | None = None,
  task: Task = linear.TASK,
  k: int = 8,
  skip: Collection[str] | Mapping[str, str] = (),
  raises: bool = True,
  name: str = 'the strategy',
) -> Report:
  """Checks that a strategy keeps its contract, on a small pool on the host.

  Args:
    strategy: The strategy. Of a chain, only the last stage is checked.
    apply: Network for `measure`. If None, a linear one with dropout.
    inputs: Float [N, ...] with N at least 3 k + 16. If None, 40 random points.
    task: Task of the network.
    k: Number of queries.
    skip: Names of rules to leave out; a mapping gives the reasons.
    raises: Whether a broken rule is an error.
    name: Name of the strategy, for messages.

  Returns:
    A Report.

  Raises:
    ContractError: If any rule is broken; the message has the evidence for each.
    ValueError: If an argument is invalid.
  """
  errors.check_number('k', k, int, least=2)
  inputs = linear.DRAWN if inputs is None else np.asarray(inputs, np.float32)
  if len(inputs) < 3 * k + 16:
    raise ValueError(
      f'inputs has {len(inputs)} examples; for k = {k} it must have at least '
      f'{3 * k + 16}.'
    )
  if apply is None:
    _check_needs(strategy, inputs)
    apply = linear.network(task, inputs.shape[1])
  case = Case(strategy, linear.facts_of(task, inputs), apply, inputs, k)
  return report.check(name, RULES, case, skip=skip, raises=raises)


def _check_needs(strategy, inputs):
  """Raises ValueError if the linear network does not meet the needs."""
  for need in needs_lib.of(strategy):
    if need.startswith(needs_lib.EXTRAS):
      raise ValueError(
        f'the strategy needs {need!r}, which a linear network lacks: pass '
        'apply, a network that has it.'
      )
  if inputs.ndim != 2:
    raise ValueError(
      f'inputs are {list(inputs.shape)}; without apply they must be [N, D].'
    )


def _picks(case):
  """Checks for k different eligible picks, on any pool with any number left."""
  for pool, inputs in linear.hostile(case.inputs).items():
    where = f'on the pool {pool!r}, {case.asked} queried before,'
    case.picks(case.measure(inputs), where)
  number = len(case.inputs)
  for left in (case.k, case.k - 1, 1, 0):
    pool = case.pool_with(range(number - left))
    where = f'with {left} of {number} examples left and k = {case.k},'
    case.picks(case.measured, where, pool=pool)


def _one(case):
  """Checks that k = 1 gives one eligible pick."""
  case.picks(case.measured, 'with k = 1,', k=1)


def _finite(case):
  """Checks that measurements are finite; a run would stop otherwise."""
  _looks(case)
  for pool, inputs in linear.hostile(case.inputs).items():
    for leaf in jax.tree.leaves(case.measure(inputs)):
      bad = ~np.isfinite(np.asarray(leaf)).reshape(len(inputs), -1).all(1)
      if bad.any():
        raise Broken(
          f'on the pool {pool!r} measure is not finite for example '
          f'{np.argmax(bad)}'
        )


def _unseen(case):
  """Checks that examples that were not measured are neither picked nor read."""
  place = np.arange(len(case.inputs))
  for rest, seen in (
    ('a third', place % 3 == 1),
    ('six sevenths', place % 7 != 1),
  ):
    seen[case.asked] = [False, True, True]
    where = f'with {rest} of the pool measured,'
    measured = _spoilt(case.measured, ~seen, 0)
    wanted = case.picks(measured, where, seen=seen)
    for poison in _POISONS:
      spoilt = _spoilt(case.measured, ~seen, poison)
      found = case.picks(spoilt, where, seen=seen)
      _same(
        wanted,
        found,
        f'{poison} in place of the zeros of rows that were not measured',
      )


def _nan(case):
  """Checks that examples with NaN are not picked while others are left."""
  _looks(case)
  bad = np.arange(len(case.inputs)) < 10
  leaves = jax.tree.leaves(case.measured)
  if not any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
    raise Skipped('it measures no floats')
  spoilt = _spoilt(case.measured, bad, np.nan)
  try:
    case.select(spoilt)
  except Broken:
    raise
  except Exception as error:
    return f'it rejects NaN: {report.error_text(error)}'
  picks = case.picks(spoilt, 'with NaN measured for 10 examples,')
  if bad[picks].any():
    raise Broken(f'picked {picks[bad[picks]][0]}, whose measurement is NaN')
  return None


def _key(case):
  """Checks that a key determines the picks, and, if uniform, changes them."""
  first, again = (case.picks(case.measured, '') for _ in range(2))
  _same(first, again, 'a second call with the same key')
  if not case.strategy.uniform:
    return
  others = [
    case.picks(case.measured, '', key=key)
    for key in jax.random.split(linear.KEY, 8)
  ]
  if all(np.array_equal(first, other) for other in others):
    raise Broken(
      f'it claims to be uniform, and nine keys gave the picks {first.tolist()}'
    )


def _batches(case):
  """Checks that the measurement of an example does not depend on its batch."""
  _looks(case)
  few = case.measure(case.inputs, size=_FEW)
  for whole, part in zip(
    *map(jax.tree.leaves, (case.measured, few)), strict=True
  ):
    whole, part = (np.asarray(leaf, np.float64) for leaf in (whole, part))
    scale = 1 + np.abs(whole).max()
    apart = np.abs(whole - part).reshape(len(whole), -1).max(1) / scale
    # Not `any(apart > 1e-4)`, which is False for NaN.
    if not np.all(apart <= 1e-4):
      bad = np.argmax(~(apart <= 1e-4))
      raise Broken(
        f'example {bad} measured {_shown(whole[bad])} in a batch of '
        f'{len(whole)} and {_shown(part[bad])} in one of {_FEW}'
      )
  _same(
    case.picks(case.measured, ''),
    case.picks(few, f'measured in batches of {_FEW},'),
    f'measuring in batches of {_FEW}',
  )


def _padding(case):
  """Checks that the inputs of padding rows change nothing."""
  _looks(case)
  kept, changed = (
    case.measure(case.inputs, size=_FEW, filler=filler) for filler in (0.0, 7.0)
  )
  for old, new in zip(*map(jax.tree.leaves, (kept, changed)), strict=True):
    if not np.array_equal(old, new, equal_nan=old.dtype.kind == 'f'):
      raise Broken('padding rows of 7 instead of 0 changed other rows')


def _hidden(case):
  """Checks that hidden answers are not read."""
  _same(
    case.picks(case.measured, ''),
    case.picks(
      case.measured,
      'with hidden answers poisoned,',
      pool=linear.poisoned(case.pool),
    ),
    'garbage in place of hidden answers',
  )


def _state(case):
  """Checks that the state keeps its structure, shapes and types."""
  state, pool = case.strategy.init(case.facts), case.pool
  before = tracing.shapes(state)
  for _ in range(2):
    state, selection = case.select(case.measured, state=state, pool=pool)
    problem = tracing.difference(before, tracing.shapes(state))
    if problem:
      raise Broken(f'select changed the state: {problem}')
    picks = np.asarray(selection.indices)
    pool = case.pool_with([*case.asked, *picks[picks >= 0].tolist()])


def _needs(case):
  """Checks that `measure` uses exactly the parts that `needs` declares."""
  _looks(case)
  declared, rows = dict(case.strategy.needs), case.inputs[:_FEW]
  measure = case.strategy.measure
  try:
    used = tracing.needs_used(measure, case.apply, rows, declared)
  except Exception as error:
    raise Broken(
      f'given only the declared needs, {list(declared)}, measure raised '
      f'{report.error_text(error)} Declare what it reads, such as '
      "needs={'classes': ''}"
    ) from error
  for need in used - set(declared):
    raise Broken(f'measure uses {need!r}, which needs does not declare')
  # `select`, not `measure`, reads the answers.
  for need in set(declared) - used - {needs_lib.ANSWERS}:
    raise Broken(f'needs declares {need!r}, and measure does not use it')


def _where(case):
  """Checks that `where` gives bool[N] that the key determines.

  Hidden answers must not change it.
  """
  if case.strategy.where is None:
    raise Skipped('it has no where')
  state, number = case.strategy.init(case.facts), len(case.inputs)
  masks = []
  for pool in (case.pool, case.pool, linear.poisoned(case.pool)):
    mask = np.asarray(case.strategy.where(linear.KEY, state, pool))
    if mask.shape != (number,) or mask.dtype != bool:
      raise Broken(
        f'where returned {mask.dtype}{list(mask.shape)}; it must return '
        f'bool[{number}]'
      )
    masks.append(mask)
  if not np.array_equal(masks[0], masks[1]):
    raise Broken('where gave two masks for one key')
  if not np.array_equal(masks[0], masks[2]):
    raise Broken('garbage in place of hidden answers changed the mask of where')


def _prefilter(case):
  """Checks that a first stage proposes at least k candidates."""
  if case.strategy.prefilter is None:
    raise Skipped('it has no prefilter')
  _, num_candidates = case.strategy.prefilter
  if num_candidates < case.k:
    raise Broken(f'it has {num_candidates} candidates for k = {case.k}')
  return 'only the last stage was checked: check prefilter[0] by itself'


def _jit(case):
  """Checks that a traceable `select` makes the same picks under `jax.jit`."""
  if tracing.is_jitted(case.strategy.select):
    raise Skipped('select is jitted already')
  _traces(case)
  jitted = case.strategy._replace(
    select=jax.jit(case.strategy.select, static_argnums=5)
  )
  under_jit = dataclasses.replace(case, strategy=jitted)
  _same(
    case.picks(case.measured, ''),
    under_jit.picks(case.measured, 'under jax.jit'),
    'jax.jit',
  )


def _compilations(case):
  """Checks that a second call of `select` compiles nothing."""
  # Made before counting: making the arguments also compiles programs.
  given = [
    {'key': jax.random.key(seed), 'pool': case.pool_with([seed, seed + 1])}
    for seed in (1, 9)
  ]
  measured, (first, second) = case.measured, given
  case.select(measured, **first)
  before = xla.programs_compiled()
  case.select(measured, **second)
  count = xla.programs_compiled() - before
  if not count:
    return None
  told = f'the second call of select compiled {count} programs'
  try:
    _traces(case)
  except Skipped as reason:
    return f'{told}; {reason}'
  raise Broken(f"{told}: put jax.jit with static_argnames='k' around it")


RULES = {
  'picks': _picks,
  'one': _one,
  'finite': _finite,
  'unseen': _unseen,
  'nan': _nan,
  'key': _key,
  'batches': _batches,
  'padding': _padding,
  'hidden': _hidden,
  'state': _state,
  'needs': _needs,
  'where': _where,
  'prefilter': _prefilter,
  'jit': _jit,
  'compilations': _compilations,
}


def _looks(case):
  if case.strategy.measure is None:
    raise Skipped('it measures nothing')


def _traces(case):
  """Raises Skipped if `select` cannot be traced, as host code."""
  state = case.strategy.init(case.facts)
  seen = jnp.ones(len(case.inputs), bool)
  problem = tracing.why_not_traced(
    lambda *given: case.strategy.select(*given, case.k),
    (linear.KEY, state, case.measured, seen, case.pool),
  )
  if problem:
    raise Skipped(f'select is host code ({problem})')


def _same(wanted, found, cause):
  if not np.array_equal(wanted, found):
    raise Broken(
      f'{cause} changed the picks from {wanted.tolist()} to {found.tolist()}'
    )


def _shown(values):
  return np.array2string(np.ravel(values)[:4], precision=6)


def _spoilt(measured, rows, poison):
  """Writes a value into some rows; integer leaves get 3 instead, or 0."""
  return jax.tree.map(
    lambda leaf: leaf.at[np.flatnonzero(rows)].set(
      poison if not poison or jnp.issubdtype(leaf.dtype, jnp.floating) else 3
    ),
    measured,
  )

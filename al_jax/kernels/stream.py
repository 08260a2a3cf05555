"""Budget managers: which examples of a stream are worth a label.

An example of a stream is asked about at once or never. A threshold on its
utility alone does not keep to a budget, so that every manager here holds back
while a running estimate of the share of examples it asked about is at the
budget:

  spent_t = spent_(t-1) (w - 1) / w + asked_t / w,   with window w.

With budget B that estimate is below B + 1/w after every example, so that of
the first T at most (B w + 1) (1 + T / w) are asked about. `spend_balanced`
counts instead: of the first T it asks about at most B T + tolerance + 1.

Each is `(key, state, utility) -> (state, ask)`: bind its options by
`functools.partial` and hand it to `lax.scan` with a key for every example. The
answers do not depend on how a stream is cut into pieces. A utility that is not
finite is never asked about.

`spend_fixed`, `spend_variable` and `spend_random_variable` compare
probabilities: their utilities are `least_confidence`, or any other score for
which 1 - utility is the model's confidence.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax.kernels import _checks

# In place of a utility that is not there: it compares as False with any.
_MISSING = jnp.nan


class Spending(NamedTuple):
  """What a budget manager remembers of a stream.

  Attributes:
    spent: float32, an estimate of the share of recent examples asked about.
    threshold: float32, from 0 to 1: the confidence below which the variable
      managers ask.
    recent: float32[w], the last utilities that a quantile manager saw, the
      newest last; NaN where there was none yet, or none that is finite.
    left: float32, the budget of all examples seen by the balanced manager, less
      the questions it asked.
  """

  spent: jax.Array
  threshold: jax.Array
  recent: jax.Array
  left: jax.Array


def start_spending(*, window: int = 100) -> Spending:
  """The state of a budget manager at the beginning of a stream.

  >>> from al_jax import kernels
  >>> state = kernels.start_spending(window=50)
  >>> float(state.spent), float(state.threshold), state.recent.shape
  (0.0, 1.0, (50,))

  Args:
    window: w, over how many examples the budget is kept, at least 1; static.

  Returns:
    A Spending that has asked about nothing.

  Raises:
    ValueError: window below 1.
  """
  window = _checks.count('window', window)
  return Spending(
    spent=jnp.zeros((), jnp.float32),
    threshold=jnp.ones((), jnp.float32),
    recent=jnp.full(window, _MISSING, jnp.float32),
    left=jnp.zeros((), jnp.float32),
  )


def spend_fixed(
  key: jax.Array,
  state: Spending,
  utility: jax.Array,
  *,
  num_classes: int,
  budget: float = 0.1,
) -> tuple[Spending, jax.Array]:
  """Asks where confidence is at most a threshold that never moves.

    1 - utility <= 1/C + B (1 - 1/C).

  A model whose confidence were uniform over its range would be that unsure of
  a share B of the examples. One that grows confident stops asking.

  Zliobaite et al. 2014, "Active Learning With Drifting Streaming Data", the
  strategy Fixed Uncertainty.

  >>> import jax
  >>> from al_jax import kernels
  >>> state, key = kernels.start_spending(window=5), jax.random.key(0)
  >>> state, ask = kernels.spend_fixed(key, state, 0.48, num_classes=2)
  >>> bool(ask), f'{state.spent:.1f}'
  (True, '0.2')

  Args:
    key: not used: this manager draws nothing.
    state: what it remembers.
    utility: float [], 1 - the largest probability.
    num_classes: C, at least 1; static.
    budget: B, the share of examples to ask about, from 0 to 1; static.

  Returns:
    The next state, and bool []: whether to ask.

  Raises:
    ValueError: num_classes below 1, or a budget out of range.
  """
  del key
  num_classes = _checks.count('num_classes', num_classes)
  utility = _checked(utility, budget)
  threshold = 1 / num_classes + budget * (1 - 1 / num_classes)
  ask = (1 - utility <= threshold) & _may_ask(state, utility, budget)
  return _charge(state, ask), ask


def spend_variable(
  key: jax.Array,
  state: Spending,
  utility: jax.Array,
  *,
  budget: float = 0.1,
  step: float = 0.01,
) -> tuple[Spending, jax.Array]:
  """Asks where confidence is below a threshold that follows the budget.

  The threshold theta starts at 1 and, while there is budget, shrinks by a
  factor 1 - s after a question and grows by 1 + s, up to 1, after none. It
  settles where questions use the budget up, however confident the model.

  Zliobaite et al. 2014, "Active Learning With Drifting Streaming Data", the
  strategy Variable Uncertainty.

  >>> import jax
  >>> from al_jax import kernels
  >>> state, key = kernels.start_spending(window=5), jax.random.key(0)
  >>> state, ask = kernels.spend_variable(key, state, 0.2)
  >>> bool(ask), f'{state.threshold:.2f}'
  (True, '0.99')

  Args:
    key: not used: this manager draws nothing.
    state: what it remembers.
    utility: float [], 1 - the largest probability.
    budget: B, the share of examples to ask about, from 0 to 1; static.
    step: s, how fast the threshold moves, from 0 to 1; static.

  Returns:
    The next state, and bool []: whether to ask.

  Raises:
    ValueError: a budget or step out of range.
  """
  del key
  return _follow_budget(state, utility, 1.0, budget, step)


def spend_random_variable(
  key: jax.Array,
  state: Spending,
  utility: jax.Array,
  *,
  budget: float = 0.1,
  step: float = 0.01,
  scale: float = 1.0,
) -> tuple[Spending, jax.Array]:
  """`spend_variable` with a threshold that is redrawn for every example.

  The confidence is compared with theta times a draw from N(1, delta^2), so
  that now and then an example of which the model is sure is asked about: a
  change in the data shows there too.

  Zliobaite et al. 2014, "Active Learning With Drifting Streaming Data", the
  strategy Variable Uncertainty with
  Randomization.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> def step(state, key):
  ...   return kernels.spend_random_variable(key, state, 0.0)  # always sure
  >>> keys = jax.random.split(jax.random.key(0), 1000)
  >>> _, asked = jax.lax.scan(step, kernels.start_spending(), keys)
  >>> 0.05 < float(jnp.mean(asked)) < 0.15
  True

  Args:
    key: draws the factor.
    state: what it remembers.
    utility: float [], 1 - the largest probability.
    budget: B, the share of examples to ask about, from 0 to 1; static.
    step: s, how fast the threshold moves, from 0 to 1; static.
    scale: delta, the factor's standard deviation, at least 0; static.

  Returns:
    The next state, and bool []: whether to ask.

  Raises:
    ValueError: a budget, step or scale out of range.
  """
  if not scale >= 0:
    raise ValueError(f'scale is {scale}; it must be at least 0.')
  key = _checks.key(key)
  factor = 1 + scale * jax.random.normal(key)
  return _follow_budget(state, utility, factor, budget, step)


def spend_quantile(
  key: jax.Array,
  state: Spending,
  utility: jax.Array,
  *,
  budget: float = 0.1,
) -> tuple[Spending, jax.Array]:
  """Asks where utility is above the (1 - B) quantile of the last w utilities.

  The utility may be on any scale. The w include the present one, and equal
  utilities are put in random order, u ~ U(0, 1):

    #{larger} + u #{equal} < B #{all}.

  A stream that does not change is therefore asked about at rate B whatever
  its distribution, from the first example on, less what the spending limit
  holds back: an eighth at w 100. `spend_balanced` spends all.

  Kottke, Krempl and Spiliopoulou 2015, "Probabilistic Active Learning in
  Datastreams": a quantile of a sliding window in place of a threshold.

  >>> import jax
  >>> from al_jax import kernels
  >>> def step(state, x):
  ...   return kernels.spend_quantile(x[0], state, x[1], budget=0.2)
  >>> key, utility_key = jax.random.split(jax.random.key(0))
  >>> utilities = jax.random.normal(utility_key, (1000,))
  >>> stream = jax.random.split(key, 1000), utilities
  >>> _, asked = jax.lax.scan(step, kernels.start_spending(), stream)
  >>> bool(utilities[asked].mean() > utilities.mean() + 1)
  True

  Args:
    key: puts equal utilities in order.
    state: what it remembers.
    utility: float [], larger is more worth a label.
    budget: B, the share of examples to ask about, from 0 to 1; static.

  Returns:
    The next state, and bool []: whether to ask.

  Raises:
    ValueError: a budget out of range.
  """
  key = _checks.key(key)
  utility = _checked(utility, budget)
  utility = jnp.where(jnp.isfinite(utility), utility, _MISSING)
  recent = jnp.append(state.recent[1:], utility)
  num_larger = jnp.sum(recent > utility)
  num_equal = jnp.sum(recent == utility)
  num_present = jnp.sum(~jnp.isnan(recent))
  rank = num_larger + jax.random.uniform(key) * num_equal
  ask = (rank < budget * num_present) & _may_ask(state, utility, budget)
  return _charge(state._replace(recent=recent), ask), ask


def spend_balanced(
  key: jax.Array,
  state: Spending,
  utility: jax.Array,
  *,
  budget: float = 0.1,
  tolerance: int = 50,
) -> tuple[Spending, jax.Array]:
  """Asks above a quantile that gives way to what is left of the budget.

  With the T examples so far, of which A were asked about before this one:

    left = B T - A
    utility >= quantile_(1 - B) - (largest - smallest) left / tolerance,

  of the last w utilities, which include the present one. What was not spent
  lowers the threshold, what was overspent raises it, and the whole budget is
  spent. No question is asked while left is at or below -tolerance, so that of
  the first T examples at most B T + tolerance + 1 are asked about, whatever the
  utilities are. Equal utilities use this up: where all tie the first
  `tolerance` and a few more are asked about, and from there on a share B.

  Kottke, Krempl and Spiliopoulou 2015, "Probabilistic Active Learning in
  Datastreams", the balanced incremental quantile filter.

  >>> import jax
  >>> from al_jax import kernels
  >>> def step(state, x):
  ...   return kernels.spend_balanced(x[0], state, x[1], budget=0.2)
  >>> key, utility_key = jax.random.split(jax.random.key(0))
  >>> utilities = jax.random.normal(utility_key, (1000,))
  >>> stream = jax.random.split(key, 1000), utilities
  >>> _, asked = jax.lax.scan(step, kernels.start_spending(), stream)
  >>> f'{asked.mean():.2f}'
  '0.20'

  Args:
    key: not used: this manager draws nothing.
    state: what it remembers.
    utility: float [], larger is more worth a label.
    budget: B, the share of examples to ask about, from 0 to 1; static.
    tolerance: over how many questions the balance is restored, at least 1;
      static.

  Returns:
    The next state, and bool []: whether to ask.

  Raises:
    ValueError: a budget out of range, or a tolerance below 1.
  """
  del key
  tolerance = _checks.count('tolerance', tolerance)
  utility = _checked(utility, budget)
  utility = jnp.where(jnp.isfinite(utility), utility, _MISSING)
  recent = jnp.append(state.recent[1:], utility)
  left = state.left + jnp.float32(budget)
  spread = jnp.nanmax(recent) - jnp.nanmin(recent)
  threshold = _quantile(recent, 1 - budget) - spread * (left / tolerance)
  ask = (utility >= threshold) & (left > -tolerance) & (budget > 0)
  state = state._replace(recent=recent, left=left - ask)
  return _charge(state, ask), ask


def _quantile(values, level):
  """The quantile of the values that are not NaN; linear between them."""
  # By count: a float32 product would miss a value that it should hit.
  places = level * np.maximum(np.arange(len(values) + 1) - 1, 0)
  below = np.floor(places).astype(np.int32)
  count = jnp.sum(~jnp.isnan(values))
  low = jnp.asarray(below)[count]
  weight = jnp.asarray(places - below, jnp.float32)[count]
  ordered = jnp.sort(values)  # NaN comes last
  high = jnp.minimum(low + 1, jnp.maximum(count - 1, 0))
  return ordered[low] + weight * (ordered[high] - ordered[low])


def _follow_budget(state, utility, factor, budget, step):
  """One step of the managers whose threshold follows the budget."""
  if not 0 <= step <= 1:
    raise ValueError(f'step is {step}; it must be from 0 to 1.')
  utility = _checked(utility, budget)
  may_ask = _may_ask(state, utility, budget)
  ask = (1 - utility < state.threshold * factor) & may_ask
  moved = state.threshold * jnp.where(ask, 1 - step, 1 + step)
  # Without a bound it would grow through a quiet stretch of the stream.
  threshold = jnp.where(may_ask, jnp.minimum(moved, 1.0), state.threshold)
  return _charge(state._replace(threshold=threshold), ask), ask


def _checked(utility, budget):
  """The utility as float32, after what is wrong has been refused."""
  _checks.number('budget', budget, 'from 0 to 1', lambda value: 0 <= value <= 1)
  utility = _checks.array('utility', utility, 'a float of one example')
  if utility.ndim or not jnp.issubdtype(utility.dtype, jnp.floating):
    raise ValueError(
      'utility must be a float of one example, of shape []; got '
      f'{_checks.described(utility)}.'
    )
  return utility.astype(jnp.float32)


def _may_ask(state, utility, budget):
  return (state.spent < budget) & jnp.isfinite(utility)


def _charge(state, ask):
  """The state after an example has been asked about, or not."""
  window = len(state.recent)
  return state._replace(spent=state.spent + (ask - state.spent) / window)

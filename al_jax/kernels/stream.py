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

Managers that compare the confidence of a model with a threshold are in
`stream_confidence.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from al_jax.kernels import _checks, _spending
from al_jax.kernels._spending import Spending


def start_spending(*, window: int = 100) -> Spending:
  """The state of a budget manager at the beginning of a stream.

  >>> from al_jax import kernels
  >>> state = kernels.start_spending(window=50)
  >>> float(state.spent), float(state.threshold), state.recent.shape
  (0.0, 1.0, (50,))

  Args:
    window: w of every manager: over how many examples the budget is kept, and
      of how many a quantile is taken; at least 1; static.

  Returns:
    A Spending that has asked about nothing.

  Raises:
    ValueError: window below 1.
  """
  window = _checks.count('window', window)
  return Spending(
    spent=jnp.zeros((), jnp.float32),
    threshold=jnp.ones((), jnp.float32),
    recent=jnp.full(window, _spending.MISSING, jnp.float32),
    left=jnp.zeros((), jnp.float32),
  )


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

  Asks only while there is budget: while the estimate `spent` of the share of
  recent examples asked about is below B. After each example it becomes
  spent + (asked - spent) / w.

  A stream that does not change is therefore asked about at rate B whatever
  its distribution, from the first example on, less what this limit holds back:
  an eighth at w 100. `spend_balanced` spends all.

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
    utility: float [], larger is more worth a label. One that is not finite is
      never asked about.
    budget: B, the share of examples to ask about, from 0 to 1; static.

  Returns:
    The next state, and bool []: whether to ask.

  Raises:
    ValueError: a budget out of range.
  """
  key = _checks.key(key)
  utility = _spending.checked(utility, budget)
  utility = jnp.where(jnp.isfinite(utility), utility, _spending.MISSING)
  recent = jnp.append(state.recent[1:], utility)
  num_larger = jnp.sum(recent > utility)
  num_equal = jnp.sum(recent == utility)
  num_present = jnp.sum(~jnp.isnan(recent))
  rank = num_larger + jax.random.uniform(key) * num_equal
  ask = (rank < budget * num_present) & _spending.may_ask(
    state, utility, budget
  )
  return _spending.charge(state._replace(recent=recent), ask), ask


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
    utility: float [], larger is more worth a label. One that is not finite is
      never asked about.
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
  _checks.static('budget', budget)
  utility = _spending.checked(utility, budget)
  utility = jnp.where(jnp.isfinite(utility), utility, _spending.MISSING)
  recent = jnp.append(state.recent[1:], utility)
  left = state.left + jnp.float32(budget)
  spread = jnp.nanmax(recent) - jnp.nanmin(recent)
  threshold = _quantile(recent, 1 - budget) - spread * (left / tolerance)
  ask = (utility >= threshold) & (left > -tolerance) & (budget > 0)
  state = state._replace(recent=recent, left=left - ask)
  return _spending.charge(state, ask), ask


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

"""Budget managers: which examples of a stream are worth a label.

An example of a stream is queried at once or never. A threshold on its utility
alone does not keep to a budget. Every manager here therefore queries only while
a running estimate of the share of queried examples is below the budget:

  spent_t = spent_(t-1) (w - 1) / w + asked_t / w,   with window w.

With budget B that estimate is below B + 1/w after every example, so that at
most (B w + 1) (1 + T / w) of the first T examples are queried.
`spend_balanced` counts instead: it queries at most B T + tolerance + 1 of the
first T.

Each manager is a function `(key, state, utility) -> (state, ask)`: bind its
options by `functools.partial` and pass it to `lax.scan` with a key for every
example. The results do not depend on how a stream is cut into pieces. An
example whose utility is not finite is never queried.

Managers that compare the confidence of a model with a threshold are in
`stream_confidence.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from al_jax.kernels import _checks, _spending
from al_jax.kernels._spending import Spending


def start_spending(*, window: int = 100) -> Spending:
  """Returns the state of a budget manager at the beginning of a stream.

  >>> from al_jax import kernels
  >>> state = kernels.start_spending(window=50)
  >>> float(state.spent), float(state.threshold), state.recent.shape
  (0.0, 1.0, (50,))

  Args:
    window: Number of examples w over which a manager keeps the budget, and of
      which it takes a quantile, at least 1; static.

  Returns:
    A Spending without any query.

  Raises:
    ValueError: If window is below 1.
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
  """Queries utilities above the (1 - B) quantile of the last w utilities.

  The utility may be on any scale. The w utilities include the present one, and
  equal utilities are put in random order, u ~ U(0, 1):

    #{larger} + u #{equal} < B #{all}.

  It queries only while there is budget: while `spent`, the estimated share of
  recent examples that were queried, is below B. After each example it becomes
  spent + (asked - spent) / w.

  A stationary stream is therefore queried at rate B from the first example on,
  whatever its distribution, less the queries that this limit withholds: one in
  eight at w = 100. `spend_balanced` spends the whole budget.

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
    key: Random key that orders equal utilities.
    state: State of the manager.
    utility: float []; a larger utility is more worth a label. If it is not
      finite, the example is never queried.
    budget: B, the share of examples to query, from 0 to 1; static.

  Returns:
    The next state, and bool []: whether to query.

  Raises:
    ValueError: If the budget is out of range.
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
  """Queries utilities above a quantile that follows the remaining budget.

  With the T examples so far, of which A were queried before this one:

    left = B T - A
    utility >= quantile_(1 - B) - (largest - smallest) left / tolerance,

  of the last w utilities, which include the present one. Unspent budget lowers
  the threshold, overspending raises it, and the whole budget is spent. There is
  no query while left is at or below -tolerance, so that at most B T + tolerance
  + 1 of the first T examples are queried, whatever the utilities are. Equal
  utilities reach this limit: if all tie, the first `tolerance` examples and a
  few more are queried, and from there on a share B.

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
    key: Not used: this manager draws nothing.
    state: State of the manager.
    utility: float []; a larger utility is more worth a label. If it is not
      finite, the example is never queried.
    budget: B, the share of examples to query, from 0 to 1; static.
    tolerance: Number of queries over which the balance is restored, at least 1;
      static.

  Returns:
    The next state, and bool []: whether to query.

  Raises:
    ValueError: If the budget is out of range, or the tolerance below 1.
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
  """Returns the quantile of the values without NaNs, interpolated linearly."""
  # Places for every count, on the host: a float32 product would miss values
  # that it should hit exactly.
  places = level * np.maximum(np.arange(len(values) + 1) - 1, 0)
  below = np.floor(places).astype(np.int32)
  count = jnp.sum(~jnp.isnan(values))
  low = jnp.asarray(below)[count]
  weight = jnp.asarray(places - below, jnp.float32)[count]
  ordered = jnp.sort(values)  # NaN comes last
  high = jnp.minimum(low + 1, jnp.maximum(count - 1, 0))
  return ordered[low] + weight * (ordered[high] - ordered[low])

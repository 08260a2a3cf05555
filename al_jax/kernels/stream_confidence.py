"""Budget managers that compare a model's confidence with a threshold.

Their utilities are `least_confidence`, or any other score for which
1 - utility is the model's confidence. `stream.py` describes managers.
"""

import jax
import jax.numpy as jnp
import numpy as np

from al_jax.kernels import _checks, _spending
from al_jax.kernels._spending import Spending


def spend_fixed(
  key: jax.Array,
  state: Spending,
  utility: jax.Array,
  *,
  num_classes: int,
  budget: float = 0.1,
) -> tuple[Spending, jax.Array]:
  """Queries where confidence is at most a threshold that never moves.

    1 - utility <= 1/C + B (1 - 1/C).

  A model whose confidence is uniform over its range is below the threshold for
  a share B of the examples. One that grows confident stops querying.

  It queries only while there is budget: while `spent`, the estimated share of
  recent examples that were queried, is below B. After each example it becomes
  spent + (asked - spent) / w.

  Zliobaite et al. 2014, "Active Learning With Drifting Streaming Data", the
  strategy Fixed Uncertainty.

  >>> import jax
  >>> from al_jax import kernels
  >>> state, key = kernels.start_spending(window=5), jax.random.key(0)
  >>> state, ask = kernels.spend_fixed(key, state, 0.48, num_classes=2)
  >>> bool(ask), f'{state.spent:.1f}'
  (True, '0.2')

  Args:
    key: Not used: this manager draws nothing.
    state: State of the manager.
    utility: float [], 1 - the largest probability. If it is not finite, the
      example is never queried.
    num_classes: C, at least 1; static.
    budget: B, the share of examples to query, from 0 to 1; static.

  Returns:
    The next state, and bool []: whether to query.

  Raises:
    ValueError: If num_classes is below 1, or the budget out of range.
  """
  del key
  num_classes = _checks.count('num_classes', num_classes)
  utility = _spending.checked(utility, budget)
  threshold = 1 / num_classes + budget * (1 - 1 / num_classes)
  ask = (1 - utility <= threshold) & _spending.may_ask(state, utility, budget)
  return _spending.charge(state, ask), ask


def spend_variable(
  key: jax.Array,
  state: Spending,
  utility: jax.Array,
  *,
  budget: float = 0.1,
  step: float = 0.01,
) -> tuple[Spending, jax.Array]:
  """Queries where confidence is below a threshold that follows the budget.

  It queries only while there is budget: while `spent`, the estimated share of
  recent examples that were queried, is below B. After each example it becomes
  spent + (asked - spent) / w.

  The threshold theta starts at 1. While there is budget, it shrinks by a factor
  1 - s after a query, and grows by 1 + s, up to 1, after none. It settles where
  queries use up the budget, however confident the model is.

  Zliobaite et al. 2014, "Active Learning With Drifting Streaming Data", the
  strategy Variable Uncertainty.

  >>> import jax
  >>> from al_jax import kernels
  >>> state, key = kernels.start_spending(window=5), jax.random.key(0)
  >>> state, ask = kernels.spend_variable(key, state, 0.2)
  >>> bool(ask), f'{state.threshold:.2f}'
  (True, '0.99')

  Args:
    key: Not used: this manager draws nothing.
    state: State of the manager.
    utility: float [], 1 - the largest probability. If it is not finite, the
      example is never queried.
    budget: B, the share of examples to query, from 0 to 1; static.
    step: s, the relative change of the threshold, from 0 to 1; static.

  Returns:
    The next state, and bool []: whether to query.

  Raises:
    ValueError: If the budget or the step is out of range.
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
  """Queries as `spend_variable`, with a randomly scaled threshold per example.

  The confidence is compared with theta times a draw from N(1, delta^2).
  Examples with a confident prediction are thus queried now and then, so that a
  change in the data shows there too.

  Zliobaite et al. 2014, "Active Learning With Drifting Streaming Data", the
  strategy Variable Uncertainty with Randomization.

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
    key: Random key that draws the factor.
    state: State of the manager.
    utility: float [], 1 - the largest probability. If it is not finite, the
      example is never queried.
    budget: B, the share of examples to query, from 0 to 1; static.
    step: s, the relative change of the threshold, from 0 to 1; static.
    scale: delta, the factor's standard deviation, at least 0; static.

  Returns:
    The next state, and bool []: whether to query.

  Raises:
    ValueError: If the budget, the step or the scale is out of range.
  """
  _checks.number(
    'scale', scale, 'at least 0, and finite', lambda value: 0 <= value < np.inf
  )
  key = _checks.key(key)
  factor = 1 + scale * jax.random.normal(key)
  return _follow_budget(state, utility, factor, budget, step)


def _follow_budget(state, utility, factor, budget, step):
  """Runs one step of a manager whose threshold follows the budget."""
  _checks.number('step', step, 'from 0 to 1', lambda value: 0 <= value <= 1)
  utility = _spending.checked(utility, budget)
  may_ask = _spending.may_ask(state, utility, budget)
  ask = (1 - utility < state.threshold * factor) & may_ask
  moved = state.threshold * jnp.where(ask, 1 - step, 1 + step)
  # Capped: it would grow without limit while nothing is queried.
  threshold = jnp.where(may_ask, jnp.minimum(moved, 1.0), state.threshold)
  return _spending.charge(state._replace(threshold=threshold), ask), ask

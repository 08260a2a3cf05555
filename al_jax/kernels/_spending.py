"""What the budget managers of a stream share: what was spent, and its limit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from al_jax.kernels import _checks

# In place of a utility that is not there: it compares as False with any.
MISSING = jnp.nan


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


def checked(utility: jax.Array, budget: float) -> jax.Array:
  """Returns the utility as float32, after what is wrong has been refused."""
  _checks.number('budget', budget, 'from 0 to 1', lambda value: 0 <= value <= 1)
  utility = _checks.array('utility', utility, 'a float of one example')
  if utility.ndim or not jnp.issubdtype(utility.dtype, jnp.floating):
    raise ValueError(
      'utility must be a float of one example, of shape []; got '
      f'{_checks.described(utility)}.'
    )
  return utility.astype(jnp.float32)


def may_ask(state: Spending, utility: jax.Array, budget: float) -> jax.Array:
  """Returns whether there is budget, and a utility that is a number."""
  return (state.spent < budget) & jnp.isfinite(utility)


def charge(state: Spending, ask: jax.Array) -> Spending:
  """Returns the state after an example has been asked about, or not."""
  window = len(state.recent)
  return state._replace(spent=state.spent + (ask - state.spent) / window)

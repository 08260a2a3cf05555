"""State of the budget managers of a stream, and their common checks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from al_jax.kernels import _checks

# Stands for a missing utility: every comparison with it is False.
MISSING = jnp.nan


class Spending(NamedTuple):
  """State of a budget manager of a stream.

  Attributes:
    spent: float32, estimated share of recent examples that were queried.
    threshold: float32, from 0 to 1: the confidence below which the variable
      managers query.
    recent: float32[w], last utilities that a quantile manager saw, newest last;
      NaN where there was none yet, or where it was not finite.
    left: float32, budget of all examples that the balanced manager has seen,
      less its queries.
  """

  spent: jax.Array
  threshold: jax.Array
  recent: jax.Array
  left: jax.Array


def checked(utility: jax.Array, budget: float) -> jax.Array:
  """Returns the utility as float32, after checking it and the budget."""
  _checks.number('budget', budget, 'from 0 to 1', lambda value: 0 <= value <= 1)
  utility = _checks.array('utility', utility, 'a float of one example')
  if utility.ndim or not jnp.issubdtype(utility.dtype, jnp.floating):
    raise ValueError(
      'utility must be a float of one example, of shape []; got '
      f'{_checks.described(utility)}.'
    )
  return utility.astype(jnp.float32)


def may_ask(state: Spending, utility: jax.Array, budget: float) -> jax.Array:
  """Returns whether there is budget left and the utility is finite."""
  return (state.spent < budget) & jnp.isfinite(utility)


def charge(state: Spending, ask: jax.Array) -> Spending:
  """Returns the state after an example has been queried, or not."""
  window = len(state.recent)
  return state._replace(spent=state.spent + (ask - state.spent) / window)

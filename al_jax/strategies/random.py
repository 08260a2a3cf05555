"""Queries examples drawn uniformly: the baseline of every paper."""

import functools

import jax

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies.scored import stateless


def random() -> Strategy:
  """Draws uniformly without replacement, measuring nothing."""
  return Strategy(init=stateless, measure=None, select=_select, uniform=True)


@functools.partial(jax.jit, static_argnames='k')
def _select(key, state, measured, seen, pool, k):
  del measured
  return state, kernels.uniform(key, pool_lib.eligible(pool) & seen, k)

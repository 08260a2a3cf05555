"""Restricts a strategy to a random part of the pool, redrawn each round."""

import jax

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.kernels import _padding


def subset(strategy: Strategy, size: int) -> Strategy:
  """Measures only `size` eligible examples and the examples queried earlier.

  Scoring a large pool costs a forward pass over all of it; papers with dropout
  samples often score a random part (Gal et al. 2017, section 5).

  Args:
    strategy: strategy that chooses within the part. It must measure something.
      In a chain the first strategy is restricted.
    size: number of eligible examples to measure; if fewer are left, all.

  Returns:
    A Strategy whose `where` draws a part of the examples that `strategy` would
    measure.
  """
  if size < 1:
    raise ValueError(f'subset is {size}; it must be at least 1.')
  if strategy.measure is None:
    raise ValueError('subset is set for a strategy that measures nothing.')
  if strategy.prefilter is not None:
    first, num_candidates = strategy.prefilter
    return strategy._replace(prefilter=(subset(first, size), num_candidates))

  def where(key, state, pool):
    eligible = pool_lib.eligible(pool)
    if strategy.where is not None:
      inner_key = jax.random.fold_in(key, 1)
      eligible &= strategy.where(inner_key, state, pool)
    chosen = kernels.uniform(key, eligible, size).indices
    chosen = _padding.past_end(chosen, pool.num_examples)
    # Some strategies choose examples far from those queried earlier.
    mask = ~pool_lib.eligible(pool)
    return mask.at[chosen].set(True, mode='drop')

  return strategy._replace(where=jax.jit(where))

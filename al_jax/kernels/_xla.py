"""Where XLA has to be told how to compile a kernel."""

import jax
from jax import lax


def top_k(values: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
  """`lax.top_k`, kept apart from the code that uses its result.

  On CPU XLA folds an index into the result (`best[i]`) into the search itself,
  which then sorts all of `values`. The barrier forbids that.

  Args:
    values: [..., N].
    k: at most N; static.

  Returns:
    The k largest values and their indices, both [..., k].
  """
  return lax.optimization_barrier(lax.top_k(values, k))

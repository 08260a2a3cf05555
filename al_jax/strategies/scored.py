"""Queries the examples with the largest scores, or draws by score."""

import functools
import types
from collections.abc import Callable, Mapping

import jax

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import PyTree, Strategy
from al_jax.strategies import needs as _needs

# How scores become a batch: the largest, or drawn without replacement, see
# `kernels.stochastic_top_k`.
DRAWS = ('top', 'power', 'softmax', 'softrank')


def scored(
  measure: Callable[..., PyTree],
  *,
  draw: str = 'top',
  coldness: float = 1.0,
  needs: Mapping[str, str] = types.MappingProxyType({}),
  score: str = '',
) -> Strategy:
  """Makes a strategy of a score per example.

  Args:
    measure: `(key, apply, Batch) -> float[B]`; the largest scores are queried
      first. For `'power'` they must not be negative.
    draw: one of `DRAWS`.
    coldness: coldness of the draw, above 0; as it grows, the draw approaches
      `'top'`. For `'top'` it must be 1.
    needs: needs of the measure, see `Strategy`.
    score: meaning of the measure, see `Strategy`; not shown for drawn batches.

  Returns:
    A Strategy. `'top'` breaks ties at random.
  """
  if draw not in DRAWS:
    raise errors.unknown_name('draw', draw, DRAWS)
  errors.check_number('coldness', coldness, above=0)
  if draw == 'top':
    if coldness != 1:
      drawn = ', '.join(map(repr, DRAWS[1:]))
      raise ValueError(
        f"coldness is {coldness!r} and draw is 'top', which does not use it; "
        f'draw must be one of: {drawn}.'
      )
    return Strategy(
      stateless,
      measure,
      select_top,
      needs=needs,
      score=score,
      takes_sharded=True,
    )
  select = functools.partial(_draw, kind=draw, coldness=coldness)
  return Strategy(stateless, measure, select, needs=needs)


def of_output(output: str, *, reason: str, score: str) -> Strategy:
  """Queries the largest values of an output that a learner adds.

  Args:
    output: name in the extras of the model's output, float [B].
    reason: learners that add it, for the message if none does.
    score: meaning of the output, see `Strategy`.

  Returns:
    A Strategy that measures the output [N].
  """

  def measure(key, apply, batch):
    del key
    return apply(batch.inputs).extras[output]

  return scored(measure, needs={_needs.EXTRAS + output: reason}, score=score)


def stateless(facts):
  """Returns the empty state."""
  del facts
  return ()


@functools.partial(jax.jit, static_argnames='k')
def select_top(key, state, scores, seen, pool, k):
  """Selects the k eligible examples with the largest scores, ties at random."""
  eligible = pool_lib.eligible(pool) & seen
  return state, kernels.top_k(scores, k, eligible=eligible, key=key)


@functools.partial(jax.jit, static_argnames=('k', 'kind', 'coldness'))
def _draw(key, state, scores, seen, pool, k, *, kind, coldness):
  eligible = pool_lib.eligible(pool) & seen
  return state, kernels.stochastic_top_k(
    key, scores, k, kind=kind, coldness=coldness, eligible=eligible
  )

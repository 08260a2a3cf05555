"""Asks about the examples with the largest scores, or draws by them."""

import functools
import types
from collections.abc import Callable, Mapping

import jax

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import PyTree, Strategy
from al_jax.strategies import needs as _needs

# How a batch is made of scores: the largest, or drawn without replacement, see
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
  """Wires a score per example to the choice of a batch.

  Args:
    measure: `(key, apply, Batch) -> float[B]`, larger is asked first; for power
      0 or above.
    draw: one of `DRAWS`.
    coldness: of a draw, above 0; as it grows a draw becomes the top. At the
      top it must be 1.
    needs: of the measure, see `Strategy`.
    score: what the measure is, see `Strategy`; drawn batches do not show it.

  Returns:
    A Strategy. Ties at the top are broken at random.
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
  """Asks for the largest values of an output that a learner adds.

  Args:
    output: name in the extras of the model's output, float [B].
    reason: who adds it, for the message where nobody does.
    score: what the output is, see `Strategy`.

  Returns:
    A Strategy that measures the output [N].
  """

  def measure(key, apply, batch):
    del key
    return apply(batch.inputs).extras[output]

  return scored(measure, needs={_needs.EXTRAS + output: reason}, score=score)


def stateless(facts):
  """The state of a strategy that remembers nothing."""
  del facts
  return ()


@functools.partial(jax.jit, static_argnames='k')
def select_top(key, state, scores, seen, pool, k):
  """The k eligible examples with the largest scores, ties at random."""
  eligible = pool_lib.eligible(pool) & seen
  return state, kernels.top_k(scores, k, eligible=eligible, key=key)


@functools.partial(jax.jit, static_argnames=('k', 'kind', 'coldness'))
def _draw(key, state, scores, seen, pool, k, *, kind, coldness):
  eligible = pool_lib.eligible(pool) & seen
  return state, kernels.stochastic_top_k(
    key, scores, k, kind=kind, coldness=coldness, eligible=eligible
  )

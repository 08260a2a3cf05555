"""jLP: asks about what diffusion from all that was asked about reaches least.

Simeoni et al. 2020, "Rethinking Deep Active Learning: Using Unlabeled Data at
Model Training", section 4. It is core-set on the manifold of the data: on a
graph of neighbours instead of by distances.
"""

import functools

import jax

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.kernels._affinity import GRAPH_KINDS
from al_jax.strategies import needs
from al_jax.strategies.measured import among_measured
from al_jax.strategies.scored import stateless


def jlp(
  *,
  num_neighbours: int = 50,
  alpha: float = 0.99,
  gamma: float = 3.0,
  graph_kind: str = 'reciprocal',
) -> Strategy:
  """The example that is reached least, k times; each reaches out from then on.

  The graph of cosines has all that is measured. What no label reaches comes
  first, in random order.

  Args:
    num_neighbours: of each example in the graph, at least 1; with fewer others,
      all of them.
    alpha: how far diffusion reaches, from 0 to below 1.
    gamma: exponent of the cosines, above 0.
    graph_kind: 'reciprocal', edges that both ends list; or 'union', edges that
      either does, as in the authors' code.

  Returns:
    A Strategy that measures embeddings [N, D].
  """
  errors.check_number('num_neighbours', num_neighbours, int, least=1)
  errors.check_number('alpha', alpha, least=0, below=1)
  errors.check_number('gamma', gamma, above=0)
  errors.check_name('graph_kind', graph_kind, GRAPH_KINDS)
  select = functools.partial(
    _select,
    num_neighbours=num_neighbours,
    alpha=alpha,
    gamma=gamma,
    graph_kind=graph_kind,
  )
  return Strategy(
    stateless,
    _measure,
    select,
    needs={needs.EMBEDDING: ''},
    score='minus the diffusion that arrives from labels',
  )


def _measure(key, apply, batch):
  del key
  return apply(batch.inputs).embedding


@among_measured
@functools.partial(
  jax.jit,
  static_argnames=('k', 'num_neighbours', 'alpha', 'gamma', 'graph_kind'),
)
def _select(
  key,
  state,
  embeddings,
  seen,
  pool,
  k,
  *,
  num_neighbours,
  alpha,
  gamma,
  graph_kind,
):
  num_neighbours = min(num_neighbours, max(1, len(embeddings) - 1))
  graph = kernels.knn_graph(embeddings, num_neighbours, eligible=seen)
  eligible = pool_lib.eligible(pool)
  # What was asked about and could not be told is a source too, as in core-set:
  # to ask about its neighbours would be as vain.
  return state, kernels.diffusion_selection(
    key,
    graph,
    ~eligible & seen,
    k,
    eligible=eligible & seen,
    alpha=alpha,
    gamma=gamma,
    graph_kind=graph_kind,
  )

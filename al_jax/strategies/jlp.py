"""jLP: queries the examples least reached by diffusion from earlier queries.

Simeoni et al. 2020, "Rethinking Deep Active Learning: Using Unlabeled Data at
Model Training", section 4. It is core-set on the manifold of the data, with a
graph of neighbours instead of distances.
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
  """Selects the least reached example, k times; each pick becomes a source.

  The graph of cosine similarities contains every measured example. Examples
  that diffusion does not reach come first, in random order.

  Args:
    num_neighbours: number of neighbours per example in the graph, at least 1.
      In a smaller graph, all other examples are neighbours.
    alpha: reach of the diffusion, at least 0 and below 1.
    gamma: exponent of the cosines, above 0.
    graph_kind: 'reciprocal', edges between two examples that list each other;
      or 'union', edges that either end lists, as in the authors' code.

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
  # Queries without an answer are sources too, as in core-set: their neighbours
  # would be just as hard to label.
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

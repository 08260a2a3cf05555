"""Queries examples that are similar to many others."""

import functools

import jax

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.measured import among_measured
from al_jax.strategies.scored import select_top, stateless


def information_density(*, beta: float = 1.0) -> Strategy:
  """Queries by entropy, weighted by the mean similarity to the eligible pool.

  Settles and Craven 2008, "An Analysis of Active Learning Strategies for
  Sequence Labeling Tasks", section 3.4.

  Args:
    beta: weight of the density, at least 0; at 0 this is `entropy`.

  Returns:
    A Strategy that measures embeddings [N, D] and entropies [N].
  """
  errors.check_number('beta', beta, least=0)

  def measure(key, apply, batch):
    del key
    output = apply(batch.inputs)
    return output.embedding, kernels.entropy(output.predictions)

  select = functools.partial(_select_by_information, beta=beta)
  needed = {needs.CLASSES: '', needs.EMBEDDING: ''}
  return Strategy(
    stateless, measure, select, needs=needed, score='entropy times density'
  )


def graph_density(*, num_neighbours: int = 10) -> Strategy:
  """Queries examples in the middle of clusters, each cluster once.

  Ebert et al. 2012, "RALF: A Reinforced Active Learning Formulation for Object
  Class Recognition", section 3. The graph contains every measured example.

  Args:
    num_neighbours: number of neighbours per example in the graph, at least 1.
      In a smaller graph, all other examples are neighbours.

  Returns:
    A Strategy that measures embeddings [N, D].
  """
  errors.check_number('num_neighbours', num_neighbours, int, least=1)

  def measure(key, apply, batch):
    del key
    return apply(batch.inputs).embedding

  select = functools.partial(_select_by_graph, num_neighbours=num_neighbours)
  return Strategy(
    stateless,
    measure,
    select,
    needs={needs.EMBEDDING: ''},
    score='density in the graph, less that of earlier picks',
  )


@among_measured
@functools.partial(jax.jit, static_argnames=('k', 'beta'))
def _select_by_information(key, state, measured, seen, pool, k, *, beta):
  embeddings, entropies = measured
  eligible = pool_lib.eligible(pool) & seen
  scores = kernels.information_density(
    embeddings, entropies, eligible=eligible, beta=beta
  )
  return select_top(key, state, scores, seen, pool, k)


@among_measured
@functools.partial(jax.jit, static_argnames=('k', 'num_neighbours'))
def _select_by_graph(key, state, embeddings, seen, pool, k, *, num_neighbours):
  num_neighbours = min(num_neighbours, max(1, len(embeddings) - 1))
  graph = kernels.knn_graph(
    embeddings, num_neighbours, eligible=seen, metric='manhattan'
  )
  # Weights fall by a factor of e at Manhattan distance D, one unit per
  # coordinate.
  gamma = 1 / embeddings.shape[-1]
  eligible = pool_lib.eligible(pool) & seen
  return state, kernels.graph_density(
    key, graph, k, eligible=eligible, gamma=gamma
  )

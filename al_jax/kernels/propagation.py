"""Label propagation: labels flow along the edges of a neighbour graph."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from al_jax.kernels import _affinity, _checks, _xla
from al_jax.kernels.graph import Graph, cast, checked


class Propagation(NamedTuple):
  """Pseudo-labels of all N points, with their certainty.

  Attributes:
    scores: float [N, C], share of each class in the score of a point; rows sum
      to 1, or are 0 for points that propagation does not reach.
    pseudo_labels: int32[N], the known label or else the class of the largest
      score; -1 for unlabelled points that propagation does not reach.
    certainty: float [N], weights from 0 to 1; 1 for known labels, 0 for points
      that propagation does not reach.
  """

  scores: jax.Array
  pseudo_labels: jax.Array
  certainty: jax.Array


def label_propagation(
  graph: Graph,
  targets: jax.Array,
  num_classes: int,
  *,
  alpha: float | jax.Array = 0.99,
  gamma: float = 3,
  graph_kind: str = 'reciprocal',
  num_iters: int = 20,
  tol: float = 1e-6,
) -> Propagation:
  """Propagates known labels over a graph to give pseudo-labels to all points.

  With A_ij = max(s_ij, 0)^gamma for the neighbours j of i, W = min(A, A^T) or
  A + A^T, and Y_ic = 1 / |L_c| for the labelled i of class c,

    Z = max(0, (I - alpha D^-1/2 W D^-1/2)^-1 Y),   D = diag(W 1),
    scores = Z / its row sums,   label = argmax_c of scores,
    certainty = 1 - H(scores) / log C, over its maximum.

  All classes are solved at once by conjugate gradients from 0. As in the paper,
  `num_iters` = 20 iterations do not converge: the cap is part of the result.

  Iscen et al. 2019, "Label Propagation for Deep Semi-supervised Learning",
  section 3.2 and algorithm 1. The union graph is that of the authors' code;
  Simeoni et al. 2020, "Rethinking Deep Active Learning", name the reciprocal
  one.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> points = jnp.array([[1.0, 0.0], [0.9, 0.2], [0.2, 0.9], [0.0, 1.0]])
  >>> graph = kernels.knn_graph(points, 1)
  >>> known = jnp.array([0, -1, -1, 1])
  >>> kernels.label_propagation(graph, known, 2).pseudo_labels.tolist()
  [0, 0, 1, 1]

  Args:
    graph: A `knn_graph` of cosines, or of dot products. Edges of negative
      similarity have no weight; an isolated node keeps its label.
    targets: Known labels, int[N]; -1, or any other number that is no class, for
      unlabelled points. A class without labels is never propagated.
    num_classes: C, at least 1; static. With one class, every point that is
      reached is certain.
    alpha: Reach of the labels, from 0 to below 1.
    gamma: Exponent of the similarities, above 0.
    graph_kind: Edges to use; static. 'reciprocal' keeps edges that both ends
      list; 'union' keeps edges that either end lists, and counts those that
      both list twice.
    num_iters: Maximum number of iterations, at least 1.
    tol: Tolerance: a class is solved once its residual is below `tol` times the
      length of its column of Y.

  Returns:
    A Propagation.

  Raises:
    ValueError: If an option is not allowed.
  """
  _affinity.check_options(alpha, gamma, graph_kind, num_iters)
  num_classes = _checks.count('num_classes', num_classes)
  graph = checked(graph)
  targets = _checks.array('targets', targets, 'int [N]')
  num_points = len(graph.neighbors)
  is_int = jnp.issubdtype(targets.dtype, jnp.integer)
  if not is_int or targets.shape != (num_points,):
    raise ValueError(
      f'targets must be int [N], with N = {num_points} as in graph; got '
      f'{_checks.described(targets)}.'
    )
  return _label_propagation(
    graph=graph,
    targets=targets,
    num_classes=num_classes,
    alpha=alpha,
    gamma=gamma,
    graph_kind=graph_kind,
    num_iters=num_iters,
    tol=tol,
  )


@_xla.compiled
def _label_propagation(
  *, graph, targets, num_classes, alpha, gamma, graph_kind, num_iters, tol
):
  graph = cast(graph)
  labeled = (targets >= 0) & (targets < num_classes)
  # A row of zeros for unlabelled points.
  is_class = jax.nn.one_hot(
    targets, num_classes, dtype=graph.similarities.dtype
  )
  sources = is_class / jnp.maximum(jnp.sum(is_class, axis=0, keepdims=True), 1)
  solution = _affinity.solve(
    _affinity.affinity(graph, gamma, graph_kind),
    sources,
    alpha=alpha,
    num_iters=num_iters,
    tol=tol,
  )
  # Scores may be negative before convergence.
  solution = jnp.maximum(solution, 0.0)
  total = jnp.sum(solution, axis=1)
  reached = total > 0
  scores = solution / jnp.where(reached, total, 1.0)[:, None]
  labels = jnp.where(reached, jnp.argmax(scores, axis=1), -1)
  return Propagation(
    scores,
    jnp.where(labeled, targets, labels).astype(jnp.int32),
    jnp.where(labeled, 1.0, _certainty(scores, reached)),
  )


def _certainty(scores, reached):
  """Computes 1 - H / log C over its maximum, [N]; 0 for unreached points."""
  num_classes = scores.shape[1]
  certain = jnp.ones(reached.shape, scores.dtype)
  if num_classes > 1:
    # 0 log 0 = 0.
    logs = jnp.log(jnp.where(scores > 0, scores, 1.0))
    certain += jnp.sum(scores * logs, axis=1) / jnp.log(num_classes)
  certain = jnp.where(reached, jnp.maximum(certain, 0.0), 0.0)
  largest = jnp.max(certain, initial=0.0)
  return certain / jnp.where(largest > 0, largest, 1.0)

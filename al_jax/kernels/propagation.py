"""Label propagation: labels flow along the edges of a neighbour graph."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from al_jax.kernels import _affinity, _checks, _xla
from al_jax.kernels.graph import Graph, cast, checked


class Propagation(NamedTuple):
  """What the labels of a few points say of all N.

  Attributes:
    scores: float [N, C], share of each class in what reaches a point; rows
      sum to 1, or are 0 where nothing does.
    pseudo_labels: int32[N], the class of the largest score, or the label that
      is known; -1 where nothing reaches an unlabelled point.
    certainty: float [N], from 0 to 1; 1 where the label is known, 0 where
      nothing reaches a point: such a point is left out by its weight.
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
  """Pseudo-labels by diffusion of the known labels over a graph.

  With A_ij = max(s_ij, 0)^gamma for the neighbours j of i, W = min(A, A^T) or
  A + A^T, and Y_ic = 1 / |L_c| for the labelled i of class c,

    Z = max(0, (I - alpha D^-1/2 W D^-1/2)^-1 Y),   D = diag(W 1),
    scores = Z / its row sums,   label = argmax_c of scores,
    certainty = 1 - H(scores) / log C, over its maximum.

  All classes are solved at once by conjugate gradients from 0. After
  `num_iters` = 20 of them they are not converged, as published: the cap is
  part of the result.

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
    graph: a `knn_graph` of cosines, or of dot products. An edge of negative
      similarity has no weight; an isolated node keeps what it has.
    targets: int[N], the known labels; -1, or anything else that is no class,
      where none is known. A class without labels is never propagated.
    num_classes: C, at least 1; static. Of one class all that is reached is
      certain.
    alpha: how far labels flow, from 0 to below 1.
    gamma: exponent of the similarities, above 0.
    graph_kind: 'reciprocal', edges that both ends list, or 'union', edges that
      either does, those of both counting twice; static.
    num_iters: the most iterations, at least 1.
    tol: a class is solved once its residual is below `tol` times the length
      of its column of Y.

  Returns:
    A Propagation.

  Raises:
    ValueError: an option that is not allowed.
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
  # A row of zeros where the target is no class.
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
  # Before convergence a score may be below 0.
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
  """1 - H / log C over its maximum, [N]; 0 where nothing reaches a point."""
  num_classes = scores.shape[1]
  certain = jnp.ones(reached.shape, scores.dtype)
  if num_classes > 1:
    # 0 log 0 = 0.
    logs = jnp.log(jnp.where(scores > 0, scores, 1.0))
    certain += jnp.sum(scores * logs, axis=1) / jnp.log(num_classes)
  certain = jnp.where(reached, jnp.maximum(certain, 0.0), 0.0)
  largest = jnp.max(certain, initial=0.0)
  return certain / jnp.where(largest > 0, largest, 1.0)

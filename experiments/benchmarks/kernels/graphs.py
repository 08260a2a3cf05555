"""Rows of neighbour graphs, of solves on them, and of densities.

In the table of `python -m experiments.benchmark kernels`.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import kernels
from al_jax.kernels import _affinity
from experiments.benchmarks import costs, peers, plain, timing
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine, Peer


class Task(NamedTuple):
  """Points of length 1 around centers, and their graph.

  Attributes:
    points: float32 [N, D].
    graph: neighbour graph of the points, as NumPy arrays.
    targets: classes of a few labelled points, int32[N], -1 elsewhere.
  """

  points: np.ndarray
  graph: kernels.Graph
  targets: np.ndarray


def clustered(
  num_points: int, num_features: int, num_classes: int = 10
) -> np.ndarray:
  """Draws points of length 1, in five clusters per class."""
  rng = np.random.default_rng(0)
  centers = rng.standard_normal((5 * num_classes, num_features), np.float32)
  cluster = np.arange(num_points) % len(centers)
  noise = rng.standard_normal((num_points, num_features), np.float32)
  points = centers[cluster] + 1.5 * noise
  return points / np.linalg.norm(points, axis=1, keepdims=True)


def neighbours(
  machine: Machine,
  points: np.ndarray,
  *,
  k: int = 50,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares the exact graph with faiss's flat search."""
  num_points, num_features = points.shape
  ours = CompiledCall(functools.partial(kernels.knn_graph, k=k), points)
  cost = costs.knn_graph(num_points=num_points, num_features=num_features, k=k)
  yield from timing.beside(
    f'kNN graph, N {num_points:,} D {num_features}, {k} neighbours',
    ours,
    [
      Peer(
        'faiss-cpu, flat',
        lambda: timing.timed(peers.faiss_neighbors(points, k)),
        at_most=1.25,
      )
    ],
    bound=machine.least(cost),
    repeats=repeats,
    bytes_at_most=200e6,
  )


def make_task(points: np.ndarray, k: int = 50, num_classes: int = 10) -> Task:
  """Makes a task with ten labels per class."""
  graph = jax.jit(functools.partial(kernels.knn_graph, k=k))(points)
  # Clusters c of `clustered` with the same c mod num_classes share a class.
  targets = np.full(len(points), -1, np.int32)
  targets[: 10 * num_classes] = np.arange(10 * num_classes) % num_classes
  return Task(points, kernels.Graph(*map(np.asarray, graph)), targets)


def propagation(
  machine: Machine,
  task: Task,
  *,
  num_classes: int = 10,
  num_iters: int = 20,
  repeats: int = 5,
) -> Iterator[Row]:
  """Compares label propagation, and its solve alone, with SciPy."""
  num_points, k = task.graph.neighbors.shape
  cost = costs.label_propagation(
    num_points=num_points,
    num_neighbors=k,
    num_classes=num_classes,
    num_iters=num_iters,
  )
  sources = plain.label_sources(task.targets, num_classes)
  size = f'N {num_points:,}, {num_classes} classes, {num_iters} iterations'

  def whole():
    matrix = plain.reciprocal_matrix(*task.graph)
    return plain.scipy_solve(matrix, sources, num_iters=num_iters)

  yield from timing.beside(
    f'propagation, {size}',
    CompiledCall(
      functools.partial(
        kernels.label_propagation, num_classes=num_classes, num_iters=num_iters
      ),
      task.graph,
      task.targets,
    ),
    [Peer('SciPy: matrix and solves', lambda: timing.timed(whole))],
    bound=machine.least(cost),
    repeats=repeats,
  )
  matrix = jax.jit(lambda graph: _affinity.affinity(graph, 3, 'reciprocal'))(
    task.graph
  )
  solve = functools.partial(
    _affinity.solve, alpha=0.99, num_iters=num_iters, tol=1e-6
  )

  def in_scipy():
    known = plain.reciprocal_matrix(*task.graph)
    return timing.timed(
      lambda: plain.scipy_solve(known, sources, num_iters=num_iters)
    )

  yield from timing.beside(
    f'its solve alone, {size}',
    CompiledCall(solve, matrix, sources, jnp.zeros_like(sources)),
    [Peer('SciPy: a solve per class', in_scipy, at_most=1.0)],
    bound=machine.least(cost),
    repeats=repeats,
  )


def propagation_update(
  machine: Machine,
  task: Task,
  *,
  k: int = 50,
  num_classes: int = 10,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares graph and propagation with faiss and SciPy, used as published."""
  num_points, num_features = task.points.shape

  def update(points, targets):
    graph = kernels.knn_graph(points, k)
    return kernels.label_propagation(
      graph, targets, num_classes, graph_kind='union'
    )

  ours = CompiledCall(update, task.points, task.targets)
  labels, theirs = np.asarray(ours().pseudo_labels), []

  def as_published():
    search = peers.faiss_neighbors(task.points, k)

    def update():
      theirs[:] = plain.published_labels(search, task.targets, num_classes)

    return timing.timed(update)

  bound = machine.least(
    costs.knn_graph(num_points=num_points, num_features=num_features, k=k)
  ) + machine.least(
    costs.label_propagation(
      num_points=num_points,
      num_neighbors=k,
      num_classes=num_classes,
      graph_kind='union',
    )
  )
  for row in timing.beside(
    f'graph and propagation, N {num_points:,} D {num_features} k {k}',
    ours,
    [Peer('faiss-cpu and SciPy', as_published)],
    bound=bound,
    repeats=repeats,
  ):
    if theirs:
      agreed = np.mean(labels == theirs[0])
      row = row._replace(note=f'union graph, {agreed:.2%} of labels agree')
    yield row


def diffusion(
  machine: Machine, task: Task, *, k: int = 10, repeats: int = 3
) -> Iterator[Row]:
  """Compares diffusion selection with SciPy's solves from the same starts."""
  num_points, num_neighbors = task.graph.neighbors.shape
  labeled = task.targets >= 0
  cost = costs.diffusion_selection(
    num_points=num_points, num_neighbors=num_neighbors, k=k
  )
  yield from timing.beside(
    f'diffusion selection, N {num_points:,} k {k}',
    CompiledCall(
      lambda key, graph, labeled: kernels.diffusion_selection(
        key, graph, labeled, k
      ),
      jax.random.key(0),
      task.graph,
      labeled,
    ),
    [
      Peer(
        'SciPy, one after another',
        lambda: timing.timed(
          lambda: plain.scipy_diffusion(*task.graph, labeled, k)
        ),
      )
    ],
    bound=machine.least(cost),
    repeats=repeats,
  )


def densities(
  machine: Machine,
  points: np.ndarray,
  *,
  k: int = 100,
  num_references: int = 2_000,
  num_neighbors: int = 10,
  repeats: int = 3,
) -> Iterator[Row]:
  """Times graph density, information density and hybrid selection."""
  num_points, num_features = points.shape
  key = jax.random.key(0)
  scores = np.random.default_rng(0).random(num_points, np.float32)
  sizes = {'num_points': num_points, 'num_features': num_features}
  build = functools.partial(
    kernels.knn_graph, k=num_neighbors, metric='euclidean'
  )
  graph = kernels.Graph(*map(np.asarray, jax.jit(build)(points)))
  cost = costs.graph_density(
    num_points=num_points, num_neighbors=num_neighbors, k=k
  )
  yield from timing.beside(
    f'graph density, N {num_points:,} k {k}',
    CompiledCall(functools.partial(kernels.graph_density, k=k), key, graph),
    [
      Peer(
        'NumPy and SciPy',
        lambda: timing.timed(lambda: plain.numpy_graph_density(*graph, k)),
      )
    ],
    bound=machine.least(cost),
    repeats=repeats,
  )
  yield from timing.beside(
    f'information density, N {num_points:,} D {num_features}',
    CompiledCall(kernels.information_density, points, scores),
    [
      Peer(
        'NumPy, all cosines',
        lambda: timing.timed(
          lambda: plain.numpy_information_density(points, scores)
        ),
      )
    ],
    bound=machine.least(costs.information_density(**sizes)),
    repeats=repeats,
  )
  yield from _hybrid_selection(
    machine, points, scores, k, num_references, repeats
  )


def _hybrid_selection(machine, points, scores, k, num_references, repeats):
  """Compares hybrid selection with one that passes over all points per pick."""
  num_points, num_features = points.shape
  key = jax.random.key(0)
  references = np.random.default_rng(0).permutation(num_points)
  references = references[:num_references]
  cost = costs.hybrid_informativeness(
    k=k,
    num_references=num_references,
    num_points=num_points,
    num_features=num_features,
  )
  yield from timing.beside(
    f'hybrid selection, N {num_points:,} D {num_features} k {k}',
    CompiledCall(
      lambda key, scores, points: kernels.hybrid_informativeness(
        scores, points, k, key=key, num_references=num_references
      ),
      key,
      scores,
      points,
    ),
    [
      Peer(
        'NumPy, a pass per pick',
        lambda: timing.timed(
          lambda: plain.numpy_hybrid(scores, points, references, k)
        ),
      )
    ],
    bound=machine.least(cost),
    repeats=repeats,
  )

"""Other packages with counterparts of the kernels, each behind one function.

A function takes NumPy arrays and returns a call without arguments, or with the
number of picks. It imports its package only when called, and raises
NotInstalled if the package is missing.
"""

import contextlib
import importlib
import io
import logging
import types
from collections.abc import Callable
from typing import Any

import numpy as np


class NotInstalled(Exception):  # noqa: N818  No error: a row reports it.
  """A peer that cannot be measured.

  Attributes:
    package: name of the package to install.
  """

  def __init__(self, package: str):
    super().__init__(package)
    self.package = package


def imported(module: str, package: str) -> types.ModuleType:
  """Imports a module of a peer.

  Args:
    module: name of the module.
    package: name under which its package is installed.

  Raises:
    NotInstalled: the import fails for any reason: old packages break in many
      ways.
  """
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      return importlib.import_module(module)
  except Exception as error:
    raise NotInstalled(package) from error


def activeml_badge(
  probs: np.ndarray, embedding: np.ndarray
) -> Callable[[int], Any]:
  """Returns BADGE of scikit-activeml: number of picks -> picks."""
  pool = imported('skactiveml.pool', 'scikit-activeml')
  base = imported('skactiveml.base', 'scikit-activeml')

  class Known(base.SkactivemlClassifier):
    """A classifier whose predictions are known."""

    def fit(self, X, y, sample_weight=None):  # noqa: N803  scikit-learn's name.
      return self

    def predict_proba(self, X):  # noqa: N803
      return probs

  num_classes = probs.shape[1]
  targets = np.full(len(probs), np.nan)
  known = Known(classes=np.arange(num_classes))

  def select(k):
    return pool.Badge(random_state=0).query(
      embedding, targets, known, fit_clf=False, batch_size=k
    )

  return select


def activeml_core_set(
  points: np.ndarray, labeled: np.ndarray
) -> Callable[[int], Any]:
  """Returns core-set of scikit-activeml: number of picks -> picks."""
  pool = imported('skactiveml.pool', 'scikit-activeml')
  targets = np.where(labeled, 0.0, np.nan)

  def select(k):
    return pool.CoreSet(random_state=0).query(points, targets, batch_size=k)

  return select


def torch_k_center(points: np.ndarray) -> Callable[[int], Any]:
  """Returns greedy k-center as in anomalib: number of picks -> picks.

  Each pick takes the distances of all points to the last center, their minimum
  with the earlier ones, and the point where it is largest.
  """
  torch = imported('torch', 'torch')
  in_torch = torch.from_numpy(points)

  def select(k):
    last, nearest, picks = 0, None, []
    for _ in range(k):
      to_last = torch.linalg.vector_norm(in_torch - in_torch[last], dim=1)
      nearest = to_last if nearest is None else nearest.minimum(to_last)
      last = int(nearest.argmax())
      picks.append(last)
    return picks

  return select


def distil_badge(gradients: np.ndarray) -> Callable[[int], Any]:
  """Returns BADGE of decile-distil: number of picks -> picks."""
  badge = imported('distil.active_learning_strategies.badge', 'decile-distil')
  return lambda k: badge.init_centers(gradients, k, 'cpu')


def sklearn_seeds(points: np.ndarray) -> Callable[[int], Any]:
  """Returns scikit-learn's k-means++ with one candidate: number -> picks."""
  cluster = imported('sklearn.cluster', 'scikit-learn')
  return lambda k: cluster.kmeans_plusplus(
    points, k, random_state=0, n_local_trials=1
  )


def sklearn_k_means(
  points: np.ndarray, k: int, num_iters: int
) -> Callable[[], Any]:
  """Returns scikit-learn's Lloyd algorithm, seeded by its k-means++."""
  cluster = imported('sklearn.cluster', 'scikit-learn')
  model = cluster.KMeans(
    k, n_init=1, max_iter=num_iters, tol=0.0, algorithm='lloyd', random_state=0
  )
  return lambda: model.fit(points)


def sklearn_distances(a: np.ndarray, b: np.ndarray) -> Callable[[], Any]:
  """Returns the squared distances of scikit-learn."""
  pairwise = imported('sklearn.metrics.pairwise', 'scikit-learn')
  return lambda: pairwise.euclidean_distances(a, b, squared=True)


def redux_batch_bald(
  mc_log_probs: np.ndarray, k: int, num_samples: int
) -> Callable[[], Any]:
  """Returns BatchBALD of batchbald-redux for [S, N, C]: () -> picks, scores."""
  batchbald = imported('batchbald_redux.batchbald', 'batchbald-redux')
  torch = imported('torch', 'torch')
  in_torch = torch.from_numpy(np.array(mc_log_probs.transpose(1, 0, 2)))

  def select():
    with contextlib.redirect_stderr(io.StringIO()):
      return batchbald.get_batchbald_batch(
        in_torch, k, num_samples, dtype=torch.double
      )

  return select


def baal_bald(images: np.ndarray, num_samples: int) -> Callable[[], Any]:
  """Returns BALD of baal with the network of `kernels.networks`.

  Args:
    images: float32 [N, 28, 28, 1].
    num_samples: S.

  Returns:
    A call that predicts and scores.
  """
  wrapper = imported('baal.modelwrapper', 'baal')
  dropout = imported('baal.bayesian.dropout', 'baal')
  heuristics = imported('baal.active.heuristics', 'baal')
  torch = imported('torch', 'torch')
  _silence('baal')
  nn = torch.nn
  network = nn.Sequential(
    nn.Conv2d(1, 20, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(20, 50, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.5),
    nn.Linear(800, 128),
    nn.ReLU(),
    nn.Dropout(0.5),
    nn.Linear(128, 10),
  )
  model = wrapper.ModelWrapper(
    dropout.patch_module(network),
    wrapper.TrainingArgs(batch_size=32, workers=0, use_cuda=False),
  )
  inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
  dataset = torch.utils.data.TensorDataset(inputs, torch.zeros(len(inputs)))

  def score():
    predictions = model.predict_on_dataset(
      dataset, iterations=num_samples, verbose=False
    )
    return heuristics.BALD().get_uncertainties(predictions)

  return score


def _silence(package):
  """Suppresses the log messages of a package below errors."""
  logging.getLogger(package).setLevel(logging.ERROR)
  with contextlib.suppress(ImportError):
    import structlog

    structlog.configure(
      wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )


def faiss_neighbors(points: np.ndarray, k: int) -> Callable[[], Any]:
  """Returns faiss's exact search for the neighbours of points of length 1.

  Args:
    points: float32 [N, D].
    k: number of neighbours besides the point itself, which is found too.

  Returns:
    A call that builds the index and searches.
  """
  faiss = imported('faiss', 'faiss-cpu')

  def search():
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    return index.search(points, k + 1)

  return search

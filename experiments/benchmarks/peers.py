"""Other packages that do what a kernel does, each behind one function.

A function takes NumPy arrays and returns a call without arguments, or with the
number of picks. One whose package is not there raises NotInstalled; nothing is
imported before.
"""

import contextlib
import importlib
import io
import logging
import types
from collections.abc import Callable
from typing import Any

import numpy as np


class NotInstalled(Exception):  # noqa: N818  It is no error: a row says so.
  """A peer that cannot be measured.

  Attributes:
    package: what to install.
  """

  def __init__(self, package: str):
    super().__init__(package)
    self.package = package


def imported(module: str, package: str) -> types.ModuleType:
  """A module of a peer.

  Args:
    module: its name.
    package: the name under which it is installed.

  Raises:
    NotInstalled: it cannot be imported, for whatever reason: old packages
      break in many ways.
  """
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      return importlib.import_module(module)
  except Exception as error:
    raise NotInstalled(package) from error


def activeml_badge(
  probs: np.ndarray, embedding: np.ndarray
) -> Callable[[int], Any]:
  """BADGE of scikit-activeml: number of picks -> picks."""
  pool = imported('skactiveml.pool', 'scikit-activeml')
  base = imported('skactiveml.base', 'scikit-activeml')

  class Known(base.SkactivemlClassifier):
    """A classifier that has been applied already."""

    def fit(self, X, y, sample_weight=None):  # noqa: N803  Its name there.
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
  """The core-set selection of scikit-activeml: number of picks -> picks."""
  pool = imported('skactiveml.pool', 'scikit-activeml')
  targets = np.where(labeled, 0.0, np.nan)

  def select(k):
    return pool.CoreSet(random_state=0).query(points, targets, batch_size=k)

  return select


def torch_k_center(points: np.ndarray) -> Callable[[int], Any]:
  """Greedy k-center as in anomalib: number of picks -> picks.

  Distances of all points to the last center, a minimum, and its largest.
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
  """BADGE of decile-distil: number of picks -> picks."""
  badge = imported('distil.active_learning_strategies.badge', 'decile-distil')
  return lambda k: badge.init_centers(gradients, k, 'cpu')


def sklearn_seeds(points: np.ndarray) -> Callable[[int], Any]:
  """k-means++ of scikit-learn with one candidate: number of picks -> picks."""
  cluster = imported('sklearn.cluster', 'scikit-learn')
  return lambda k: cluster.kmeans_plusplus(
    points, k, random_state=0, n_local_trials=1
  )


def sklearn_k_means(
  points: np.ndarray, k: int, num_iters: int
) -> Callable[[], Any]:
  """Lloyd's algorithm of scikit-learn on its k-means++."""
  cluster = imported('sklearn.cluster', 'scikit-learn')
  model = cluster.KMeans(
    k, n_init=1, max_iter=num_iters, tol=0.0, algorithm='lloyd', random_state=0
  )
  return lambda: model.fit(points)


def sklearn_distances(a: np.ndarray, b: np.ndarray) -> Callable[[], Any]:
  """Squared distances of scikit-learn."""
  pairwise = imported('sklearn.metrics.pairwise', 'scikit-learn')
  return lambda: pairwise.euclidean_distances(a, b, squared=True)


def redux_batch_bald(
  mc_log_probs: np.ndarray, k: int, num_samples: int
) -> Callable[[], Any]:
  """BatchBALD of batchbald-redux, of [S, N, C]: -> (indices, scores)."""
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
  """BALD of baal with the network of `kernels.networks`.

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
  """Logs of a package that nobody asked for."""
  logging.getLogger(package).setLevel(logging.ERROR)
  with contextlib.suppress(ImportError):
    import structlog

    structlog.configure(
      wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )


def faiss_neighbors(points: np.ndarray, k: int) -> Callable[[], Any]:
  """Exact search of faiss among points of length 1, their own place included.

  Args:
    points: float32 [N, D].
    k: neighbours besides the point itself.

  Returns:
    A call that builds the index and searches.
  """
  faiss = imported('faiss', 'faiss-cpu')

  def search():
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    return index.search(points, k + 1)

  return search

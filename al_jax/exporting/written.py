"""Writes the model of a learner, and proves that it predicts the same."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import errors, inference, models, sources
from al_jax.exporting import form, tensors
from al_jax.exporting import model as model_lib
from al_jax.interfaces import Facts, Learner, LearnerState, PyTree

# Examples to compare predictions on.
_COMPARED = 1000


class Trained(NamedTuple):
  """A learner that has been trained, and what is to be said of its model.

  Attributes:
    learner: the learner.
    state: after the training.
    facts: of the task.
    model: `name` and options of the network.
    origin: where it comes from, in terms of JSON: `system`, `seed`, `round`,
      `labels` and more.
    inputs: examples to compare on, [N, ...]; the first of them are.
    chunk_size: rows per forward pass of its evaluations.
  """

  learner: Learner
  state: LearnerState
  facts: Facts
  model: Mapping[str, Any]
  origin: Mapping[str, Any]
  inputs: PyTree
  chunk_size: int


def check_folder(folder: pathlib.Path) -> None:
  """Raises ValueError unless a folder is absent or empty.

  Args:
    folder: to export to.
  """
  if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
    raise ValueError(f'{folder} is no folder; name one to export to.')
  if folder.is_dir() and any(folder.iterdir()):
    raise ValueError(
      f'{folder} is not empty; name a folder that is absent or empty to export '
      'to.'
    )


def write(folder: pathlib.Path, trained: Trained) -> int:
  """Writes a model, loads it back, and compares the two.

  Args:
    folder: where to; absent or empty.
    trained: the learner whose model it is.

  Returns:
    The number of examples whose predictions were compared, and are the same.

  Raises:
    ValueError: the predictions of the learner are not those of its model.
    ContractError: they are said to be, and differ; nothing is left behind.
  """
  learner, facts = trained.learner, trained.facts
  if learner.variables is None:
    raise ValueError(
      f'{trained.origin["system"]} cannot be exported: its learner does not '
      'say by which weights of its model it predicts; a learner of yours does '
      'by `variables`, see interfaces.Learner.'
    )
  with _whole(folder):
    weights = folder / form.WEIGHTS
    tensors.write(weights, tensors.flat(learner.variables(trained.state)))
    said = form.build(
      facts,
      models.without_files(trained.model),
      weights,
      trained.origin,
      chunk_size=trained.chunk_size,
    )
    form.write(folder, said)
    most = min(trained.chunk_size, _COMPARED)
    number = min(sources.length(trained.inputs), most)
    rows = sources.gather_on_host(trained.inputs, np.arange(number))
    _compare(folder, trained, rows)
  return number


@contextlib.contextmanager
def _whole(folder: pathlib.Path) -> Iterator[None]:
  """Makes a folder, and leaves none behind where what is inside fails."""
  is_new = not folder.exists()
  folder.mkdir(parents=True, exist_ok=True)
  try:
    yield
  except BaseException:
    for name in (form.CONFIG, form.WEIGHTS):
      (folder / name).unlink(missing_ok=True)
    if is_new:
      folder.rmdir()
    raise


def _compare(folder, trained, rows):
  """Refuses a model that does not predict as its learner does."""
  learner = trained.learner
  of_learner = inference.make_pool_map(
    lambda state, batch: learner.apply(state, batch.inputs).predictions,
    chunk_size=trained.chunk_size,
  )
  expected = jax.device_get(of_learner(trained.state, rows))
  found = model_lib.load_model(folder).predict(rows)
  same = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), found, expected)
  if not jax.tree.all(same):
    raise errors.ContractError(
      'the exported model predicts other than its learner: `apply` of the '
      'learner must predict by its model with `variables(state)` alone.'
    )

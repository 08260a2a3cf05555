"""Writes the model of a learner, and checks that it predicts the same."""

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

# Maximal number of examples to compare predictions on.
_COMPARED = 1000


class Trained(NamedTuple):
  """A trained learner, and the description of its model.

  Attributes:
    learner: The learner.
    state: State of the learner after training.
    facts: Facts that the model was built for.
    model: `name` and options of the network.
    origin: Origin of the model, as JSON values: `system`, `seed`, `round`,
      `labels` and more.
    inputs: Examples, [N, ...]; predictions are compared on the first of them.
    chunk_size: Rows per forward pass in the evaluations of the run.
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
    folder: Folder to export to.
  """
  if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
    raise ValueError(f'{folder} is not a folder; name one to export to.')
  if folder.is_dir() and any(folder.iterdir()):
    raise ValueError(
      f'{folder} is not empty; name a folder that is absent or empty to export '
      'to.'
    )


def write(folder: pathlib.Path, trained: Trained) -> int:
  """Writes a model, loads it back, and compares the predictions.

  Args:
    folder: Folder to write, absent or empty.
    trained: The learner of the model.

  Returns:
    The number of examples on which predictions are the same.

  Raises:
    ValueError: If the learner does not predict with its model alone.
    ContractError: If predictions differ; the files are removed.
  """
  learner, facts = trained.learner, trained.facts
  if learner.variables is None:
    raise ValueError(
      f'{trained.origin["system"]} cannot be exported: its learner does not '
      'say with which weights of its model it predicts; a learner of your own '
      'says so with `variables`, see interfaces.Learner.'
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
  """Creates a folder; on an error, removes it and its files again."""
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
  """Raises ContractError unless the model predicts as its learner does."""
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
      'the exported model predicts differently from its learner: `apply` of '
      'the learner must predict with its model and `variables(state)` alone.'
    )

"""Writes the model of a learner, and proves that it predicts the same."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from al_jax import errors, inference, models, sources
from al_jax.exporting import form, tensors
from al_jax.exporting import model as model_lib
from al_jax.interfaces import Facts, Learner, LearnerState, PyTree

# Examples to compare predictions on.
_COMPARED = 1000


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


def write(
  folder: pathlib.Path,
  learner: Learner,
  state: LearnerState,
  facts: Facts,
  options: Mapping[str, Any],
  origin: Mapping[str, Any],
  *,
  inputs: PyTree,
  chunk_size: int,
) -> int:
  """Writes a model, loads it back, and compares the two.

  Args:
    folder: where to; absent or empty.
    learner: that trained it.
    state: of the learner.
    facts: of the task.
    options: `name` and options of the network.
    origin: where it comes from, in terms of JSON.
    inputs: examples to compare on, [N, ...]; the first of them are.
    chunk_size: rows per forward pass.

  Returns:
    The number of examples whose predictions were compared, and are the same.

  Raises:
    ValueError: the predictions of the learner are not those of its model.
    ContractError: they are said to be, and differ; nothing is left behind.
  """
  if learner.variables is None:
    raise ValueError(
      f'{origin["system"]} cannot be exported: its learner does not say by '
      'which weights of its model it predicts; a learner of yours does by '
      '`variables`, see interfaces.Learner.'
    )
  options = models.without_files(options)
  folder.mkdir(parents=True, exist_ok=True)
  weights = folder / form.WEIGHTS
  tensors.write(weights, tensors.flat(learner.variables(state)))
  try:
    said = form.build(facts, options, weights, origin, chunk_size=chunk_size)
    form.write(folder, said)
    number = min(sources.length(inputs), chunk_size, _COMPARED)
    rows = sources.gather_on_host(inputs, np.arange(number))
    _compare(folder, learner, state, rows, chunk_size)
  except BaseException:
    for name in (form.CONFIG, form.WEIGHTS):
      (folder / name).unlink(missing_ok=True)
    raise
  return number


def _compare(folder, learner, state, rows, chunk_size):
  """Refuses a model that does not predict as its learner does."""
  of_learner = inference.make_pool_map(
    lambda state, batch: learner.apply(state, batch.inputs).predictions,
    chunk_size=chunk_size,
  )
  expected = jax.device_get(of_learner(state, rows))
  found = model_lib.load_model(folder).predict(rows)
  same = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), found, expected)
  if not jax.tree.all(same):
    raise errors.ContractError(
      'the exported model predicts other than its learner: `apply` of the '
      'learner must predict by its model with `variables(state)` alone.'
    )

"""Exports the model of a finished run, or of a labelling project."""

import pathlib
from typing import NamedTuple

from al_jax import errors, files
from al_jax.exporting import project as project_lib
from al_jax.exporting import run as run_lib
from al_jax.exporting import written
from al_jax.labelling import project as labelling_project


class Exported(NamedTuple):
  """Result of an export.

  Attributes:
    folder: Folder with weights.safetensors and config.json.
    system: Name of the system that trained the model.
    seed: Seed of the run.
    round: Round in which the model was trained, the last one; for a labelling
      project, the last batch, from 0.
    labels: Number of labels it was trained on.
    compared: Number of examples on which the predictions of the learner and of
      the exported model were compared and are bit-identical.
  """

  folder: pathlib.Path
  system: str
  seed: int
  round: int
  labels: int
  compared: int


@errors.needs('al_jax.export')
def export(
  run: files.Path,
  folder: files.Path,
  *,
  system: str | None = None,
  seed: int | None = None,
) -> Exported:
  """Exports the model of a finished run, as it was after the last round.

  Exports only the model. Other networks of the learner (a loss module, a
  generator) and the state to resume a run stay in the checkpoint. The data of
  the run must still exist, because the constants that normalise inputs are
  computed from them. The model of a labelling project is trained by this call,
  on the labels so far.

  Args:
    run: Workdir of the run, folder of a cell of a grid, or folder of a
      labelling project.
    folder: Folder for weights.safetensors and config.json, absent or empty.
    system: Name of the system. May be None if the run has only one.
    seed: Seed of the run. May be None if the run has only one.

  Returns:
    Exported.

  Raises:
    ValueError: If there is no such run, it is not finished, its data have
      changed, its learner has no model that predicts alone, or `folder` is not
      empty.
    CheckpointError: If the checkpoint cannot be read.
    WorkdirError: If another process is working on the run, or a file is a link.
  """
  run, folder = pathlib.Path(run), pathlib.Path(folder)
  written.check_folder(folder)
  if labelling_project.has_begun(run):
    for name, given in (('system', system), ('seed', seed)):
      if given is not None:
        raise ValueError(
          f'{name} is {given!r}, but {run} is a labelling project, which has '
          'only one: leave it out.'
        )
    trained = project_lib.trained(run)
  else:
    trained = run_lib.trained(run, system=system, seed=seed)
  compared = written.write(folder, trained)
  said = (
    trained.origin[name] for name in ('system', 'seed', 'round', 'labels')
  )
  return Exported(folder, *said, compared)

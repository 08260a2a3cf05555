"""Exports the model of a finished run, or of a labelling project."""

import pathlib
from typing import NamedTuple

from al_jax import errors, files
from al_jax.exporting import project as project_lib
from al_jax.exporting import run as run_lib
from al_jax.exporting import written
from al_jax.labelling import project as labelling_project


class Exported(NamedTuple):
  """What was exported.

  Attributes:
    folder: with weights.safetensors and config.json.
    system: the system that trained the model.
    seed: of every random choice.
    round: the last of the run, after whose training the model is; of a project
      the last batch, from 0.
    labels: how many labels there were by then.
    compared: how many examples both the learner and the exported model
      predicted, bit for bit the same.
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

  It is the model alone: what a learner trains beside it (a loss module, a
  generator), and what resumes a run, stay in the checkpoint. The data of the
  run must still be there: from them comes what normalises inputs. The model of
  a labelling project is trained on the labels so far, now.

  Args:
    run: the workdir of the run; of a grid, the folder of a cell; or the folder
      of a labelling project.
    folder: where weights.safetensors and config.json go; absent or empty.
    system: whose model; may be left out if the run has one system.
    seed: likewise; may be left out if the run has one seed.

  Returns:
    Exported.

  Raises:
    ValueError: there is no such run, it is not finished, its data have changed,
      its learner has no model that predicts alone, or the folder is not empty.
    CheckpointError: its checkpoint cannot be read.
    WorkdirError: the run goes on in another process, or has a link.
  """
  run, folder = pathlib.Path(run), pathlib.Path(folder)
  written.check_folder(folder)
  if labelling_project.has_begun(run):
    for name, given in (('system', system), ('seed', seed)):
      if given is not None:
        raise ValueError(
          f'{name} is {given!r}, and {run} is a labelling project, which has '
          'one of each: leave it out.'
        )
    trained = project_lib.trained(run)
  else:
    trained = run_lib.trained(run, system=system, seed=seed)
  compared = written.write(folder, trained)
  said = (
    trained.origin[name] for name in ('system', 'seed', 'round', 'labels')
  )
  return Exported(folder, *said, compared)

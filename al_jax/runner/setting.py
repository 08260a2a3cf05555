"""One setting of a comparison: systems and seeds, in a folder of its own."""

import dataclasses
from collections.abc import Callable

from al_jax import files
from al_jax.runner import (
  building,
  estimate,
  grid,
  harness,
  observers,
  outputs,
  pretraining,
  result_files,
  resuming,
  workers,
)
from al_jax.runner.building import Config, Experiment
from al_jax.storage import manifest, records, workdir

# Whose records are those of a system trained on the whole pool.
ALL_LABELS = 'all labels'


@dataclasses.dataclass(frozen=True)
class How:
  """How to run, whatever is run.

  Attributes:
    num_workers: processes side by side.
    overwrite: begin anew, whatever is in the folder.
    quiet: no progress bar, no line per round.
    tensorboard: also write event files.
  """

  num_workers: int = 1
  overwrite: bool = False
  quiet: bool = False
  tensorboard: bool = False


def checked(config: Config) -> Experiment:
  """The experiment; what does not fit together is said before any work."""
  experiment = building.prepare(config)
  building.check_system_options(config)
  pretraining.build(experiment)
  for name in building.system_names(config):
    building.system_of(experiment, name)
  return experiment


def run(
  place: workdir.Workdir,
  setting: grid.Setting,
  should_stop: Callable[[], bool],
  how: How,
) -> str:
  """Runs all systems and seeds of a setting, or goes on with them.

  Args:
    place: the folder, ours alone.
    setting: what to run.
    should_stop: see `loop.run_rounds`.
    how: to run it.

  Returns:
    The summary. A finished setting is only read.

  Raises:
    loop.Interrupted: on request; everything is saved.
  """
  folder, config = place.path, setting.config
  before = None if how.overwrite else resuming.what_is_in(folder, config)
  if before is not None and 'finished' in before:
    return (folder / 'summary.txt').read_text(encoding='utf-8').rstrip()
  experiment = checked(config)
  systems = building.system_names(config)
  if how.overwrite:
    # Not before it is known that there is something to put in its place.
    place.overwrite()
  about = manifest.build(config, experiment.dataset)
  about['systems'] = systems
  about['axes'] = dict(setting.axes)
  if before is not None:
    resuming.refuse_other_data(folder, before, about)
    about['started'] = before['started']
  place.require_space(
    sum(
      estimate.checkpoint_bytes(experiment, name)
      * len(building.seed_list(config))
      for name in systems
    )
  )
  manifest.write(folder / 'manifest.json', about)
  with observers.Observers(
    folder,
    systems,
    num_rounds=_num_rounds(experiment, systems),
    quiet=how.quiet,
    tensorboard=how.tensorboard,
  ) as watching:
    experiment = _pretrained(folder, experiment, should_stop, watching)
    try:
      _run_cells(folder, experiment, systems, how, should_stop, watching)
    finally:
      rows = watching.records.rows()
      if rows:
        records.write_csv(folder / 'records.csv', rows)
    if config['full_labels']:
      _run_all_labels(folder, experiment, should_stop)
  watching.records.drop_earlier()
  rows = watching.records.rows()
  return _finish(folder, rows, experiment, about)


def _num_rounds(experiment, systems):
  """How many rounds all systems and seeds may have together."""
  seeds = building.seed_list(experiment.config)
  return experiment.protocol.rounds * len(seeds) * len(systems)


def _pretrained(folder, experiment, should_stop, watching):
  """The experiment with the weights that its config asks for."""
  experiment, rows = pretraining.with_weights(
    experiment, should_stop, watching.on_epoch
  )
  if rows:
    result_files.write_pretraining(folder, rows)
  return experiment


def _run_cells(folder, experiment, systems, how, should_stop, watching):
  """Runs every cell, in as many processes as were asked for."""
  cells = harness.cells_of(experiment.config, systems, workers=how.num_workers)
  folder = folder / 'checkpoints'
  if how.num_workers == 1:
    harness.run_cells(
      experiment, cells, folder, should_stop, watching.on_record
    )
  else:
    workers.run_cells(
      experiment,
      cells,
      folder,
      how.num_workers,
      should_stop,
      watching.on_record,
    )


def _run_all_labels(folder, experiment, should_stop):
  """One round with all labels, per seed: the line that curves run up to."""
  config = experiment.config
  proceeding = {
    **config['protocol'],
    'rounds': 1,
    'first_set': 'uniform',
    'first_size': experiment.facts.num_examples,
    'label_budget': None,
  }
  weights = experiment.pretrained
  experiment = building.prepare({**config, 'protocol': proceeding})
  experiment = experiment._replace(pretrained=weights)
  cells = harness.cells_of(experiment.config, ['random'], workers=1)
  found = []

  def on_record(record):
    found.append(dataclasses.replace(record, system=ALL_LABELS))
    records.write_jsonl(folder / 'full_labels.jsonl', found)

  checkpoints = folder / 'checkpoints' / 'all_labels'
  harness.run_cells(experiment, cells, checkpoints, should_stop, on_record)


def _finish(folder, rows, experiment, about):
  """Writes what is made of all records, and marks the setting as finished."""
  records.write_csv(folder / 'records.csv', rows)
  text = outputs.summary(rows)
  with files.replacing(folder / 'summary.txt') as partial:
    partial.write_text(text + '\n', encoding='utf-8')
  outputs.write_pictures(folder, rows, experiment.dataset, axes=about['axes'])
  manifest.write(
    folder / 'manifest.json', {**about, 'finished': manifest.now()}
  )
  return text

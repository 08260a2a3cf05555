"""One setting of a comparison: systems and seeds, in a folder of its own."""

import dataclasses
import pathlib
from collections.abc import Callable

from absl import logging

from al_jax import errors, files
from al_jax.runner import (
  building,
  estimate,
  grid,
  harness,
  outputs,
  pretraining,
  progress,
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


class _Sheet:
  """Keeps the files of a run up to date while records come in."""

  def __init__(self, folder: pathlib.Path, experiment, systems, quiet):
    self.folder = folder
    self.lines = folder / 'records.jsonl'
    self.place = {name: number for number, name in enumerate(systems)}
    self.quiet = quiet
    # A resumed run hands the records of before out again, cell by cell: until
    # then those that an earlier process wrote stand for them.
    self.found = {
      _which(record): record
      for record in _earlier(folder)
      if record.system in self.place
    }
    self.known = set(self.found)
    self.handed_out = set()
    # Whether `lines` has what was found, and nothing else.
    self.is_written = False
    seeds = len(building.seed_list(experiment.config))
    self.bar = progress.ProgressBar(
      experiment.protocol.rounds * seeds * len(systems),
      finished_rounds=len(self.known),
      quiet=quiet,
    )

  def on_record(self, record: records.RoundRecord) -> None:
    """Shows a record if it is new, and writes it down.

    Those of before are handed out all at once: the next new one writes them.
    """
    self.found[_which(record)] = record
    self.handed_out.add(_which(record))
    if _which(record) in self.known:
      self.is_written = False
      return
    self.bar.update(record)
    if not self.quiet:
      self.bar.write(records.log_line(record))
    rows = self.in_order()
    # Processes side by side do not hand them out in order.
    if self.is_written and rows[-1] is record:
      records.append_jsonl(self.lines, record)
    else:
      records.write_jsonl(self.lines, rows)
    self.is_written = True

  def drop_others(self) -> None:
    """Drops what an earlier process wrote and none of the checkpoints has."""
    for which in set(self.found) - self.handed_out:
      del self.found[which]
      self.is_written = False

  def write(self) -> None:
    """Writes all records, which came one by one, and a table of them."""
    rows = self.in_order()
    if not self.is_written:
      records.write_jsonl(self.lines, rows)
    records.write_csv(self.folder / 'records.csv', rows)

  def in_order(self) -> list[records.RoundRecord]:
    """The records so far, by system, seed and round."""
    return sorted(
      self.found.values(),
      key=lambda record: (
        self.place[record.system],
        record.seed,
        record.round,
      ),
    )


def _earlier(folder):
  """What an earlier process wrote down; the checkpoints have it too."""
  path = folder / 'records.jsonl'
  try:
    return records.read_jsonl(path) if path.exists() else []
  except ValueError as error:
    logging.warning(
      '%s. It is written anew from the checkpoints.',
      errors.in_one_line(error).rstrip('.'),
    )
    return []


def _which(record):
  return record.system, record.seed, record.round


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
  sheet = _Sheet(folder, experiment, systems, how.quiet)
  with sheet.bar:
    experiment = _pretrained(sheet, experiment, should_stop)
    try:
      _run_cells(sheet, experiment, systems, how.num_workers, should_stop)
    finally:
      # Before anything is found, what an earlier process wrote is the most.
      if sheet.is_written:
        sheet.write()
    if config['full_labels']:
      _run_all_labels(sheet, experiment, should_stop)
  return _finish(sheet, experiment, about, how.tensorboard)


def _pretrained(sheet, experiment, should_stop):
  """The experiment with the weights that its config asks for."""

  def on_epoch(row):
    if not sheet.quiet:
      told = ', '.join(f'{name} {value:.4g}' for name, value in row.items())
      sheet.bar.write(f'pretraining, {told}')

  experiment, rows = pretraining.with_weights(experiment, should_stop, on_epoch)
  if rows:
    result_files.write_pretraining(sheet.folder, rows)
  return experiment


def _run_cells(sheet, experiment, systems, num_workers, should_stop):
  """Runs every cell, in as many processes as were asked for."""
  cells = harness.cells_of(experiment.config, systems, workers=num_workers)
  folder = sheet.folder / 'checkpoints'
  if num_workers == 1:
    harness.run_cells(experiment, cells, folder, should_stop, sheet.on_record)
  else:
    workers.run_cells(
      experiment, cells, folder, num_workers, should_stop, sheet.on_record
    )


def _run_all_labels(sheet, experiment, should_stop):
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
    records.write_jsonl(sheet.folder / 'full_labels.jsonl', found)

  folder = sheet.folder / 'checkpoints' / 'all_labels'
  harness.run_cells(experiment, cells, folder, should_stop, on_record)


def _finish(sheet, experiment, about, tensorboard):
  """Writes what is made of all records, and marks the setting as finished."""
  sheet.drop_others()
  rows, folder = sheet.in_order(), sheet.folder
  sheet.write()
  text = outputs.summary(rows)
  with files.replacing(folder / 'summary.txt') as partial:
    partial.write_text(text + '\n', encoding='utf-8')
  outputs.write_pictures(folder, rows, experiment.dataset, axes=about['axes'])
  if tensorboard:
    records.write_tensorboard(folder / 'tensorboard', rows)
  manifest.write(
    folder / 'manifest.json', {**about, 'finished': manifest.now()}
  )
  return text

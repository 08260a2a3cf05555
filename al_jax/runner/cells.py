"""Runs the cells of a grid, or the only experiment, each in its folder."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

from al_jax import files, loop
from al_jax.runner import config as config_lib
from al_jax.runner import (
  estimate,
  grid,
  observers,
  options,
  outputs,
  pretraining,
  result_files,
  resuming,
  signals,
  workers,
)
from al_jax.runner import jobs as jobs_lib
from al_jax.runner.config import Experiment
from al_jax.runner.grid import Cell
from al_jax.runner.options import Config
from al_jax.storage import manifest, records, workdir

# The system in the records of a training on the whole pool.
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


def cells_of(config: Config) -> list[Cell]:
  """The cells of a config, each of which has fields that can be read.

  Args:
    config: as plain values.

  Returns:
    The only one, without a name, or those of its grid.

  Raises:
    ValueError: a field that is not known, or a value that it cannot have.
  """
  cells = grid.cells(config)
  for cell in cells:
    config_lib.check_options(cell.config)
  return cells


def describe(cells: Sequence[Cell]) -> None:
  """Prints what a run of the cells would cost."""
  for cell in cells:
    if cell.name:
      print(f'\ncell {cell.name}:')
    print(estimate.describe(checked(cell)))


def run(
  config: Config, cells: Sequence[Cell], folder: files.Path, how: How
) -> int:
  """Runs all cells, or goes on with them.

  Args:
    config: with its grid.
    cells: of the config.
    folder: the workdir.
    how: to run them.

  Returns:
    The exit status.
  """
  is_grid = bool(cells[0].name)
  with workdir.Workdir(folder) as place:
    before = None
    if not how.overwrite:
      before = resuming.what_is_in(
        place.path, config if is_grid else cells[0].config
      )
    if before is not None and 'finished' in before:
      print(
        f'{place.path} holds a finished run of {before["finished"]}; nothing '
        'to do. See summary.txt there; --overwrite starts anew.'
      )
      return 0
    with signals.StopRequest().listening() as should_stop:
      try:
        if is_grid:
          _run_grid(place, config, cells, before, should_stop, how)
        else:
          _run_alone(place, cells[0], should_stop, how)
      except loop.Interrupted:
        print(
          f'Saved in {place.path} and stopped. To go on, run the same command '
          f'again:\n  {manifest.command()}'
        )
        return signals.exit_status(should_stop.number)
  return 0


def _run_alone(place, cell, should_stop, how):
  """Runs the only experiment, in the workdir itself."""
  text = run_cell(place, cell, should_stop, how)
  print(f'\n{text}\n')
  pictures = sorted(str(path) for path in place.path.glob('*.png'))
  print('Pictures: ' + ', '.join(pictures))


def _run_grid(place, config, cells, before, should_stop, how):
  """Runs cell after cell, each in a folder of its own."""
  for cell in cells:
    # What is wrong with the last cell is said before the first is run.
    checked(cell)
    if should_stop():
      raise loop.Interrupted
  if how.overwrite:
    # As a whole, before its first cell.
    _overwrite_grid(place, cells)
    how = dataclasses.replace(how, overwrite=False)
  systems = options.system_names(config)
  about = {
    'config': config,
    'systems': systems,
    'settings': [cell.name for cell in cells],
    'command': manifest.command(),
    'started': manifest.now() if before is None else before['started'],
  }
  about_path = place.path / 'manifest.json'
  manifest.write(about_path, about)
  table = outputs.GridTable(systems)
  for number, cell in enumerate(cells, start=1):
    print(f'[{number}/{len(cells)}] {cell.name}')
    with workdir.Workdir(place.path / cell.name) as own:
      run_cell(own, cell, should_stop, how)
    table.add(cell.name, place.path / cell.name)
    with files.replacing(place.path / 'summary.txt') as partial:
      partial.write_text(f'{table}\n', encoding='utf-8')
    print(f'\n{table}\n')
  manifest.write(about_path, {**about, 'finished': manifest.now()})
  print(
    'For curves, tests and diagnostics: python -m experiments.report '
    f'--workdir={place.path}'
  )


def _overwrite_grid(place, cells):
  """Clears the folders of all cells, those of the run before too."""
  names = {cell.name for cell in cells}
  with contextlib.suppress(ValueError, OSError, LookupError, TypeError):
    names |= set(manifest.read(place.path / 'manifest.json')['settings'])
  place.overwrite()
  for name in sorted(names):
    if (place.path / name).is_dir():
      with workdir.Workdir(place.path / name) as own:
        own.overwrite()


def checked(cell: Cell) -> Experiment:
  """The experiment; what does not fit together is said before any work."""
  experiment = config_lib.prepare(cell.config)
  options.check_system_options(cell.config)
  pretraining.build(experiment)
  for name in options.system_names(cell.config):
    config_lib.system_of(experiment, name)
  return experiment


def run_cell(
  place: workdir.Workdir,
  cell: Cell,
  should_stop: Callable[[], bool],
  how: How,
) -> str:
  """Runs all systems and seeds of a cell, or goes on with them.

  Args:
    place: the folder, ours alone.
    cell: what to run.
    should_stop: see `loop.run_rounds`.
    how: to run it.

  Returns:
    The summary. A finished cell is only read.

  Raises:
    loop.Interrupted: on request; everything is saved.
  """
  folder, config = place.path, cell.config
  before = None if how.overwrite else resuming.what_is_in(folder, config)
  if before is not None and 'finished' in before:
    return (folder / 'summary.txt').read_text(encoding='utf-8').rstrip()
  experiment = checked(cell)
  systems = options.system_names(config)
  if how.overwrite:
    # Not before it is known that there is something to put in its place.
    place.overwrite()
  about = manifest.build(config, experiment.dataset)
  about['systems'] = systems
  about['axes'] = dict(cell.axes)
  if before is not None:
    resuming.refuse_other_data(folder, before, about)
    about['started'] = before['started']
  seeds = len(config_lib.seed_list(config))
  place.require_space(
    sum(estimate.checkpoint_bytes(experiment, name) * seeds for name in systems)
  )
  manifest.write(folder / 'manifest.json', about)
  with observers.Observers(
    folder,
    systems,
    num_rounds=experiment.protocol.rounds * seeds * len(systems),
    quiet=how.quiet,
    tensorboard=how.tensorboard,
  ) as watching:
    experiment = _pretrained(folder, experiment, should_stop, watching)
    try:
      _run_jobs(folder, experiment, how, should_stop, watching.on_record)
    finally:
      rows = watching.records.rows()
      if rows:
        records.write_csv(folder / 'records.csv', rows)
    if config['full_labels']:
      _run_all_labels(folder, experiment, should_stop)
  watching.records.drop_earlier()
  return _finish(folder, watching.records.rows(), experiment, about)


def _pretrained(folder, experiment, should_stop, watching):
  """The experiment with the weights that its config asks for."""
  experiment, rows = pretraining.with_weights(
    experiment, should_stop, watching.on_epoch
  )
  if rows:
    result_files.write_pretraining(folder, rows)
  return experiment


def _run_jobs(folder, experiment, how, should_stop, on_record):
  """Runs every job, in as many processes as were asked for."""
  jobs = jobs_lib.jobs_of(
    experiment.config,
    options.system_names(experiment.config),
    workers=how.num_workers,
  )
  checkpoints = folder / 'checkpoints'
  if how.num_workers == 1:
    jobs_lib.run_jobs(experiment, jobs, checkpoints, should_stop, on_record)
  else:
    workers.run_jobs(
      experiment, jobs, checkpoints, how.num_workers, should_stop, on_record
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
  experiment = config_lib.prepare({**config, 'protocol': proceeding})
  experiment = experiment._replace(pretrained=weights)
  jobs = jobs_lib.jobs_of(experiment.config, ['random'], workers=1)
  found = []

  def on_record(record):
    found.append(dataclasses.replace(record, system=ALL_LABELS))
    records.write_jsonl(folder / 'full_labels.jsonl', found)

  checkpoints = folder / 'checkpoints' / 'all_labels'
  jobs_lib.run_jobs(experiment, jobs, checkpoints, should_stop, on_record)


def _finish(folder, rows, experiment, about):
  """Writes what is made of all records, and marks the cell as finished."""
  records.write_csv(folder / 'records.csv', rows)
  text = outputs.summary(rows)
  with files.replacing(folder / 'summary.txt') as partial:
    partial.write_text(text + '\n', encoding='utf-8')
  outputs.write_pictures(folder, rows, experiment.dataset, axes=about['axes'])
  manifest.write(
    folder / 'manifest.json', {**about, 'finished': manifest.now()}
  )
  return text

"""One run of a binary: from the flags to the files in the workdir."""

import logging as stdlib_logging
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from al_jax import loop, manifest, progress, records, workdir
from experiments import (
  building,
  compilation_cache,
  estimate,
  harness,
  outputs,
  signals,
)

CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'What to run: configs/NAME.py or configs/NAME.py:ARGUMENT.'
)
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Where results and checkpoints go; made if absent.'
)
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Clear what an earlier run left in the workdir.'
)
DRY_RUN = flags.DEFINE_bool(
  'dry_run',
  False,
  'Say what would be run, how long and how large; run nothing.',
)
WORKERS = flags.DEFINE_integer(
  'workers', 1, 'Processes side by side, a seed of a system each.', 1
)
TENSORBOARD = flags.DEFINE_bool(
  'tensorboard', False, 'Also write event files (extra: tensorboard).'
)
QUIET = flags.DEFINE_bool('quiet', False, 'No progress bar, no line per round.')
COMPILATION_CACHE = flags.DEFINE_bool(
  'compilation_cache', True, 'Keep compiled programs between processes.'
)

# What a shell expects of a program that Ctrl-C has ended.
_INTERRUPTED = 130


class _Session:
  """Keeps the files of a run up to date while records come in."""

  def __init__(self, folder: pathlib.Path, experiment, systems):
    self.folder = folder
    self.place = {name: number for number, name in enumerate(systems)}
    self.found = []
    path = folder / 'records.jsonl'
    earlier = records.read_jsonl(path) if path.exists() else []
    # A resumed run hands the records of before out again.
    self.known = {_which(record) for record in earlier}
    seeds = len(building.seed_list(experiment.config))
    self.bar = progress.ProgressBar(
      experiment.protocol.rounds * seeds * len(systems),
      finished_rounds=len(self.known),
      quiet=QUIET.value,
    )

  def on_record(self, record: records.RoundRecord) -> None:
    """Shows a record if it is new, and writes it down."""
    self.found.append(record)
    if _which(record) not in self.known:
      self.bar.update(record)
      if not QUIET.value:
        self.bar.write(records.log_line(record))
    outputs.write_records(self.folder, self.in_order())

  def in_order(self) -> list[records.RoundRecord]:
    """The records so far, by system, seed and round."""
    return sorted(
      self.found,
      key=lambda record: (
        self.place[record.system],
        record.seed,
        record.round,
      ),
    )


def _which(record):
  return record.system, record.seed, record.round


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; what is wrong with it is one line, no trace."""
  # JAX tells at INFO which backends a machine lacks, TFDS which files it opens.
  stdlib_logging.getLogger('jax').setLevel(stdlib_logging.WARNING)
  try:
    arguments = app.parse_flags_with_usage(argv)
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)
    return arguments
  except (AttributeError, KeyError, ValueError, OSError) as error:
    print(f'{type(error).__name__}: {error}', file=sys.stderr)
    sys.exit(1)


def run(systems_field: str) -> int:
  """Runs the systems of a config.

  Args:
    systems_field: the field that names them: `'system'` or `'systems'`.

  Returns:
    The exit status.
  """
  try:
    return _run(systems_field)
  except (ValueError, OSError, ImportError, FloatingPointError) as error:
    # What a user can mend: the message is written for them, a trace is not.
    logging.debug('Trace of the error.', exc_info=True)
    print(f'{type(error).__name__}: {error}', file=sys.stderr)
    return 1


def _run(systems_field):
  config = manifest.plain_config(CONFIG.value.to_dict())
  named = config[systems_field]
  systems = [named] if isinstance(named, str) else list(named)
  if COMPILATION_CACHE.value:
    compilation_cache.enable(compilation_cache.default_folder())
  if WORKDIR.value is None and not DRY_RUN.value:
    raise ValueError('--workdir is not set; name a folder for the results.')
  if DRY_RUN.value:
    print(estimate.describe(_checked(config, systems), systems))
    return 0
  with workdir.Workdir(WORKDIR.value) as place:
    if OVERWRITE.value:
      place.overwrite()
    return _run_in(place, config, systems)


def _checked(config, systems):
  """The experiment; what does not fit together is said before any work."""
  experiment = building.prepare(config)
  for name in systems:
    building.system_of(experiment, name)
  return experiment


def _run_in(place, config, systems):
  """Runs in a workdir that is ours alone."""
  folder = place.path
  about_path = folder / 'manifest.json'
  before = manifest.read(about_path) if about_path.exists() else None
  if before is not None:
    _refuse_another(
      folder, before['config'], config, before['systems'], systems
    )
    if 'finished' in before:
      print(
        f'{folder} holds a finished run of {before["finished"]}; nothing to '
        'do. See summary.txt there; --overwrite starts anew.'
      )
      return 0
  experiment = _checked(config, systems)
  about = manifest.build(config, experiment.dataset)
  about['systems'] = systems
  if before is not None:
    _refuse_another(folder, before['data'], about['data'])
    about['started'] = before['started']
  place.require_space(
    sum(
      estimate.checkpoint_bytes(experiment, name)
      * len(building.seed_list(config))
      for name in systems
    )
  )
  manifest.write(about_path, about)
  session = _Session(folder, experiment, systems)
  with session.bar, signals.StopRequest().listening() as should_stop:
    try:
      _run_cells(session, experiment, systems, should_stop)
    except loop.Interrupted:
      print(
        f'Saved in {folder} and stopped. To go on, run the same command '
        f'again:\n  {about["command"]}'
      )
      return _INTERRUPTED
  _finish(session, experiment, about)
  return 0


def _refuse_another(folder, before, now, *systems):
  """Refuses to go on with something else than what was begun."""
  lines = manifest.config_difference(before, now)
  if systems and systems[0] != systems[1]:
    lines.append(f'systems: {systems[0]} -> {systems[1]}')
  if lines:
    raise ValueError(
      f'{folder} holds another run; choose another --workdir, or --overwrite. '
      'The difference:\n  ' + '\n  '.join(lines)
    )


def _run_cells(session, experiment, systems, should_stop):
  """Runs every cell, in as many processes as were asked for."""
  cells = harness.cells_of(experiment.config, systems, workers=WORKERS.value)
  folder = session.folder / 'checkpoints'
  if WORKERS.value == 1:
    harness.run_cells(experiment, cells, folder, should_stop, session.on_record)
  else:
    harness.run_cells_in_processes(
      experiment.config,
      cells,
      folder,
      WORKERS.value,
      should_stop,
      session.on_record,
    )


def _finish(session, experiment, about):
  """Writes what is made of all records, and marks the run as finished."""
  rows, folder = session.in_order(), session.folder
  text = outputs.summary(rows)
  (folder / 'summary.txt').write_text(text + '\n', encoding='utf-8')
  written = outputs.write_pictures(folder, rows, experiment.dataset)
  if TENSORBOARD.value:
    records.write_tensorboard(folder / 'tensorboard', rows)
  manifest.write(
    folder / 'manifest.json', {**about, 'finished': manifest.now()}
  )
  print(f'\n{text}\n')
  print('Pictures: ' + ', '.join(str(path) for path in written))

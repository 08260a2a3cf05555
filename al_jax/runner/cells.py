"""Runs a cell of a grid, or a single experiment, in its own folder."""

import dataclasses
from collections.abc import Callable

import numpy as np
from absl import logging

from al_jax import data, files, parts, systems
from al_jax.data import transforms
from al_jax.runner import (
  checks,
  estimate,
  features,
  observers,
  options,
  pretraining,
  result_files,
  resuming,
  workers,
)
from al_jax.runner import config as config_lib
from al_jax.runner import jobs as jobs_lib
from al_jax.runner.config import Experiment
from al_jax.runner.grid import Cell
from al_jax.storage import manifest, workdir

# Name of the system in the records of a training on the whole pool.
ALL_LABELS = 'all labels'


@dataclasses.dataclass(frozen=True)
class How:
  """Options of a run that are not in its config.

  Attributes:
    num_workers: number of parallel processes.
    overwrite: whether to start over and replace the contents of the folder.
    quiet: whether to hide the progress bar and the line per round.
    tensorboard: whether to write event files too.
  """

  num_workers: int = 1
  overwrite: bool = False
  quiet: bool = False
  tensorboard: bool = False


class Experiments:
  """Makes the experiments of cells without repeating work.

  All cells of a grid are checked before the first is run, and systems built for
  a check are kept for the run. Only the last data set is kept: cells often
  share one, and all of them may not fit into memory.
  """

  def __init__(self):
    self._spec = self._dataset = None
    # Maps the name of a cell and the fingerprint of its data to its systems.
    self._built = {}

  def checked(self, cell: Cell) -> Experiment:
    """Returns the experiment of a cell, checked before any work.

    Args:
      cell: cell of the run.

    Returns:
      An Experiment whose systems are built.

    Raises:
      ValueError: parts of the config do not fit each other or the data.
    """
    config = cell.config
    if self._dataset is None or self._spec != config['data']:
      self._dataset = None  # never two at a time
      self._dataset = data.load(config['data'])
      self._spec = config['data']
    which = cell.name, self._dataset.fingerprint
    is_new = which not in self._built
    experiment = config_lib.prepare(
      config,
      dataset=self._dataset,
      built=self._built.setdefault(which, {}),
    )
    options.check_system_options(config)
    pretraining.build(experiment)
    for name in options.system_names(config):
      config_lib.system_of(experiment, name)
    if is_new:
      _say_if_all_is_asked(experiment)
    return experiment


def _say_if_all_is_asked(experiment):
  """Warns of a batch larger than the pool: a typo, unless the pool is small."""
  protocol, pool = experiment.protocol, experiment.facts.num_examples
  left = pool - protocol.first_size
  takes_of_pool = not experiment.facts.made_capacity
  if takes_of_pool and protocol.rounds > 1 and protocol.labels_per_round > left:
    logging.warning(
      'protocol.labels_per_round is %s, but of a pool of %s only %s are left '
      'after the first set: the first batch queries all of them.',
      f'{protocol.labels_per_round:,}',
      f'{pool:,}',
      f'{left:,}',
    )


def run(
  place: workdir.Workdir,
  cell: Cell,
  experiments: Experiments,
  should_stop: Callable[[], bool],
  how: How,
) -> str:
  """Runs or resumes all systems and seeds of a cell.

  Args:
    place: folder of the cell, locked by this process.
    cell: cell to run.
    experiments: experiments of this run.
    should_stop: see `loop.run_rounds`.
    how: options of the run.

  Returns:
    The summary; empty for a cell that was already finished.

  Raises:
    loop.Interrupted: `should_stop` returned True; everything is saved.
  """
  folder, config = place.path, cell.config
  before = None if how.overwrite else resuming.what_is_in(folder, config)
  if before is not None and 'finished' in before:
    return ''
  experiment = experiments.checked(cell)
  names = options.system_names(config)
  reported = _report_metrics(experiment, names)
  if how.overwrite:
    # Only after all checks, so that an invalid config deletes nothing.
    place.overwrite()
  # The command line may give the systems as a single text.
  about = manifest.build({**config, 'systems': names}, experiment.dataset)
  about['systems'] = names
  about['axes'] = dict(cell.axes)
  if experiment.features is not None:
    about['data'][features.FIELD] = features.fingerprint(experiment.features)
  about['labels_seen'] = _labels_seen(experiment)
  about['modules'] = _modules(names, config)
  if reported:
    about['report_metrics'] = reported
  if before is not None:
    resuming.refuse_other_data(folder, before, about)
    about['started'] = before['started']
  seeds = len(checks.seed_list(config))
  place.require_space(
    sum(estimate.checkpoint_bytes(experiment, name) * seeds for name in names)
  )
  manifest.write(folder / 'manifest.json', about)
  with observers.Observers(
    folder,
    names,
    experiment.dataset.task,
    num_rounds=experiment.protocol.rounds * seeds * len(names),
    quiet=how.quiet,
    tensorboard=how.tensorboard,
    has_gallery=experiment.dataset.has_pictures,
  ) as watching:
    experiment = _pretrained(folder, experiment, should_stop, watching)
    _run_jobs(folder, experiment, how, should_stop, watching)
    if config['full_labels']:
      _run_all_labels(folder, experiment, should_stop)
  return _finish(folder, watching.records.rows(), experiment, about)


def _modules(names, config):
  """Returns the digests of files with the user's own parts, by module."""
  return parts.digests(
    part for name in names for part in options.parts_of(name, config)
  )


def _report_metrics(experiment, names):
  """Returns the declarations of the learners' own metrics, by name."""
  found = {}
  for name in names:
    report = config_lib.system_of(experiment, name).learner.report
    for metric in () if report is None else report.metrics:
      if found.setdefault(metric.name, metric) != metric:
        raise ValueError(
          f'two learners report {metric.name!r} with different declarations, '
          f'{found[metric.name]} and {metric}: rename one of them.'
        )
  return {name: manifest.declared(metric) for name, metric in found.items()}


def _labels_seen(experiment):
  """Counts the labels that a run reads without paying for them.

  To draw a balanced first set, the oracle reads the classes of the whole pool.
  Pictures of nothing are not counted, because they have no label.
  """
  dataset, proceeding = experiment.dataset, experiment.protocol
  strange = np.count_nonzero(transforms.are_outliers(dataset.train.ids))
  # Not below 0: pictures of nothing may be in the first set.
  others = max(len(dataset.train) - int(strange) - proceeding.first_size, 0)
  found = {
    'validation': 0 if dataset.validation is None else len(dataset.validation),
    'balanced_first_set': others if proceeding.first_set == 'balanced' else 0,
  }
  if experiment.facts.made_capacity:
    # The classifier that answers made queries learns from all of these.
    found['synthesis'] = others
  return found


def _pretrained(folder, experiment, should_stop, watching):
  """Returns the experiment with the pretrained weights of its config."""
  experiment, rows = pretraining.with_weights(
    experiment, should_stop, watching.bar.on_epoch
  )
  if rows:
    result_files.write_pretraining(folder, rows)
  return experiment


def _run_jobs(folder, experiment, how, should_stop, watching):
  """Runs all jobs, in as many processes as requested."""
  jobs = jobs_lib.jobs_of(
    experiment.config,
    options.system_names(experiment.config),
    workers=how.num_workers,
  )
  checkpoints = folder / 'checkpoints'
  if how.num_workers == 1:
    jobs_lib.run_jobs(experiment, jobs, checkpoints, should_stop, watching.all)
  else:
    workers.run_jobs(
      experiment, jobs, checkpoints, how.num_workers, should_stop, watching.all
    )


def _run_all_labels(folder, experiment, should_stop):
  """Trains one round per seed on all labels, the upper line of the plots."""
  config = experiment.config
  proceeding = {
    **config['protocol'],
    'rounds': 1,
    'first_set': 'uniform',
    features.FIELD: None,
    'first_size': experiment.facts.num_examples,
    'label_budget': None,
  }
  # Without weights, pretraining only made features for a first set.
  begins = {} if experiment.pretrained is None else config['pretraining']
  experiment = config_lib.prepare(
    {
      **config,
      'protocol': proceeding,
      'pretraining': begins,
      'synthesis': {},
      'stream': {},
    },
    dataset=experiment.dataset,
  ).beginning_with(experiment.pretrained)
  jobs = jobs_lib.jobs_of(experiment.config, [systems.BASELINE], workers=1)
  checkpoints = workdir.below(folder, 'checkpoints', 'all_labels')
  file = _AllLabels(folder / 'full_labels.jsonl', [ALL_LABELS])
  jobs_lib.run_jobs(experiment, jobs, checkpoints, should_stop, [file])
  file.close(is_over=True)


class _AllLabels(observers.RecordsFile):
  """Writes the records of trainings on all labels, as a system of their own."""

  def on_record(self, record):
    super().on_record(dataclasses.replace(record, system=ALL_LABELS))


def _finish(folder, rows, experiment, about):
  """Writes the outputs made from all records, and marks the cell finished."""
  # Deferred because importing Matplotlib and SciPy takes seconds.
  from al_jax.analysis import streams, tables
  from al_jax.runner import outputs

  notes = [
    *tables.majority_notes(rows, about['data']['majority']),
    *tables.short_notes(rows, about['config']),
    *streams.unfinished_notes(rows, len(experiment.dataset.train)),
  ]
  for note in notes:
    logging.warning('%s: %s', folder, note)
  text = outputs.summary(rows, experiment.dataset.task.headline, notes)
  with files.replacing(folder / 'summary.txt') as partial:
    partial.write_text(text + '\n', encoding='utf-8')
  outputs.write_pictures(folder, rows, experiment.dataset, axes=about['axes'])
  manifest.write(folder / 'manifest.json', manifest.finished(folder, about))
  return text

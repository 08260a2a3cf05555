"""Runs a cell of a grid, or the only experiment, in a folder of its own."""

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


class Experiments:
  """Makes the experiments of cells, and does no work twice.

  The cells of a grid are checked before the first is run. What was built for a
  check is kept for the run. Of the data sets only the last is kept: cells often
  share one, and all of them may not fit into memory.
  """

  def __init__(self):
    self._spec = self._dataset = None
    # Systems by the name of the cell and the fingerprint of its data.
    self._built = {}

  def checked(self, cell: Cell) -> Experiment:
    """The experiment of a cell; says what does not fit before any work.

    Args:
      cell: of the run.

    Returns:
      An Experiment whose systems are built.

    Raises:
      ValueError: parts of the config do not fit together, or not to the data.
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
  """A batch larger than the pool may be a slip; small data sets need it."""
  protocol, pool = experiment.protocol, experiment.facts.num_examples
  left = pool - protocol.first_size
  takes_of_pool = not experiment.facts.made_capacity
  if takes_of_pool and protocol.rounds > 1 and protocol.labels_per_round > left:
    logging.warning(
      'protocol.labels_per_round is %s, and of a pool of %s there are %s left '
      'after the first set: the first query is for all of them.',
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
  """Runs all systems and seeds of a cell, or goes on with them.

  Args:
    place: the folder, ours alone.
    cell: what to run.
    experiments: of this run.
    should_stop: see `loop.run_rounds`.
    how: to run it.

  Returns:
    The summary; empty for a cell that was finished before.

  Raises:
    loop.Interrupted: on request; everything is saved.
  """
  folder, config = place.path, cell.config
  before = None if how.overwrite else resuming.what_is_in(folder, config)
  if before is not None and 'finished' in before:
    return ''
  experiment = experiments.checked(cell)
  names = options.system_names(config)
  reported = _report_metrics(experiment, names)
  if how.overwrite:
    # Not before it is known that there is something to put in its place.
    place.overwrite()
  # On a command line they may be one text.
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
  """The files of parts that are not the library's, by module: digests."""
  return parts.digests(
    part for name in names for part in options.parts_of(name, config)
  )


def _report_metrics(experiment, names):
  """What the metrics of learners' own are, by name."""
  found = {}
  for name in names:
    report = config_lib.system_of(experiment, name).learner.report
    for metric in () if report is None else report.metrics:
      if found.setdefault(metric.name, metric) != metric:
        raise ValueError(
          f'two learners report {metric.name!r}, but not the same, '
          f'{found[metric.name]} and {metric}: rename one of them.'
        )
  return {name: manifest.declared(metric) for name, metric in found.items()}


def _labels_seen(experiment):
  """Counts the labels that a run reads beyond those it pays for.

  To draw a balanced first set the oracle reads the classes of the whole pool.
  Pictures of nothing have no label that anybody could read.
  """
  dataset, proceeding = experiment.dataset, experiment.protocol
  strange = np.count_nonzero(transforms.are_outliers(dataset.train.ids))
  # A first set may hold some of them.
  others = max(len(dataset.train) - int(strange) - proceeding.first_size, 0)
  found = {
    'validation': 0 if dataset.validation is None else len(dataset.validation),
    'balanced_first_set': others if proceeding.first_set == 'balanced' else 0,
  }
  if experiment.facts.made_capacity:
    # The classifier that answers about made queries learns all of them.
    found['synthesis'] = others
  return found


def _pretrained(folder, experiment, should_stop, watching):
  """The experiment with the weights that its config asks for."""
  experiment, rows = pretraining.with_weights(
    experiment, should_stop, watching.bar.on_epoch
  )
  if rows:
    result_files.write_pretraining(folder, rows)
  return experiment


def _run_jobs(folder, experiment, how, should_stop, watching):
  """Runs every job, in as many processes as were asked for."""
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
  """One round with all labels, per seed: the line that curves run up to."""
  config = experiment.config
  proceeding = {
    **config['protocol'],
    'rounds': 1,
    'first_set': 'uniform',
    features.FIELD: None,
    'first_size': experiment.facts.num_examples,
    'label_budget': None,
  }
  # Features spread a first set, and here is none.
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
  """Keeps the records of trainings on all labels, under a name of their own."""

  def on_record(self, record):
    super().on_record(dataclasses.replace(record, system=ALL_LABELS))


def _finish(folder, rows, experiment, about):
  """Writes what is made of all records, and marks the cell as finished."""
  # Matplotlib and SciPy take seconds: not before the first step.
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

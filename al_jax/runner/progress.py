"""A progress bar of rounds, and a line for each finished system."""

import collections
import sys
import time
from collections.abc import Collection, Mapping
from typing import Self, TextIO

import tqdm

from al_jax.loop.events import RoundProgress
from al_jax.storage import metrics, records
from al_jax.tasks import Metric, Task

# Shortest time between two lines about rounds if there is no bar.
_SECONDS_BETWEEN_LINES = 30.0


class ProgressBar:
  """Shows the finished rounds, the current position, and the time left.

  The bar is only drawn in a terminal. Elsewhere (a file, a pipe, a scheduler, a
  notebook) a line about the last round is written every 30 seconds. In both
  cases a finished system gets a line. `quiet` shows nothing.
  """

  def __init__(
    self,
    total_rounds: int,
    task: Task,
    *,
    num_systems: int = 1,
    finished: Collection[tuple[str, int, int]] = (),
    quiet: bool = False,
    stream: TextIO | None = None,
  ):
    """Draws the bar.

    Args:
      total_rounds: number of rounds of all systems and seeds together.
      task: the task; its headline is shown.
      num_systems: number of systems; each has the same number of rounds.
      finished: system, seed and round of records that a resumed run found. They
        do not count in the estimate of the time left.
      quiet: whether to draw no bar and write no lines.
      stream: stream to write to; standard error by default.
    """
    self._task = task
    self._stream = stream if stream is not None else sys.stderr
    self._finished, self._quiet = frozenset(finished), quiet
    self._rounds_of_system = total_rounds // max(num_systems, 1)
    # Records by system, until the system has its line.
    self._records = collections.defaultdict(list)
    self._shown, self._last_line = set(), time.monotonic()
    self._bar = tqdm.tqdm(
      total=total_rounds,
      initial=len(self._finished),
      # If None, tqdm draws the bar only in a terminal.
      disable=True if quiet else None,
      file=self._stream,
      unit='round',
      dynamic_ncols=True,
      # Seeds in lockstep report together and then pause for long. So every
      # report is drawn, and the time left averages over the whole run.
      mininterval=0,
      smoothing=0,
      bar_format=(
        '{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} rounds, '
        '{elapsed} gone, {remaining} left'
      ),
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, error_type: object, *exception: object) -> None:
    if error_type is None:
      # A run may end before its last round.
      for system in list(self._records):
        self._write_system(system)
    self._bar.close()

  def on_progress(self, progress: RoundProgress) -> None:
    """Shows the progress of a round's training."""
    told = ', '.join(
      f'{metrics.spelled(name)} {progress.metrics[name]:.3g}'
      for name in ('loss', *self._task.watched)
      if name in progress.metrics
    )
    self._bar.set_description_str(
      f'{progress.system}, seed {progress.seed}, round {progress.round}, '
      f'step {progress.step:,}{": " if told else ""}{told} '
    )

  def on_epoch(self, row: Mapping[str, float]) -> None:
    """Writes a line about an epoch of a pretraining."""
    told = ', '.join(f'{name} {value:.4g}' for name, value in row.items())
    self._write(f'pretraining, {told}')

  def on_record(self, record: records.RoundRecord) -> None:
    """Shows the result of a round, and counts it unless it was finished."""
    self._records[record.system].append(record)
    if (record.system, record.seed, record.round) in self._finished:
      return
    self._shown.add(record.system)
    shown = _shown(record.test, self._task.headline)
    self._bar.set_description_str(
      f'{record.system}, seed {record.seed}, round {record.round}, '
      f'{record.labels} labels{shown} ',
      refresh=False,
    )
    self._bar.update()
    if len(self._records[record.system]) == self._rounds_of_system:
      self._write_system(record.system)
    elif self._bar.disable:
      self._write_sometimes(records.log_line(record, self._task.headline))

  def _write_system(self, system):
    """Writes the line of a system, if this process ran any of its rounds."""
    rows = self._records.pop(system)
    if system in self._shown:
      self._write(_of_system(system, rows, self._task.headline))

  def _write_sometimes(self, line):
    """Writes a line unless another one was written a moment ago."""
    if time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
      self._write(line)

  def _write(self, line):
    """Writes a line above the bar."""
    self._last_line = time.monotonic()
    if not self._quiet:
      self._bar.write(line, file=self._stream)


def _of_system(system, rows, headline: Metric) -> str:
  """Describes the last results of a system, over its seeds."""
  # Deferred because importing SciPy takes a while.
  from al_jax.analysis import curves, tables

  seeds = len({row.seed for row in rows})
  labels = max(row.labels for row in rows)
  reached = ''
  metric = curves.headline_of(rows, headline)
  if metric is not None:
    by_seed = curves.runs(rows, column=metric.name)[system]
    mean, error, _ = curves.mean_of_last(by_seed)
    reached = (
      f', {metrics.spelled(metric.name)} '
      f'{tables.shown(mean, error, metric)}{metric.unit}'
    )
  seconds = sum(row.seconds for row in rows)
  return (
    f'{system}: {seeds} seed{"" if seeds == 1 else "s"}, {labels:,} labels'
    f'{reached}, {seconds:.1f} s'
  )


def _shown(test, headline: Metric) -> str:
  if headline.name not in test:
    return ''
  value = test[headline.name]
  value = f'{value:.1%}' if headline.unit == '%' else f'{value:.3g}'
  return f', {metrics.spelled(headline.name)} {value}'

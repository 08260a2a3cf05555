"""A progress bar for people at a terminal, and silence for everybody else."""

import sys
from collections.abc import Collection, Mapping
from typing import Self, TextIO

import tqdm

from al_jax.loop.events import RoundProgress
from al_jax.storage import metrics, records
from al_jax.tasks import Metric, Task


class ProgressBar:
  """Rounds done, where the run is, the last headline, and the time left.

  The bar is drawn only where it can be seen: not when the stream is no
  terminal (a file, a pipe, a scheduler). A line per round is written either
  way, above the bar where there is one. `quiet` asks for neither.
  """

  def __init__(
    self,
    total_rounds: int,
    task: Task,
    *,
    finished: Collection[tuple[str, int, int]] = (),
    quiet: bool = False,
    stream: TextIO | None = None,
  ):
    """Draws the bar.

    Args:
      total_rounds: of all systems and seeds together.
      task: what is predicted; the bar shows its headline.
      finished: systems, seeds and rounds that a resumed run found done. They do
        not count in the estimate of the time left, and are not shown again.
      quiet: draw no bar, and write no lines.
      stream: where to draw and to write; standard error by default.
    """
    self._task = task
    self._stream = stream if stream is not None else sys.stderr
    self._finished, self._quiet = frozenset(finished), quiet
    self._bar = tqdm.tqdm(
      total=total_rounds,
      initial=len(self._finished),
      # tqdm's None means: disabled unless the stream is a terminal.
      disable=True if quiet else None,
      file=self._stream,
      unit='round',
      dynamic_ncols=True,
      # Seeds in lock step report together and then not for a long while: each
      # is drawn, and the time left comes from the average over the whole run.
      mininterval=0,
      smoothing=0,
      bar_format=(
        '{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} rounds, '
        '{elapsed} gone, {remaining} left'
      ),
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception: object) -> None:
    self._bar.close()

  def on_progress(self, progress: RoundProgress) -> None:
    """Shows where the training of a round is."""
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
    """Counts a round as done and shows its result, unless it was before."""
    if (record.system, record.seed, record.round) in self._finished:
      return
    shown = _shown(record.test, self._task.headline)
    self._bar.set_description_str(
      f'{record.system}, seed {record.seed}, round {record.round}, '
      f'{record.labels} labels{shown} ',
      refresh=False,
    )
    self._bar.update()
    self._write(records.log_line(record, self._task.headline))

  def _write(self, line):
    """Writes a line above the bar."""
    if not self._quiet:
      self._bar.write(line, file=self._stream)


def _shown(test, headline: Metric) -> str:
  if headline.name not in test:
    return ''
  value = test[headline.name]
  value = f'{value:.1%}' if headline.unit == '%' else f'{value:.3g}'
  return f', {metrics.spelled(headline.name)} {value}'

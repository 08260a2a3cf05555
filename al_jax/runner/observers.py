"""What is shown and written down while the records of a run come in."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Self

from absl import logging

from al_jax import errors, files
from al_jax.loop.events import RoundProgress
from al_jax.runner import progress as progress_lib
from al_jax.runner.tensorboard import TensorBoard
from al_jax.storage import records
from al_jax.tasks import Task


class RecordsFile:
  """Keeps a file of records complete and in order while they come in.

  A resumed run hands out its earlier records again, job by job. Until then the
  lines that an earlier process wrote stand for them.
  """

  def __init__(self, path: pathlib.Path, systems: Sequence[str]):
    """Reads what an earlier process wrote.

    Args:
      path: of the file, which need not be there.
      systems: names, in the order of the file.
    """
    self._path = path
    self._order = {name: number for number, name in enumerate(systems)}
    # Lines by system, seed and round: of this process, and of an earlier one.
    self._lines: dict[tuple[int, int, int], str] = {}
    self._earlier = {}
    if path.exists():
      self._earlier = self._read()
      self._rewrite()
    self._last = max(self._earlier, default=())

  def __len__(self) -> int:
    return len(self._lines) + len(self._earlier)

  def on_record(self, record: records.RoundRecord) -> bool:
    """Writes a record down; False if an earlier process had done so."""
    place, line = self._place(record), _line(record)
    earlier = self._earlier.pop(place, None)
    self._lines[place] = line
    if place > self._last:
      self._last = place
      records.append_jsonl(self._path, record)
    # Of processes side by side, or of a round that was run again.
    elif line != earlier:
      self._rewrite()
    return earlier is None

  def drop_earlier(self) -> None:
    """Drops what an earlier process wrote and no checkpoint has."""
    if self._earlier:
      self._earlier = {}
      self._rewrite()

  def rows(self) -> list[records.RoundRecord]:
    """The records so far, by system, seed and round."""
    return records.read_jsonl(self._path) if len(self) else []

  def _read(self):
    try:
      return {
        self._place(record): _line(record)
        for record in records.read_jsonl(self._path)
        if record.system in self._order
      }
    except ValueError as error:
      logging.warning(
        '%s. It is written anew from the checkpoints.',
        errors.in_one_line(error).rstrip('.'),
      )
      return {}

  def _rewrite(self):
    lines = {**self._earlier, **self._lines}
    with files.replacing(self._path) as partial:
      partial.write_text(''.join(lines[place] for place in sorted(lines)))

  def _place(self, record):
    return self._order[record.system], record.seed, record.round


def _line(record):
  return record.to_json() + '\n'


class Observers:
  """Shows and writes down what happens while an experiment runs."""

  def __init__(
    self,
    folder: pathlib.Path,
    systems: Sequence[str],
    task: Task,
    *,
    num_rounds: int,
    quiet: bool,
    tensorboard: bool,
  ):
    """Opens what is written to.

    Args:
      folder: of the experiment.
      systems: names, in the order of the file of records.
      task: what is predicted.
      num_rounds: of all systems and seeds together.
      quiet: no progress bar, no line per round.
      tensorboard: also write event files.
    """
    self.records = RecordsFile(folder / 'records.jsonl', systems)
    self._quiet = quiet
    self._headline = task.headline
    self._bar = progress_lib.ProgressBar(
      num_rounds, task, finished_rounds=len(self.records), quiet=quiet
    )
    self._events = None
    if tensorboard:
      self._events = TensorBoard(folder / 'tensorboard')

  def __enter__(self) -> Self:
    self._bar.__enter__()
    return self

  def __exit__(self, *exception: object) -> None:
    self._bar.__exit__(*exception)
    if self._events is not None:
      self._events.close()

  def on_epoch(self, row: Mapping[str, float]) -> None:
    """Shows an epoch of a pretraining."""
    if not self._quiet:
      told = ', '.join(f'{name} {value:.4g}' for name, value in row.items())
      self._bar.write(f'pretraining, {told}')

  def on_progress(self, progress: RoundProgress) -> None:
    """Shows where the training of a round is."""
    if self._events is not None:
      self._events.on_progress(progress)
    self._bar.on_progress(progress)

  def on_record(self, record: records.RoundRecord) -> None:
    """Writes a record down, and shows it if it is new."""
    if self._events is not None:
      self._events.on_record(record)
    if self.records.on_record(record):
      self._bar.update(record)
      if not self._quiet:
        self._bar.write(records.log_line(record, self._headline))

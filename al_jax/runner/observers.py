"""All that looks on while an experiment runs, and the files of records."""

import pathlib
from collections.abc import Sequence
from typing import Self

from absl import logging

from al_jax import errors, files
from al_jax.loop.events import Observer
from al_jax.runner import live, queries
from al_jax.runner.live import LiveFile
from al_jax.runner.pictures import PictureFiles
from al_jax.runner.progress import ProgressBar
from al_jax.runner.queries import QueriesFile
from al_jax.runner.tensorboard import TensorBoard
from al_jax.storage import records
from al_jax.tasks import Task


class RecordsFile:
  """Keeps a file of records complete and in order while they come in.

  A resumed run hands out its earlier records again, job by job. Until then the
  lines that an earlier process wrote stand for them.
  """

  def __init__(
    self,
    path: pathlib.Path,
    systems: Sequence[str],
    *,
    table: pathlib.Path | None = None,
  ):
    """Reads what an earlier process wrote.

    Args:
      path: of the file, which need not be there.
      systems: names, in the order of the file.
      table: where `close` writes the scalars as CSV. If None, nowhere.
    """
    self._path, self._table = path, table
    self._order = {name: number for number, name in enumerate(systems)}
    # Lines by system, seed and round: of this process, and of an earlier one.
    self._lines: dict[tuple[int, int, int], str] = {}
    self._earlier = {}
    if path.exists():
      self._earlier = self._read()
      self._rewrite()
    self._last = max(self._earlier, default=())

  def earlier(self) -> set[tuple[str, int, int]]:
    """Returns system, seed and round of what only an earlier process had."""
    names = list(self._order)
    return {(names[number], *rest) for number, *rest in self._earlier}

  def on_record(self, record: records.RoundRecord) -> None:
    """Writes a record down."""
    place, line = self._place(record), _line(record)
    earlier = self._earlier.pop(place, None)
    self._lines[place] = line
    if place > self._last:
      self._last = place
      records.append_jsonl(self._path, record)
    # Of processes side by side, or of a round that was run again.
    elif line != earlier:
      self._rewrite()

  def close(self, *, is_over: bool) -> None:
    """Writes the table.

    Args:
      is_over: all has been handed out: what an earlier process wrote and no
        checkpoint has is dropped.
    """
    if is_over and self._earlier:
      self._earlier = {}
      self._rewrite()
    rows = self.rows()
    if rows and self._table is not None:
      records.write_csv(self._table, rows)

  def rows(self) -> list[records.RoundRecord]:
    """Returns the records so far, by system, seed and round."""
    found = self._lines or self._earlier
    return records.read_jsonl(self._path) if found else []

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
        errors.clause(error),
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
  """All that looks on while an experiment runs; a context manager.

  Attributes:
    all: in the order in which they are told.
    records: of these, the one that keeps the files of records.
    bar: of these, the progress bar.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    systems: Sequence[str],
    task: Task,
    *,
    num_rounds: int,
    quiet: bool,
    tensorboard: bool,
    has_gallery: bool,
  ):
    """Opens what is written to.

    Args:
      folder: of the experiment.
      systems: names, in the order of the file of records.
      task: what is predicted.
      num_rounds: of all systems and seeds together.
      quiet: no progress bar, no line per round.
      tensorboard: also write event files.
      has_gallery: keep what the model says of its queries.
    """
    self.records = RecordsFile(
      folder / 'records.jsonl', systems, table=folder / 'records.csv'
    )
    self.bar = ProgressBar(
      num_rounds,
      task,
      num_systems=len(systems),
      finished=self.records.earlier(),
      quiet=quiet,
    )
    pictures = PictureFiles(folder / 'pictures', task)
    self._live = LiveFile(folder / live.NAME)
    self.all: list[Observer] = [self.records, pictures, self.bar, self._live]
    if has_gallery:
      self.all.append(QueriesFile(folder / queries.NAME, task))
    self._events = None
    if tensorboard:
      self._events = TensorBoard(folder / 'tensorboard')
      self.all.insert(0, self._events)

  def __enter__(self) -> Self:
    self.bar.__enter__()
    self._live.begin(num_finished=len(self.records.earlier()))
    return self

  def __exit__(
    self,
    error_type: type[BaseException] | None,
    error: BaseException | None,
    trace: object,
  ) -> None:
    self.bar.__exit__(error_type, error, trace)
    if self._events is not None:
      self._events.close()
    self.records.close(is_over=error_type is None)
    self._live.end(error_type, error)

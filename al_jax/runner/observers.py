"""The observers of an experiment, and the file of its records."""

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
  """Keeps a file of records complete and in order while records arrive.

  A resumed run sends its earlier records again, job by job. Until then the
  lines of the earlier process stay in the file.
  """

  def __init__(
    self,
    path: pathlib.Path,
    systems: Sequence[str],
    *,
    table: pathlib.Path | None = None,
  ):
    """Reads the records of an earlier process.

    Args:
      path: path of the file, which may not exist.
      systems: names of the systems, in the order of the file.
      table: path to which `close` writes the scalars as CSV. If None, it writes
        none.
    """
    self._path, self._table = path, table
    self._order = {name: number for number, name in enumerate(systems)}
    # Lines of this process, and of an earlier one, by system, seed and round.
    self._lines: dict[tuple[int, int, int], str] = {}
    self._earlier = {}
    if path.exists():
      self._earlier = self._read()
      self._rewrite()
    self._last = max(self._earlier, default=())

  def earlier(self) -> set[tuple[str, int, int]]:
    """Returns system, seed and round of records not yet sent again."""
    names = list(self._order)
    return {(names[number], *rest) for number, *rest in self._earlier}

  def on_record(self, record: records.RoundRecord) -> None:
    """Writes a record to the file."""
    place, line = self._place(record), _line(record)
    earlier = self._earlier.pop(place, None)
    self._lines[place] = line
    if place > self._last:
      self._last = place
      records.append_jsonl(self._path, record)
    # Out of order if processes run in parallel or a round was rerun.
    elif line != earlier:
      self._rewrite()

  def close(self, *, is_over: bool) -> None:
    """Writes the table.

    Args:
      is_over: whether all records were sent; lines of an earlier process that
        are in no checkpoint are dropped then.
    """
    if is_over and self._earlier:
      self._earlier = {}
      self._rewrite()
    rows = self.rows()
    if rows and self._table is not None:
      records.write_csv(self._table, rows)

  def rows(self) -> list[records.RoundRecord]:
    """Returns the records so far, ordered by system, seed and round."""
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
  """The observers of an experiment, as a context manager.

  Attributes:
    all: the observers, in the order in which they are called.
    records: the observer among them that writes the records.
    bar: the progress bar among them.
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
    """Opens the observers.

    Args:
      folder: folder of the experiment.
      systems: names of the systems, in the order of the file of records.
      task: the task.
      num_rounds: number of rounds of all systems and seeds together.
      quiet: whether to hide the progress bar and the line per round.
      tensorboard: whether to write event files too.
      has_gallery: whether to keep the model's predictions for its queries.
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

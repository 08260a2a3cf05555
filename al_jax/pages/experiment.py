"""Follows one experiment: the folder of a run, or of a cell of a grid."""

import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from al_jax.pages import rows, time_left
from al_jax.pages.manifest_file import ManifestFile
from al_jax.pages.rows import Point
from al_jax.pages.tail import Series, Tail
from al_jax.runner import live
from al_jax.storage import manifest, workdir

# Maximal number of rows of progress that a new page gets.
_MOST_PROGRESS = 8000
# Number of newest rounds of each run whose queries are kept.
_ROUNDS_OF_QUERIES = 2


class Experiment:
  """State of an experiment, read incrementally from its files.

  Attributes:
    folder: Folder of the experiment.
    title: Title for readers.
    about: The manifest; empty before there is one.
    points: Finished rounds, by system, seed and round.
    progress: Newest `rows.Live` of current rounds.
    has_test: Whether scores are of the test split.
    state: `waiting`, `running`, `finished`, `stopped`, `failed` or `killed`.
    notes: Sentences on problems with the files.
    num_unreadable: Number of lines of records.jsonl that are not records.
  """

  def __init__(self, folder: pathlib.Path, title: str):
    """Reads nothing yet.

    Args:
      folder: Folder of the experiment, which may not exist yet.
      title: Title for readers.
    """
    self.folder, self.title = folder, title
    self.about: Mapping[str, Any] = {}
    self.points: Series[Point] = Series()
    self.progress: Series[rows.Live] = Series(most=_MOST_PROGRESS)
    self.state, self.notes = 'waiting', []
    self.num_unreadable = 0
    self._manifest = ManifestFile(folder / 'manifest.json')
    self._headline = self._task().headline.name
    self._begin()

  def _begin(self):
    """Resets the readers of records.jsonl and live.jsonl."""
    self._records = Tail(self.folder / 'records.jsonl')
    self._live = Tail(self.folder / live.NAME)
    # By the hash of a line: a rewritten file repeats most lines.
    self._parsed: dict[int, Point | None] = {}
    self._names: dict[str, None] = {}
    # By system and seed: the newest rounds with queries and their lines, and
    # the newest round with a ledger.
    self._queried: dict[tuple[str, int], dict[int, tuple[Point, bytes]]] = {}
    self._paid: dict[tuple[str, int], Point] = {}
    self.has_test = True
    self._begun = self._ended = None
    self._left, self._last_record = None, 0.0

  def refresh(self, *, is_held: bool = False) -> None:
    """Reads new content of the files.

    Args:
      is_held: Whether a process works on the grid of the experiment.
    """
    # Checked before reading: if no process is working now, the files are final.
    in_use = workdir.is_in_use(self.folder)
    self.about = self._manifest.read()
    headline = self._task().headline.name
    if headline != self._headline:
      self._headline = headline
      self.points.clear()
      self._begin()
    self._read_live()
    if self._read_records():
      self._left = self._estimated()
    self.state = self._state(in_use, is_held)
    self.notes = list(self._notes())

  @property
  def headline(self):
    """The metric that curves show."""
    return self._task().headline

  @property
  def watched(self) -> str | None:
    """Name of the quantity that training reports beside its loss."""
    return next(iter(self._task().watched), None)

  @property
  def watched_unit(self) -> str:
    """Unit of the metric named `watched`; '' if there is none."""
    metrics = self._task().metrics
    return next((one.unit for one in metrics if one.name == self.watched), '')

  @property
  def systems(self) -> list[str]:
    """Names of the systems; those of the manifest come first."""
    first = dict.fromkeys(map(str, self.about.get('systems') or ()))
    return list(first | self._names)

  @property
  def num_done(self) -> int:
    """Number of finished rounds."""
    return len(self.points)

  @property
  def total(self) -> int | None:
    """Number of rounds of all systems and seeds; None if not known."""
    if self.num_seeds is None or self.num_rounds is None:
      return None
    return len(self.systems) * self.num_seeds * self.num_rounds

  @property
  def num_seeds(self) -> int | None:
    """Number of seeds per system; None if not known."""
    try:
      return len(self._seeds())
    except (KeyError, TypeError, ValueError):
      return None

  @property
  def num_rounds(self) -> int | None:
    """Number of rounds per system and seed; None if not known."""
    try:
      return self._rounds()
    except (KeyError, TypeError, ValueError):
      return None

  @property
  def finished(self) -> str | None:
    """Time at which the run finished, in UTC."""
    return self.about.get('finished')

  @property
  def message(self) -> str:
    """Reason why the run failed, in one line; may be empty."""
    return self._ended.message if self._ended and self._is('failed') else ''

  def seconds_left(self, now: float | None = None) -> float | None:
    """Estimates the time until a running experiment is finished.

    Args:
      now: Seconds since 1970. If None, the time of the call.

    Returns:
      Seconds; None if the experiment is not running or no round is finished.
    """
    if not self._is('running') or self._left is None:
      return None
    now = time.time() if now is None else now
    return max(0.0, self._left - max(0.0, now - self._last_record))

  def newest_queries(self) -> list[Point]:
    """Returns the last round with queries of each run, the newest last."""
    return [rounds[max(rounds)][0] for rounds in self._queried.values()]

  def lines_of_queries(self, system: str, seed: int) -> list[bytes]:
    """Returns the records of a run's newest rounds with queries, newest last.

    Args:
      system: Name of the system.
      seed: Seed of the run.
    """
    rounds = self._queried.get((system, seed), {})
    return [rounds[number][1] for number in sorted(rounds)]

  def ledgers(self) -> dict[str, list[Mapping[str, float]]]:
    """Returns the newest ledgers of the seeds that have one, by system."""
    found: dict[str, list[Mapping[str, float]]] = {}
    for (system, _), point in self._paid.items():
      found.setdefault(system, []).append(point.ledger)
    return found

  def _task(self):
    return manifest.task_of(self.about)

  def _is(self, state: str) -> bool:
    return self.state == state

  def _rounds(self) -> int:
    return int(self.about['config']['protocol']['rounds'])

  def _seeds(self) -> Sequence[int]:
    # Not `checks.seed_list`, whose checks compile a program.
    config = self.about['config']
    first = int(config.get('first_seed', 0))
    return range(first, first + int(config['seeds']))

  def _read_records(self) -> bool:
    """Reads new records; returns whether anything changed."""
    new = self._records.read()
    if not new.lines and not new.is_anew:
      return False
    known, before = self._parsed, self.points.keys()
    if new.is_anew:
      self._parsed, self.num_unreadable = {}, 0
      self._names, self._queried, self._paid = {}, {}, {}
    found = [self._parse(line, known) for line in new.lines]
    points = [point for point in found if point is not None]
    if new.is_anew and before - {point.key for point in points}:
      self.points.clear()
    for point in points:
      self.points.add(point.key, point)
    self._last_record = _changed(self.folder / 'records.jsonl')
    return True

  def _parse(self, line: bytes, known: Mapping[int, Point | None]):
    """Parses a line, unless the same line was parsed before."""
    which = hash(line)
    if which in known:
      point = known[which]
    else:
      try:
        point = rows.point(line, self._headline)
      except ValueError:
        point = None
    if point is None:
      self.num_unreadable += bool(line.strip())
    else:
      self._note(point, line)
    self._parsed[which] = point
    return point

  def _note(self, point: Point, line: bytes) -> None:
    """Keeps the queries and the ledger if the round is among the newest."""
    run = point.system, point.seed
    self._names[point.system] = None
    self.has_test = point.has_test
    if point.ledger and (
      run not in self._paid or self._paid[run].round <= point.round
    ):
      self._paid[run] = point
    if point.num_picks:
      # Moved to the end, as the run with the newest queries.
      rounds = self._queried.pop(run, {})
      rounds[point.round] = point, line
      newest = sorted(rounds)[-_ROUNDS_OF_QUERIES:]
      self._queried[run] = {number: rounds[number] for number in newest}

  def _read_live(self) -> None:
    """Reads new lines of live.jsonl."""
    new = self._live.read()
    found = []
    for line in new.lines:
      try:
        found.append(rows.live(line))
      except ValueError:
        continue
    if new.is_anew:
      self._begun = self._ended = None
    progress = [
      ((each.time, *each.progress[:5]), each)
      for each in found
      if each.progress is not None
    ]
    known = self.progress.keys()
    if new.is_anew and known and not any(key in known for key, _ in progress):
      # Another run has begun in the folder.
      self.progress.clear()
    for key, each in progress:
      self.progress.add(key, each)
    for each in found:
      if each.event == 'begin':
        self._begun, self._ended = each, None
      elif each.event == 'ended':
        self._ended = each

  def _estimated(self) -> float | None:
    """Estimates the seconds left at the time of the last record."""
    if self._begun is None:
      return None
    try:
      seeds, rounds = self._seeds(), self._rounds()
    except (KeyError, TypeError, ValueError):
      return None
    done = {point.key: point.seconds for point in self.points.values()}
    return time_left.estimate(
      done,
      self.systems,
      seeds,
      rounds,
      elapsed=self._last_record - self._begun.time,
      num_new=len(done) - self._begun.num_finished,
    )

  def _state(self, in_use: bool, is_held: bool) -> str:
    if self.finished:
      return 'finished'
    if in_use:
      return 'running'
    # A grid runs its experiments one after the other.
    if is_held or not (self.about or self.num_done):
      return 'waiting'
    how = '' if self._ended is None else self._ended.how
    return {'failed': 'failed', 'interrupted': 'stopped'}.get(how, 'killed')

  def _notes(self):
    if self._manifest.problem:
      yield self._manifest.problem
    if self.num_unreadable:
      lines = 'line' if self.num_unreadable == 1 else 'lines'
      yield (
        f'{self.num_unreadable:,} {lines} of records.jsonl cannot be read; the '
        'run rewrites the file when it is resumed.'
      )


def _changed(path: pathlib.Path) -> float:
  """Returns when a file was last modified, in seconds since 1970."""
  try:
    return path.stat().st_mtime
  except OSError:
    return 0.0

"""Processes side by side, each of which runs one cell after another."""

import collections
import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import pathlib
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence

import jax

from al_jax import loop, xla
from al_jax.runner import building, harness, signals
from al_jax.runner.building import Experiment
from al_jax.runner.harness import Cell, OnRecord
from al_jax.storage import records

_STOP = 'stop'
# How long a process that has nothing more to do may take to end.
_SECONDS_TO_END = 10


class _Worker:
  """A process that is given cells, and sends home what comes of them."""

  def __init__(self, config, folder: pathlib.Path):
    self.cell = None
    context = multiprocessing.get_context('spawn')
    self.connection, theirs = context.Pipe()
    cache = jax.config.jax_compilation_cache_dir
    self._process = context.Process(
      target=_work, args=(theirs, config, folder, cache), daemon=True
    )
    # It lets signals through when it starts, and would do so among ours.
    multiprocessing.resource_tracker.ensure_running()
    # A Ctrl-C goes to all processes of a terminal. This one alone hears it, and
    # tells the others.
    with signals.held_back():
      self._process.start()
    # With their end in one process only, the end of that process shows.
    theirs.close()

  def begin(self, cell: Cell) -> None:
    """Has a cell run."""
    self.cell = cell
    self._send(cell)

  def ask_to_stop(self) -> None:
    """Has the cell saved, and no other begun."""
    self._send(_STOP)

  def receive(self) -> tuple[str, object]:
    """A message: its kind, and what it carries."""
    try:
      return self.connection.recv()
    except (EOFError, ConnectionError):
      self._process.join()
      raise ChildProcessError(
        f'the process that ran {self.cell.system}, seeds '
        f'{list(self.cell.seeds)}, has died (status {self._process.exitcode}); '
        'the same command goes on from what was saved.'
      ) from None

  def close(self) -> None:
    """Ends the process, gently if it is idle."""
    self.connection.close()
    if self.cell is None:
      self._process.join(_SECONDS_TO_END)
    self._process.kill()
    self._process.join()

  def _send(self, message):
    # If it has died, `receive` says so.
    with contextlib.suppress(ConnectionError):
      self.connection.send(message)


def run_cells(
  experiment: Experiment,
  cells: Sequence[Cell],
  folder: pathlib.Path,
  workers: int,
  should_stop: Callable[[], bool],
  on_record: OnRecord,
) -> None:
  """Runs cells side by side.

  Args:
    experiment: data, protocol, oracle; each process makes its own.
    cells: in the order in which they begin.
    folder: where the cells save.
    workers: how many processes; none is started for cells that are finished.
    should_stop: see `loop.run_rounds`.
    on_record: called in this process.

  Raises:
    loop.Interrupted: on request; everything is saved.
    ChildProcessError: a process was killed.
  """
  finished = [cell for cell in cells if harness.is_finished(cell, folder)]
  harness.run_cells(experiment, finished, folder, should_stop, on_record)
  waiting = collections.deque(cell for cell in cells if cell not in finished)
  with contextlib.ExitStack() as stack:
    busy = []
    for _ in range(min(workers, len(waiting))):
      worker = _Worker(experiment.config, folder)
      stack.callback(worker.close)
      worker.begin(waiting.popleft())
      busy.append(worker)
    _relay(busy, waiting, should_stop, on_record)
  if should_stop():
    raise loop.Interrupted


def _relay(busy, waiting, should_stop, on_record):
  """Hands records on as they come, and gives the next cell to who is done."""
  is_told = False
  while busy:
    if should_stop() and not is_told:
      is_told = True
      waiting.clear()
      for worker in busy:
        worker.ask_to_stop()
    ready = multiprocessing.connection.wait(
      [worker.connection for worker in busy], timeout=0.2
    )
    for worker in [each for each in busy if each.connection in ready]:
      kind, content = worker.receive()
      if kind == 'record':
        on_record(records.RoundRecord.from_json(content))
      elif kind == 'error':
        raise content
      elif waiting:
        worker.begin(waiting.popleft())
      else:
        worker.cell = None
        busy.remove(worker)


def _work(connection, config, folder, cache):
  """What a process does."""
  try:
    if cache is not None:
      xla.keep_programs(cache)
    harness.run_cells(
      building.prepare(config),
      _cells_from(connection),
      folder,
      lambda: connection.poll(),  # nothing comes during a cell but the end
      lambda record: connection.send(('record', record.to_json())),
    )
  except loop.Interrupted:
    connection.send(('stopped', None))
  except (EOFError, ConnectionError):
    pass  # the first process is gone
  except Exception as error:
    connection.send(('error', _portable(error)))


def _cells_from(connection) -> Iterator[Cell]:
  """The cells that are to be run, one after another."""
  while True:
    cell = connection.recv()
    if connection.poll():
      raise loop.Interrupted
    yield cell
    connection.send(('done', None))


def _portable(error):
  """An error that can be sent, with its trace as a note."""
  error.add_note(traceback.format_exc())
  try:
    return pickle.loads(pickle.dumps(error))
  except Exception:
    return RuntimeError(f'{type(error).__name__}: {error}')

"""Runs jobs in parallel processes, each of which runs one job at a time."""

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

from al_jax import loop, parts, xla
from al_jax.loop.events import Events, Observer
from al_jax.runner import config as config_lib
from al_jax.runner import jobs as jobs_lib
from al_jax.runner import signals
from al_jax.runner.config import Experiment
from al_jax.runner.jobs import Job

_STOP = 'stop'
_RECEIVED = 'received'
# Events that no checkpoint has: the job waits until they are on disk.
_ACKNOWLEDGED = ('on_pictures', 'on_queries')
# Seconds that an idle process may take to end.
_SECONDS_TO_END = 10


class _Worker:
  """A process that runs jobs and sends back their events."""

  def __init__(self, config, folder: pathlib.Path):
    self.job = None
    context = multiprocessing.get_context('spawn')
    self.connection, theirs = context.Pipe()
    cache = jax.config.jax_compilation_cache_dir
    self._process = context.Process(
      target=_work,
      args=(theirs, config, folder, cache, parts.searched()),
      daemon=True,
    )
    # Started before signals are blocked, because its start unblocks them.
    multiprocessing.resource_tracker.ensure_running()
    # A Ctrl-C goes to all processes of a terminal. Only this process handles
    # it, and asks the workers to stop.
    with signals.held_back():
      self._process.start()
    # Once the worker alone holds its end, its death closes the connection.
    theirs.close()

  def begin(self, job: Job) -> None:
    """Starts a job."""
    self.job = job
    self._send(job)

  def ask_to_stop(self) -> None:
    """Has the job saved, without starting another."""
    self._send(_STOP)

  def acknowledge(self) -> None:
    """Lets the job resume after an event that no checkpoint has."""
    self._send(_RECEIVED)

  def receive(self) -> tuple[str, object]:
    """Receives a message: its kind and its content."""
    try:
      return self.connection.recv()
    except (EOFError, ConnectionError):
      self._process.join()
      raise ChildProcessError(
        f'the process that ran {self.job.system}, seeds '
        f'{list(self.job.seeds)}, has died (status {self._process.exitcode}); '
        'the same command resumes from the last save.'
      ) from None

  def close(self) -> None:
    """Ends the process; only an idle one may take the time to exit."""
    self.connection.close()
    if self.job is None:
      self._process.join(_SECONDS_TO_END)
    self._process.kill()
    self._process.join()

  def _send(self, message):
    # `receive` reports a dead worker.
    with contextlib.suppress(ConnectionError):
      self.connection.send(message)


def run_jobs(
  experiment: Experiment,
  jobs: Sequence[Job],
  folder: pathlib.Path,
  workers: int,
  should_stop: Callable[[], bool],
  observers: Sequence[Observer],
) -> None:
  """Runs jobs in parallel.

  Args:
    experiment: the experiment; each process prepares its own.
    jobs: jobs, in the order in which they start.
    folder: folder in which the jobs save.
    workers: number of processes; none is started for finished jobs.
    should_stop: see `loop.run_rounds`.
    observers: called in this process.

  Raises:
    loop.Interrupted: `should_stop` returned True; everything is saved.
    ChildProcessError: a process died.
  """
  finished = [job for job in jobs if jobs_lib.is_finished(job, folder)]
  jobs_lib.run_jobs(experiment, finished, folder, should_stop, observers)
  waiting = collections.deque(job for job in jobs if job not in finished)
  with contextlib.ExitStack() as stack:
    busy = []
    for _ in range(min(workers, len(waiting))):
      worker = _Worker(experiment.config, folder)
      stack.callback(worker.close)
      worker.begin(waiting.popleft())
      busy.append(worker)
    _relay(busy, waiting, should_stop, Events(observers))
  if should_stop():
    raise loop.Interrupted


def _relay(busy, waiting, should_stop, events):
  """Forwards events to the observers, and gives idle workers the next job."""
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
      if kind == 'event':
        events.tell(*content)
        if content[0] in _ACKNOWLEDGED:
          worker.acknowledge()
      elif kind == 'error':
        raise content
      elif waiting:
        worker.begin(waiting.popleft())
      else:
        worker.job = None
        busy.remove(worker)


def _work(connection, config, folder, cache, searched):
  """Runs in the worker process: runs the jobs that arrive."""
  try:
    parts.search_in(searched)
    if cache is not None:
      xla.keep_programs(cache)
    experiment = config_lib.prepare(config)
    of_images = experiment.dataset.has_pictures
    sender = (_SenderOfQueries if of_images else _Sender)(connection)
    jobs_lib.run_jobs(
      experiment,
      _jobs_from(connection),
      folder,
      sender.should_stop,
      [sender],
    )
  except loop.Interrupted:
    connection.send(('stopped', None))
  except (EOFError, ConnectionError):
    pass  # the first process is gone
  except Exception as error:
    connection.send(('error', _portable(error)))


class _Sender:
  """An observer that sends events to the first process."""

  def __init__(self, connection):
    self._connection, self._is_told = connection, False

  def should_stop(self):
    # The only message during a job is the request to stop.
    return self._is_told or self._connection.poll()

  def on_progress(self, progress):
    self._send('on_progress', progress)

  def on_record(self, record):
    self._send('on_record', record)

  def on_pictures(self, pictures):
    self._send('on_pictures', pictures)

  def _send(self, name, content):
    self._connection.send(('event', (name, content)))
    while name in _ACKNOWLEDGED and self._connection.recv() != _RECEIVED:
      self._is_told = True


class _SenderOfQueries(_Sender):
  """Sends the queries for a gallery too."""

  def on_queries(self, queries):
    self._send('on_queries', queries)


def _jobs_from(connection) -> Iterator[Job]:
  """Yields jobs one after another, and reports each as done."""
  while True:
    job = connection.recv()
    if connection.poll():
      raise loop.Interrupted
    yield job
    connection.send(('done', None))


def _portable(error):
  """Returns an error that can be pickled, with its traceback as a note."""
  error.add_note(traceback.format_exc())
  try:
    return pickle.loads(pickle.dumps(error))
  except Exception:
    return RuntimeError(f'{type(error).__name__}: {error}')

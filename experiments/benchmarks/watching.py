"""Measures the cost of a run's observers.

Run as `python -m experiments.benchmark watching`; also a row of `training`.
"""

import contextlib
import io
import pathlib
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from al_jax import data, loop, oracle, systems
from al_jax.loop import program, protocol
from al_jax.loop.events import Events, Observer
from al_jax.loop.stopwatch import Stopwatch
from al_jax.runner.observers import RecordsFile
from al_jax.runner.progress import ProgressBar
from al_jax.runner.tensorboard import TensorBoard
from al_jax.tasks import Task
from experiments.benchmarks.table import Row


def measure() -> Iterator[Row]:
  """Yields the only measurement."""
  yield watched(data.load('tfds:mnist'))


class Margin(NamedTuple):
  """Margin sampling with an MLP, as arguments of `loop.run_rounds`."""

  program: program.Program
  oracle: oracle.SimulatedOracle
  protocol: protocol.Protocol
  seeds: tuple[int, ...] = (0,)


def margin(dataset: data.Dataset, rounds: int, labels_per_round: int) -> Margin:
  """Compiles margin sampling on a data set.

  Args:
    dataset: the pool.
    rounds: rounds of the run.
    labels_per_round: labels per round, and of the first set.

  Returns:
    The Margin.
  """
  proceeding = protocol.Protocol(
    rounds=rounds,
    labels_per_round=labels_per_round,
    first_size=labels_per_round,
  )
  facts = program.facts_of(dataset, proceeding.budget)
  learner = {'stop': {'epochs': 100, 'train_accuracy': 0.99}}
  compiled = program.compile_program(
    systems.build('margin', facts, model={'name': 'mlp'}, learner=learner),
    program.sources_of(dataset),
    dataset.train.ids,
  )
  answers = oracle.SimulatedOracle(dataset.train.targets, dataset.task)
  return Margin(compiled, answers, proceeding)


def watched(
  dataset: data.Dataset,
  *,
  rounds: int = 10,
  labels_per_round: int = 100,
  repeats: int = 5,
) -> Row:
  """Measures the share of a run's time that observers take.

  The observers are the progress bar, the records and TensorBoard. Their calls
  are timed inside the run, because the times of two whole runs vary by more
  than the observers take.

  Args:
    dataset: the pool.
    rounds: rounds of the run.
    labels_per_round: labels per round, and of the first set.
    repeats: number of runs after a warm-up.

  Returns:
    A Row that compares the seconds in the observers, including opening and
    closing their files, with the seconds of the run.
  """
  run = margin(dataset, rounds, labels_per_round)
  _seconds_watched(run)
  seconds = np.array([_seconds_watched(run) for _ in range(repeats)])
  inside, whole = np.median(seconds, axis=0).tolist()
  return Row(
    f'{dataset.name}: {rounds} rounds, all observers',
    inside,
    whole,
    'the whole run',
    float(np.median(seconds[:, 0] / seconds[:, 1])),
    at_most=0.01,
  )


def _seconds_watched(run):
  """Returns the seconds in the observers, and of the whole run."""
  clock = Stopwatch()
  opening = Stopwatch()
  with _observers(run.protocol.rounds, run.program.system.facts.task) as all_:
    clocked = _Clocked(all_)
    clocked.seconds += opening.lap()
    for _ in loop.run_rounds(*run, observers=[clocked]):
      pass
    opening.lap()
  clocked.seconds += opening.lap()
  return clocked.seconds, clock.lap()


class _Clocked:
  """Observers combined into one, which counts their seconds."""

  def __init__(self, observers):
    self._events = Events(observers)
    self.seconds = 0.0

  def on_progress(self, progress):
    self._tell('on_progress', progress)

  def on_record(self, record):
    self._tell('on_record', record)

  def _tell(self, name, content):
    clock = Stopwatch()
    self._events.tell(name, content)
    self.seconds += clock.lap()


class _Terminal(io.StringIO):
  """A stream that passes for a terminal, so that a progress bar is drawn."""

  def isatty(self):
    return True


@contextlib.contextmanager
def _observers(rounds: int, task: Task) -> Iterator[list[Observer]]:
  """Opens the observers of a run in a temporary folder."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    kept = RecordsFile(
      folder / 'records.jsonl', ['margin'], table=folder / 'records.csv'
    )
    events = TensorBoard(folder / 'tensorboard')
    with ProgressBar(rounds, task, stream=_Terminal()) as bar:
      yield [events, kept, bar]
    events.close()
    kept.close(is_over=True)

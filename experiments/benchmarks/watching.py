"""How much those who look on a run cost it.

Run as `python -m experiments.benchmark watching`; also a row of `training`.
"""

import contextlib
import functools
import io
import pathlib
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from al_jax import data, loop, oracle, systems
from al_jax.loop import program, protocol
from al_jax.loop.events import Observer
from al_jax.loop.stopwatch import Stopwatch
from al_jax.runner.observers import RecordsFile
from al_jax.runner.progress import ProgressBar
from al_jax.runner.tensorboard import TensorBoard
from al_jax.tasks import Task
from experiments.benchmarks import timing
from experiments.benchmarks.table import Row


def measure() -> Iterator[Row]:
  """The only measurement."""
  yield watched_beside_alone(data.load('tfds:mnist'))


class Margin(NamedTuple):
  """Margin sampling with an MLP: what `loop.run_rounds` takes first."""

  program: program.Program
  oracle: oracle.SimulatedOracle
  protocol: protocol.Protocol
  seeds: tuple[int, ...] = (0,)


def margin(dataset: data.Dataset, rounds: int, labels_per_round: int) -> Margin:
  """Compiles margin sampling on a data set.

  Args:
    dataset: the pool.
    rounds: rounds of the run.
    labels_per_round: labels of a round, and of the first set.

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


def watched_beside_alone(
  dataset: data.Dataset,
  *,
  rounds: int = 10,
  labels_per_round: int = 100,
  repeats: int = 10,
) -> Row:
  """A run with progress bar, records and TensorBoard, beside one with nobody.

  Args:
    dataset: the pool.
    rounds: rounds of the run.
    labels_per_round: labels of a round, and of the first set.
    repeats: pairs of runs, in turns.

  Returns:
    A Row: seconds per round, with what opening and closing the files takes.
  """
  run = margin(dataset, rounds, labels_per_round)
  watched, alone = (
    functools.partial(_seconds_per_round, run, watching)
    for watching in (_observers, lambda *_: contextlib.nullcontext(()))
  )
  _, seconds, against, ratio = timing.in_turns(watched, alone, repeats)
  return Row(
    f'{dataset.name}: a round, with all observers',
    seconds,
    against,
    'a round with none',
    ratio,
    at_most=1.01,
  )


def _seconds_per_round(run, watching):
  rounds = run.protocol.rounds
  clock = Stopwatch()
  task = run.program.system.facts.task
  with watching(rounds, task) as observers:
    for _ in loop.run_rounds(*run, observers=observers):
      pass
  return clock.lap() / rounds


class _Terminal(io.StringIO):
  """A stream that a progress bar is drawn on."""

  def isatty(self):
    return True


@contextlib.contextmanager
def _observers(rounds: int, task: Task) -> Iterator[list[Observer]]:
  """Opens the observers of a run in a folder of their own."""
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

"""Runs without an oracle: proposals wait, answers come later and in parts."""

import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from al_jax import loop, tasks
from al_jax import pool as pool_lib
from al_jax.loop import answers as answers_lib
from al_jax.loop import fitting, run_state
from al_jax.loop import rounds as rounds_lib
from al_jax.loop.protocol import Protocol
from al_jax.oracle import Answers
from al_jax.storage import checkpoint
from tests.factories import a_task
from tests.loop import runs
from tests.loop.rounds_test import deterministic

PROTOCOL = Protocol(rounds=3, labels_per_round=6, first_size=10)


# A process that tells answers, and kills itself before or after their save.
TELLING = """
import os, signal, sys
from al_jax.loop import rounds as rounds_lib
from al_jax.loop import run_state
from tests.loop import pending_test, runs

folder, when = sys.argv[1:]
task = pending_test.a_task()
margin = runs.compiled(task, 'margin')
save = run_state.save

def save_and_die(checkpointer, *arguments, **options):
  if when == 'before':
    os.kill(os.getpid(), signal.SIGKILL)
  save(checkpointer, *arguments, **options)
  checkpointer.wait()
  os.kill(os.getpid(), signal.SIGKILL)

_, _, pending, _ = pending_test.call(task, margin, folder)
run_state.save = save_and_die
answers = {0: pending_test.truth(task, pending)}
pending_test.call(task, margin, folder, answers=answers)
"""


@pytest.fixture(scope='module')
def task():
  return a_task()


@pytest.fixture(scope='module')
def margin(task):
  return runs.compiled(task, 'margin')


def call(task, margin, folder, protocol=PROTOCOL, **options):
  """One process: its records, why it ended, and what is pending after it."""
  with checkpoint.Checkpointer(folder) as saves:
    generator = loop.run_rounds(
      margin, None, protocol, [0], checkpointer=saves, **options
    )
    rows, ended = runs.drained(generator)
    _, [state], _ = saves.restore([run_state.template(margin)])
  return rows, ended, state.pending[state.pending >= 0], state


def truth(task, indices):
  dataset, _ = task
  annotator = np.full(len(indices), pool_lib.ORACLE, np.int8)
  return indices, Answers(dataset.train.targets[indices], annotator)


def test_answers_given_later_make_the_run_of_an_oracle(task, margin, tmp_path):
  whole, _ = runs.run(task, margin, PROTOCOL)
  rows, ended, pending, _ = call(task, margin, tmp_path / 'run')
  assert (rows, ended) == ([], {0: loop.PENDING})
  assert len(pending) == 10
  while ended == {0: loop.PENDING}:
    rows, ended, pending, _ = call(
      task, margin, tmp_path / 'run', answers={0: truth(task, pending)}
    )
  assert ended == {0: 'all rounds are over'}
  assert deterministic(rows) == deterministic(whole)
  assert not len(pending)


def test_answers_come_in_parts_and_nothing_is_asked_twice(
  task, margin, tmp_path
):
  _, _, pending, _ = call(task, margin, tmp_path / 'run')
  first, second = pending[:4], pending[4:]
  # Called without answers it waits for the same.
  for answers, left in (
    (None, pending),
    ({0: truth(task, first)}, second),
    (None, second),
  ):
    rows, ended, found, state = call(
      task, margin, tmp_path / 'run', answers=answers
    )
    assert (rows, ended) == ([], {0: loop.PENDING})
    np.testing.assert_array_equal(found, left)
  assert state.paid == 4
  _, _, found, state = call(
    task, margin, tmp_path / 'run', answers={0: truth(task, second)}
  )
  assert state.paid == 10
  assert not set(found) & set(pending)


def test_what_is_given_up_is_eligible_again(task, margin, tmp_path):
  _, _, pending, _ = call(task, margin, tmp_path / 'run')
  answers = {0: truth(task, pending[:7])}
  rows, ended, found, state = call(
    task, margin, tmp_path / 'run', answers=answers, close=True
  )
  assert ended == {0: loop.PENDING}
  assert state.paid == 7 and len(found) == 6
  eligible = np.asarray(pool_lib.eligible(state.pool))
  assert eligible[pending[7:]].all() and not eligible[pending[:7]].any()
  rows, *_ = call(
    task, margin, tmp_path / 'run', answers={0: truth(task, found)}
  )
  assert [(row.labels, len(row.picks)) for row in rows] == [(7, 6)]


def test_an_abstention_is_an_answer(task, margin, tmp_path):
  _, _, pending, _ = call(task, margin, tmp_path / 'run')
  indices, said = truth(task, pending)
  annotator = said.annotator.copy()
  annotator[:3] = pool_lib.ABSTAINED
  answers = {0: (indices, said._replace(annotator=annotator))}
  _, _, found, state = call(task, margin, tmp_path / 'run', answers=answers)
  assert state.paid == 10
  assert int(np.sum(pool_lib.trainable(state.pool))) == 7
  assert not set(found) & set(pending)


@pytest.mark.parametrize('stage', ['trained', 'proposed'])
def test_a_run_that_dies_after_a_save_repeats_nothing_before_it(
  task, margin, tmp_path, monkeypatch, stage
):
  whole, _ = runs.run(task, margin, PROTOCOL)
  monkeypatch.setattr(rounds_lib, '_LONG_SECONDS', 0.0)
  save, died = run_state.save, []

  class Died(BaseException):
    """A process ends so, without time for anything."""

  def save_and_die(checkpointer, serial, all_runs, *arguments, **options):
    serial = save(checkpointer, serial, all_runs, *arguments, **options)
    if all_runs[0].stage == stage and not options['fitting']:
      checkpointer.wait()
      died.append(all_runs[0].round)
      raise Died
    return serial

  monkeypatch.setattr(run_state, 'save', save_and_die)
  trained = []
  end_training = fitting.end_training
  monkeypatch.setattr(
    fitting,
    'end_training',
    lambda run, progress: (
      trained.append(run.round) or end_training(run, progress)
    ),
  )
  for _ in range(2 * PROTOCOL.rounds):
    with checkpoint.Checkpointer(tmp_path / 'run') as saves:
      try:
        rows, _ = runs.run(task, margin, PROTOCOL, checkpointer=saves)
        break
      except Died:
        continue
  assert deterministic(rows) == deterministic(whole)
  # Each round was trained once, however often the process died.
  assert trained == list(range(PROTOCOL.rounds))
  assert died


@pytest.mark.parametrize(
  ('answers', 'message'),
  [
    (lambda indices: ([159], [1], [1]), 'example 159 is answered, but no que'),
    (lambda indices: (indices[[0, 0]], [1, 1], [1, 1]), 'answered twice'),
    (lambda indices: (indices[:2], [1], [1, 1]), r'shape \[1\] for 2 answers'),
    (lambda indices: (indices[:2], [1, 1], [1]), r'has shape \[1\] for 2 ans'),
    (lambda indices: ([-1], [1], [1]), 'example -1 is answered'),
    (lambda indices: (indices[:1] + 0.4, [1], [1]), 'must be whole numbers'),
    (lambda indices: (indices[:1], [10], [1]), 'the label 10 at index 0'),
    (lambda indices: (indices[:1], [-1], [1]), 'the label -1 at index 0'),
    (lambda indices: (indices[:1], [2**40], [1]), 'the label 1099511627776'),
    (lambda indices: (indices[:1], [1.5], [1]), 'int32 of shape'),
    (lambda indices: (indices[:1], [True], [1]), 'int32 of shape'),
    (lambda indices: (indices[:1], [1], [0]), 'is 0; it must be one of ORACLE'),
    (lambda indices: (indices[:1], [1], [7]), 'is 7; it must be one of ORACLE'),
  ],
)
def test_answers_to_what_nobody_asked_are_refused(
  task, margin, tmp_path, answers, message
):
  _, _, pending, _ = call(task, margin, tmp_path / 'run')
  indices, *said = map(np.asarray, answers(pending))
  with pytest.raises(ValueError, match=message):
    call(task, margin, tmp_path / 'run', answers={0: (indices, Answers(*said))})
  # Nothing is lost by it.
  _, ended, found, state = call(task, margin, tmp_path / 'run')
  assert (ended, state.paid) == ({0: loop.PENDING}, 0)
  np.testing.assert_array_equal(found, pending)


@pytest.mark.parametrize('value', [np.nan, 1e300, 1j])
def test_numbers_that_are_none_are_refused(value):
  facts = a_task()[1]._replace(task=tasks.Vector(1))
  pending = np.arange(3)
  said = Answers(np.full((2, 1), value), np.ones(2, np.int8))
  with pytest.raises(ValueError, match='the answers: '):
    answers_lib.checked(facts, pending, np.arange(2), said)
  _, found = answers_lib.checked(
    facts, pending, np.arange(2), Answers([[1], [2.5]], [1, 1])
  )
  assert found.targets.dtype == np.float32


def test_answers_are_saved_before_earlier_records_are_told(
  task, margin, tmp_path
):
  class Breaks:
    def on_record(self, record):
      raise OSError('the disk is full')

  folder = tmp_path / 'run'
  rows, pending = [], call(task, margin, folder)[2]
  while not rows:
    rows, _, pending, state = call(
      task, margin, folder, answers={0: truth(task, pending)}
    )
  with pytest.raises(OSError, match='the disk is full'):
    call(
      task,
      margin,
      folder,
      answers={0: truth(task, pending[:2])},
      observers=[Breaks()],
    )
  _, _, left, after = call(task, margin, folder)
  np.testing.assert_array_equal(left, pending[2:])
  assert after.paid == state.paid + 2


def test_what_needs_an_oracle_is_refused_without(task, margin, tmp_path):
  balanced = Protocol(rounds=2, first_set='balanced', first_size=10)
  with pytest.raises(
    ValueError,
    match=r"first_set is 'balanced', which needs .* 'k_center', 'none'",
  ):
    call(task, margin, tmp_path / 'run', balanced)
  with pytest.raises(ValueError, match='are for runs without an oracle'):
    runs.run(task, margin, PROTOCOL, close=True)


def kill(folder, when):
  """Tells what is pending in another process, which dies of it."""
  ended = subprocess.run(
    [sys.executable, '-c', TELLING, folder, when],
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    check=False,
  )
  assert ended.returncode == -signal.SIGKILL, ended.stderr


def assert_killed_runs_go_on(task, margin, folder, kills):
  """Kills whoever tells answers; then somebody tells them and is not killed."""
  whole, _ = runs.run(task, margin, PROTOCOL)
  _, ended, pending, _ = call(task, margin, folder)
  paid = 0
  for when in kills:
    kill(folder, when)
    _, _, found, state = call(task, margin, folder)
    if when == 'before':
      # Nobody knows of the answers: the same is asked, and paid for once.
      np.testing.assert_array_equal(found, pending)
      assert state.paid == paid
      _, ended, found, state = call(
        task, margin, folder, answers={0: truth(task, found)}
      )
    assert not set(found) & set(pending)
    paid, pending = state.paid, found
  rows = []
  while ended == {0: loop.PENDING} and len(pending):
    rows, ended, pending, _ = call(
      task, margin, folder, answers={0: truth(task, pending)}
    )
  rows, *_ = call(task, margin, folder)
  assert deterministic(rows) == deterministic(whole)


def test_whoever_is_killed_with_answers_asks_nothing_twice(
  task, margin, tmp_path
):
  assert_killed_runs_go_on(task, margin, tmp_path / 'one', ['before', 'after'])
  assert_killed_runs_go_on(task, margin, tmp_path / 'two', ['after', 'before'])


@pytest.mark.study
def test_twenty_kills_ask_nothing_twice(task, margin, tmp_path):
  for number in range(10):
    kills = ['before', 'after'] if number % 2 else ['after', 'before']
    assert_killed_runs_go_on(task, margin, tmp_path / str(number), kills)

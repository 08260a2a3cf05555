import io
import os
import termios
import threading

from al_jax import tasks
from al_jax.loop.events import RoundProgress
from al_jax.runner import progress
from tests.factories import a_record

TASK = tasks.numbered(10)


def run_at_a_terminal(*, total=3, task=TASK, **options):
  """What a run of three rounds with log lines writes to a real terminal."""
  controller, terminal = os.openpty()
  termios.tcsetwinsize(terminal, (24, 120))
  written = []

  def read():
    while True:
      try:
        written.append(os.read(controller, 4096))
      except OSError:  # the other side was closed
        return

  reader = threading.Thread(target=read)
  reader.start()
  with (
    os.fdopen(terminal, 'w') as stream,
    progress.ProgressBar(total, task, stream=stream, **options) as bar,
  ):
    bar.on_epoch({'epoch': 1, 'loss': 0.25})
    for round in range(3):
      labels = 100 * (round + 1)
      test = {'accuracy': 0.9125, 'rmse': 12.34}
      bar.on_progress(
        RoundProgress('margin', 2, round, labels, 7, {'loss': 1.5, 'mae': 0.25})
      )
      bar.on_record(a_record(seed=2, round=round, labels=labels, test=test))
  reader.join(timeout=600)
  os.close(controller)
  return b''.join(written).decode()


def test_a_terminal_shows_where_the_run_is():
  shown = run_at_a_terminal()
  for part in ('margin, seed 2, round 2, 300 labels, accuracy 91.2%', '3/3'):
    assert part in shown
  assert 'left' in shown


def test_the_headline_and_what_is_watched_are_those_of_the_task():
  shown = run_at_a_terminal(task=tasks.Vector(1))
  assert 'step 7: loss 1.5, MAE 0.25' in shown
  assert '300 labels, RMSE 12.3' in shown


def test_lines_stand_alone_above_the_bar():
  shown = run_at_a_terminal()
  # The bar is wiped with a carriage return before the line.
  assert '\rpretraining, epoch 1, loss 0.25\r\n' in shown
  assert '\rmargin: 1 seed, 300 labels, test accuracy 91.25%, ' in shown


def test_quiet_shows_nothing():
  assert run_at_a_terminal(quiet=True) == ''


def at_no_terminal(rows, total, **options):
  stream = io.StringIO()
  with progress.ProgressBar(total, TASK, stream=stream, **options) as bar:
    for row in rows:
      bar.on_record(row)
  return stream.getvalue().splitlines()


def of_two_systems(*, seeds=(0, 1), rounds=2):
  return [
    a_record(system, seed=seed, round=round, labels=10 * (round + 1))
    for system in ('random', 'margin')
    for seed in seeds
    for round in range(rounds)
  ]


def test_a_line_for_each_system_when_its_rounds_are_done():
  rows = of_two_systems()
  first, second = at_no_terminal(rows, 8, num_systems=2)
  assert first.startswith('random: 2 seeds, 20 labels, test accuracy ')
  assert second.startswith('margin: 2 seeds, 20 labels, test accuracy ')
  # Processes side by side mix the systems.
  mixed = at_no_terminal(rows[::2] + rows[1::2], 8, num_systems=2)
  assert len(mixed) == 2
  # Both end before their third round: their lines come at the end.
  assert len(at_no_terminal(rows, 12, num_systems=2)) == 2


def test_without_a_bar_a_round_now_and_then_gets_a_line(monkeypatch):
  clock = iter(range(0, 1000, 20))
  monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
  rows = of_two_systems(seeds=(0,), rounds=4)[:4]
  lines = at_no_terminal(rows, 4)
  starts = [line.partition(': ')[0] for line in lines]
  assert starts == ['random, seed 0, round 1', 'random']


def test_rounds_already_done_are_counted():
  finished = [('margin', 2, 0), ('margin', 3, 0)]
  shown = run_at_a_terminal(total=8, finished=finished)
  assert '4/8' in shown and '5/8' not in shown


def test_a_system_that_was_done_before_gets_no_line():
  rows = of_two_systems()
  finished = [(row.system, row.seed, row.round) for row in rows[:4]]
  (line,) = at_no_terminal(rows, 8, num_systems=2, finished=finished)
  assert line.startswith('margin: 2 seeds')

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
  for round in range(3):
    assert f'\rmargin, seed 2, round {round}: {round + 1}00 labels,' in shown


def test_quiet_shows_nothing():
  assert run_at_a_terminal(quiet=True) == ''


def test_no_terminal_no_bar():
  stream = io.StringIO()
  with progress.ProgressBar(2, TASK, stream=stream) as bar:
    bar.on_record(a_record(seed=2, round=0, labels=100, accuracy=0.9125))
  (line,) = stream.getvalue().splitlines()
  assert line.startswith('margin, seed 2, round 0: 100 labels, test accuracy')


def test_rounds_already_done_are_counted_and_not_shown_again():
  finished = [('margin', 2, 0), ('margin', 3, 0)]
  shown = run_at_a_terminal(total=8, finished=finished)
  assert '4/8' in shown and '5/8' not in shown
  assert 'round 0:' not in shown and 'round 1:' in shown

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
    for round in range(3):
      bar.write(f'line {round}')
      labels = 100 * (round + 1)
      test = {'accuracy': 0.9125, 'rmse': 12.34}
      bar.on_progress(
        RoundProgress('margin', 2, round, labels, 7, {'loss': 1.5, 'mae': 0.25})
      )
      bar.update(a_record(seed=2, round=round, labels=labels, test=test))
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
  for round in range(3):
    # The bar is wiped with a carriage return before the line.
    assert f'\rline {round}\r\n' in shown


def test_quiet_draws_no_bar_but_writes_lines():
  assert run_at_a_terminal(quiet=True) == 'line 0\r\nline 1\r\nline 2\r\n'


def test_no_terminal_no_bar():
  stream = io.StringIO()
  with progress.ProgressBar(2, TASK, stream=stream) as bar:
    bar.update(a_record(seed=2, round=0, labels=100, accuracy=0.9125))
    bar.write('a line')
  assert stream.getvalue() == 'a line\n'


def test_rounds_already_done_are_counted():
  assert '4/8' in run_at_a_terminal(total=8, finished_rounds=1)

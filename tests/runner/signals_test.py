"""What a signal does to a process: a request, then an end, never a trace."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from al_jax.runner import signals

ROOT = pathlib.Path(__file__).parent.parent.parent

# A binary, as far as signals are concerned: imports, then a run that is in no
# hurry to stop, with a worker.
SCRIPT = """
import multiprocessing, sys, time
from al_jax.runner import signals
signals.end_quietly()
def work():
  time.sleep(600)
if __name__ == '__main__':
  print('importing', flush=True)
  if sys.argv[1] == 'early':
    time.sleep(600)
  with signals.held_back():
    child = multiprocessing.get_context('fork').Process(target=work)
    child.start()
  with signals.StopRequest().listening() as should_stop:
    print(f'running {child.pid}', flush=True)
    while not should_stop():
      time.sleep(0.01)
    print('asked', flush=True)
    if sys.argv[1] == 'late':
      time.sleep(600)
  child.kill()
  sys.exit(signals.exit_status(should_stop.number))
"""


def begin(when):
  return subprocess.Popen(
    [sys.executable, '-c', SCRIPT, when],
    cwd=ROOT,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def is_running(pid):
  try:
    status = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except FileNotFoundError:
    return False
  return status.rpartition(')')[2].split()[0] != 'Z'


@pytest.mark.parametrize(
  ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_during_imports_is_one_line(number, status):
  process = begin('early')
  assert process.stdout.readline() == 'importing\n'
  process.send_signal(number)
  _, told = process.communicate(timeout=600)
  assert process.returncode == status
  assert told == 'Stopped at once.\n'


@pytest.mark.parametrize(
  ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_the_first_signal_is_a_request(number, status):
  process = begin('running')
  process.stdout.readline()
  process.stdout.readline()
  process.send_signal(number)
  _, told = process.communicate(timeout=600)
  assert process.returncode == status
  assert told.count('\n') == 1
  assert told.startswith('Stopping once everything is saved')


@pytest.mark.parametrize(
  ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_the_second_signal_ends_the_process_and_its_workers(number, status):
  process = begin('late')
  process.stdout.readline()
  child = int(process.stdout.readline().split()[1])
  process.send_signal(number)
  assert process.stdout.readline() == 'asked\n'
  # As of a terminal: every process of the group is sent it.
  os.kill(child, number)
  assert is_running(child)
  process.send_signal(number)
  _, told = process.communicate(timeout=600)
  assert process.returncode == status
  assert told.splitlines()[1:] == ['Stopped at once.']
  while is_running(child):
    time.sleep(0.01)


def test_handlers_are_put_back():
  before = signal.getsignal(signal.SIGINT)
  with signals.StopRequest().listening() as should_stop:
    assert signal.getsignal(signal.SIGINT) != before
    assert not should_stop()
  assert signal.getsignal(signal.SIGINT) == before

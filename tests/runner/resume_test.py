"""Processes that are killed, and go on as if nothing had happened."""

import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import pytest

from al_jax.storage import records
from tests.commands import run_test

ROOT = pathlib.Path(__file__).parent.parent.parent
ROUNDS = 6
ARGUMENTS = (
  '--config=configs/mnist.py:local',
  '--config.systems=margin',
  f'--config.protocol.rounds={ROUNDS}',
  '--config.protocol.save_every_steps=10',
  '--config.seeds=1',
)
# At once after the start, while it compiles, and in three of its rounds.
MOMENTS = ((0, 0.0), (1, 0.0), (2, 0.1), (4, 0.2))


@pytest.fixture(scope='module', autouse=True)
def environment(tfds_dir):
  """Of all processes: a start then takes little but the start."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('TFDS_DATA_DIR', str(tfds_dir))
    patch.setenv(
      'JAX_COMPILATION_CACHE_DIR', jax.config.jax_compilation_cache_dir
    )
    yield


def begin(workdir):
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'experiments.run'),
      *(*ARGUMENTS, f'--workdir={workdir}'),
    ],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def call(workdir, *flags):
  """The exit status of the same command in this process, which knows JAX."""
  return run_test.call(
    *ARGUMENTS, '--nocompilation_cache', f'--workdir={workdir}', *flags
  )


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """The workdir of a run that nobody disturbed."""
  workdir = tmp_path_factory.mktemp('whole') / 'run'
  assert call(workdir) == 0
  return workdir


def results(workdir):
  rows = records.read_jsonl(workdir / 'records.jsonl')
  return [records.deterministic(row) for row in rows]


def files_of(workdir):
  """Names in the workdir; of the checkpoints only that they are whole."""
  found = {
    str(path.relative_to(workdir))
    for path in workdir.rglob('*')
    if 'checkpoints' not in path.relative_to(workdir).parts
  }
  strange = [path for path in workdir.rglob('*') if 'tmp' in path.name]
  assert not strange
  return found


def num_records(workdir):
  path = workdir / 'records.jsonl'
  return path.read_text().count('\n') if path.exists() else 0


def send(number, workdir, *, at, seconds=0.0):
  """What became of a process that was sent a signal: its status and output.

  Args:
    number: of the signal.
    workdir: of the run.
    at: so many records are waited for, once the run has begun ...
    seconds: ... and so long after.
  """
  process = begin(workdir)
  begun = workdir / 'manifest.json'
  while not begun.exists() or num_records(workdir) < at:
    if process.poll() is not None:
      break
    time.sleep(0.005)
  time.sleep(seconds)
  process.send_signal(number)
  output, _ = process.communicate(timeout=600)
  return process.returncode, output


def kill_and_resume(whole, workdir, moments):
  found = [
    send(signal.SIGKILL, workdir, at=at, seconds=seconds)
    for at, seconds in moments
  ]
  assert call(workdir) == 0
  assert results(workdir) == results(whole), found
  assert files_of(workdir) == files_of(whole)
  # It did not even have its programs by then.
  assert found[0][0] == -signal.SIGKILL


def test_a_killed_run_goes_on_bit_for_bit(whole, tmp_path):
  kill_and_resume(whole, tmp_path / 'run', MOMENTS)


@pytest.mark.study
def test_a_run_killed_twenty_times_goes_on(whole, tmp_path):
  for seed in range(5):
    draw = random.Random(seed)
    moments = [(0, draw.uniform(0, 1))]
    moments += [
      (at, draw.choice([0.0, draw.uniform(0, 1)]))
      for at in sorted(draw.sample(range(ROUNDS), 3))
    ]
    kill_and_resume(whole, tmp_path / str(seed), moments)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
  whole, tmp_path, caplog
):
  workdir = tmp_path / 'run'
  status, output = send(signal.SIGINT, workdir, at=1)
  assert status == 130, output
  assert 'To resume, run:' in output
  (folder,) = (workdir / 'checkpoints' / 'margin').iterdir()
  steps = sorted(
    (path for path in folder.iterdir() if path.name.isdigit()),
    key=lambda path: int(path.name),
  )
  assert len(steps) > 1
  data = max(
    (path for path in steps[-1].rglob('*') if path.is_file()),
    key=lambda path: path.stat().st_size,
  )
  data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
  assert call(workdir) == 0
  assert steps[-1].name in caplog.text
  assert results(workdir) == results(whole)


def test_a_finished_run_says_so_and_changes_nothing(whole, capsys):
  before = {
    path: path.stat().st_mtime_ns
    for path in whole.rglob('*')
    if path.is_file() and path.name != '.lock'
  }
  assert call(whole) == 0
  assert 'finished run' in capsys.readouterr().out
  for path, changed in before.items():
    assert path.stat().st_mtime_ns == changed, path


def test_another_config_is_refused_with_the_difference(whole, capsys):
  assert call(whole, '--config.learner.batch_size=32') == 1
  assert 'learner.batch_size: 64 -> 32' in capsys.readouterr().err


def test_a_second_process_is_refused(tmp_path, capsys):
  first = begin(tmp_path / 'run')
  while not (tmp_path / 'run' / 'manifest.json').exists():
    assert first.poll() is None
    time.sleep(0.005)
  # Held still: it must not be over before the second has started.
  first.send_signal(signal.SIGSTOP)
  assert call(tmp_path / 'run') == 1
  assert str(first.pid) in capsys.readouterr().err
  first.kill()
  first.communicate()

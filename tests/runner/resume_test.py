"""Processes that are killed, and go on as if nothing had happened."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from al_jax.storage import records

ROOT = pathlib.Path(__file__).parent.parent.parent
ROUNDS = 6
COMMAND = [
  sys.executable,
  '-m',
  'experiments.run',
  '--config=configs/mnist.py:local',
  '--config.systems=margin',
  f'--config.protocol.rounds={ROUNDS}',
  '--config.protocol.save_every_steps=10',
  '--config.seeds=1',
]


@pytest.fixture(scope='module')
def environment(tfds_dir, tmp_path_factory):
  """Caches of the module, so that a start takes little but the start."""
  cache = tmp_path_factory.mktemp('cache')
  return {
    **os.environ,
    'TFDS_DATA_DIR': str(tfds_dir),
    'AL_JAX_CACHE_DIR': str(cache / 'data'),
    'JAX_COMPILATION_CACHE_DIR': str(cache / 'compiled'),
  }


def begin(workdir, environment, *flags):
  return subprocess.Popen(
    [*COMMAND, f'--workdir={workdir}', *flags],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(workdir, environment, *flags):
  process = begin(workdir, environment, *flags)
  output, _ = process.communicate(timeout=300)
  assert process.returncode == 0, output
  return output


@pytest.fixture(scope='module')
def whole(environment, tmp_path_factory):
  """An uninterrupted run: its workdir, and how long it computes."""
  workdir = tmp_path_factory.mktemp('whole') / 'run'
  finish(workdir, environment)
  finish(workdir, environment, '--overwrite')  # timed with warm caches
  rows = records.read_jsonl(workdir / 'records.jsonl')
  return workdir, sum(row.seconds for row in rows)


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


def kill_and_resume(whole, environment, tmp_path, kills, seed):
  expected, seconds = whole
  workdir = tmp_path / 'run'
  draw = random.Random(seed)
  died = 0
  for _ in range(kills):
    process = begin(workdir, environment)
    computing = workdir / 'manifest.json'
    while not computing.exists() and process.poll() is None:
      time.sleep(0.01)
    # Program start and compilation count too: kills fall there as well.
    time.sleep(draw.uniform(0, 2 + 1.5 * seconds))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    died += process.returncode == -signal.SIGKILL
  output = finish(workdir, environment)
  assert results(workdir) == results(expected), output
  assert files_of(workdir) == files_of(expected)
  assert died >= 1


def test_a_killed_run_goes_on_bit_for_bit(whole, environment, tmp_path):
  kill_and_resume(whole, environment, tmp_path, kills=4, seed=0)


@pytest.mark.study
def test_a_run_killed_twenty_times_goes_on(whole, environment, tmp_path):
  for seed in range(5):
    kill_and_resume(
      whole, environment, tmp_path / str(seed), kills=4, seed=seed + 1
    )


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
  whole, environment, tmp_path
):
  expected, _ = whole
  workdir = tmp_path / 'run'
  process = begin(workdir, environment)
  rows = workdir / 'records.jsonl'
  while not rows.exists() or len(rows.read_text().splitlines()) < 3:
    assert process.poll() is None
    time.sleep(0.01)
  process.send_signal(signal.SIGINT)
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 130, output
  assert 'To go on, run the same command again' in output
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
  output = finish(workdir, environment)
  assert steps[-1].name in output
  assert results(workdir) == results(expected)


def test_a_finished_run_says_so_and_changes_nothing(whole, environment):
  workdir, _ = whole
  before = {
    path: path.stat().st_mtime_ns
    for path in workdir.rglob('*')
    if path.is_file() and path.name != '.lock'
  }
  output = finish(workdir, environment)
  assert 'finished run' in output
  for path, changed in before.items():
    assert path.stat().st_mtime_ns == changed, path


def test_another_config_is_refused_with_the_difference(whole, environment):
  workdir, _ = whole
  process = begin(workdir, environment, '--config.learner.batch_size=32')
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 1
  assert 'learner.batch_size: 64 -> 32' in output


def test_a_second_process_is_refused(environment, tmp_path):
  first = begin(tmp_path / 'run', environment)
  while not (tmp_path / 'run' / 'manifest.json').exists():
    assert first.poll() is None
    time.sleep(0.01)
  # Held still: it must not be over before the second has started.
  first.send_signal(signal.SIGSTOP)
  second = begin(tmp_path / 'run', environment)
  output, _ = second.communicate(timeout=60)
  first.kill()
  first.communicate()
  assert second.returncode == 1
  assert str(first.pid) in output

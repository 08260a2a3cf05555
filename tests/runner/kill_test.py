"""Comparisons that are killed: what was recorded stays, and nothing changes."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import jax
import pytest

from al_jax.storage import records
from tests.commands import run_test
from tests.runner import grid_test
from tests.runner.resume_test import ROOT, files_of, results

# ALBL carries a state from round to round, random nothing but its labels.
SMALL = (
  '--config=configs/quickstart.py',
  '--config.systems=random,albl',
  '--config.seeds=2',
  '--config.model.widths=(16,)',
  '--config.learner.stop.epochs=20',
  '--config.protocol.rounds=4',
  '--config.protocol.save_every_steps=10',
  "--config.data.transforms=({'name':'cap','train':200,'test':50},)",
  '--quiet',
)
NUM_RECORDS = 2 * 2 * 4
# A record is written as soon as its checkpoint is on its way to the disk: one
# save may be under way then, and one waiting.
NOT_YET_SAVED = 2


def begin(workdir, *flags):
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'experiments.run'),
      *(f'--workdir={workdir}', *flags),
    ],
    cwd=ROOT,
    env={
      **os.environ,
      'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir,
      'PYTHONPATH': str(ROOT),
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(workdir, *flags):
  """The same command in this process, which has imported all."""
  flags = (*flags, '--nocompilation_cache', f'--workdir={workdir}')
  assert run_test.call(*flags) == 0


def lines_of(folder):
  """The records as they are written down, to the last digit."""
  path = folder / 'records.jsonl'
  text = path.read_text() if path.exists() else ''
  return [line for line in text.splitlines(keepends=True) if line[-1] == '\n']


def kill(workdir, *flags, at, seconds=0.0, folder=None):
  """The records that were there when a process was killed.

  Args:
    workdir: of the comparison.
    *flags: of its command.
    at: so many records are waited for, ...
    seconds: ... and so long after.
    folder: where the records are; None for the workdir.
  """
  folder = folder or workdir
  process = begin(workdir, *flags)
  # Often: the checkpoint of a record is on the disk soon after it.
  while len(lines_of(folder)) < at and process.poll() is None:
    time.sleep(0.0005)
  time.sleep(seconds)
  process.send_signal(signal.SIGKILL)
  output, _ = process.communicate(timeout=600)
  assert process.returncode in (-signal.SIGKILL, 0), output
  return lines_of(folder)


def run_again(before, after):
  """Systems and seeds of records whose rounds were run once more.

  A round that is not run again keeps its record to the last digit of the
  seconds that it took.
  """
  lost = set(before) - set(after)
  return [
    (record.system, record.seed)
    for record in map(records.RoundRecord.from_json, lost)
  ]


def check_kept(before, after, *, at_work=1):
  """All that was recorded is there, but for the last of each at work."""
  again = run_again(before, after)
  assert len(set(again)) <= at_work
  for cell in again:
    assert again.count(cell) <= NOT_YET_SAVED
  if again and at_work == 1:
    last = records.RoundRecord.from_json(before[-1])
    assert set(again) == {(last.system, last.seed)}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """The workdir of a comparison that nobody disturbed."""
  workdir = tmp_path_factory.mktemp('whole') / 'run'
  finish(workdir, *SMALL)
  assert len(lines_of(workdir)) == NUM_RECORDS
  return workdir


def kill_and_finish(whole, workdir, moments, *flags, at_work=1):
  found = [
    kill(workdir, *SMALL, *flags, at=at, seconds=seconds)
    for at, seconds in moments
  ]
  finish(workdir, *SMALL, *flags)
  for before in found:
    check_kept(before, lines_of(workdir), at_work=at_work)
  assert results(workdir) == results(whole)
  assert files_of(workdir) == files_of(whole)
  return found


def test_a_killed_comparison_goes_on_bit_for_bit(whole, tmp_path):
  # At once when a record is there, and a little later in a system with state.
  moments = [(3, 0.0), (11, 0.02)]
  found = kill_and_finish(whole, tmp_path / 'run', moments)
  # The first was killed at work, and the second went on from there.
  assert 3 <= len(found[0]) < NUM_RECORDS
  assert len(found[1]) >= 11


def test_a_killed_stream_goes_on_where_it_was(tmp_path):
  flags = (
    *(flag for flag in SMALL if not re.search('systems|seeds', flag)),
    "--config.stream={'manager': 'balanced', 'lookahead': 30}",
    '--config.systems=margin',
    '--config.protocol.first_set=first',
    '--config.protocol.first_size=20',
    '--config.protocol.labels_per_round=4',
  )
  finish(tmp_path / 'whole', *flags)
  before = kill(tmp_path / 'run', *flags, at=2)
  finish(tmp_path / 'run', *flags)
  check_kept(before, lines_of(tmp_path / 'run'))
  assert results(tmp_path / 'run') == results(tmp_path / 'whole')
  assert files_of(tmp_path / 'run') == files_of(tmp_path / 'whole')


def test_rounds_that_were_run_again_are_told_from_those_that_were_not(whole):
  rows = records.read_jsonl(whole / 'records.jsonl')
  before = [row.to_json() + '\n' for row in rows]
  check_kept(before, lines_of(whole))
  assert not run_again(before, lines_of(whole))
  slower = [
    line.replace('"seconds_fit": ', '"seconds_fit": 1') for line in before
  ]
  with pytest.raises(AssertionError):
    check_kept(before, slower)
  with pytest.raises(AssertionError):
    check_kept(before, [slower[0], *before[1:]])
  with pytest.raises(AssertionError):
    check_kept(before, before[:-3])
  check_kept(before, [*before[:-2], *slower[-2:]])


@pytest.mark.study
@pytest.mark.parametrize('workers', [1, 2])
def test_a_comparison_killed_twenty_times_goes_on(whole, tmp_path, workers):
  for seed in range(5):
    draw = random.Random(seed)
    moments = [(0, draw.uniform(0, 10))]
    moments += [
      (at, draw.choice([0.0, draw.uniform(0, 0.5)]))
      for at in sorted(draw.sample(range(1, NUM_RECORDS), 3))
    ]
    flags = (f'--workers={workers}',)
    workdir = tmp_path / str(seed)
    kill_and_finish(whole, workdir, moments, *flags, at_work=workers)


@pytest.mark.study
def test_a_finished_cell_of_a_killed_grid_is_not_run_again(tmp_path):
  config = tmp_path / 'grid.py'
  config.write_text(grid_test.CONFIG)
  flags = (f'--config={config}', '--quiet')
  finish(tmp_path / 'whole', *flags)
  workdir = tmp_path / 'run'
  first, second = (workdir / name for name in grid_test.NAMES)
  kill(workdir, *flags, at=2, folder=first)
  before = [kill(workdir, *flags, at=at, folder=second) for at in (1, 2, 3)]
  changed = {
    path: path.stat().st_mtime_ns
    for path in first.rglob('*')
    if path.is_file() and path.name != '.lock'
  }
  finish(workdir, *flags)
  for path, when in changed.items():
    assert path.stat().st_mtime_ns == when, path
  for found in before:
    assert found
    check_kept(found, lines_of(second))
  assert grid_test.results(workdir) == grid_test.results(tmp_path / 'whole')

"""Runs that are killed, and go on with other devices and processes.

A study: `pytest -m study -s tests/devices_stress_test.py`; docs/devices.md says
what is drawn at random, and a part is in `moving.py`. AL_JAX_STRESS_RUNS says
how many configurations (200), and AL_JAX_STRESS_FILE where a line for each is
kept, so that the next call begins where this one was stopped.
"""

import collections
import contextlib
import functools
import json
import os
import pathlib

import numpy as np
import pytest

from tests import moving

SYSTEMS = (
  'margin',
  'variation_ratio',
  'bald',
  'badge',
  'core_set',
  'lcmd',
  'hybrid',
)
ENDS = (moving.STOPPED, moving.RAISED, moving.KILLED)
# How many of its virtual devices a process uses, by the number of processes.
DEVICES = {1: (1, 2, 4, 8), 2: (1, 2, 4)}


def configuration(number):
  """Draws a run, and the parts that it is made of with their processes."""
  rng = np.random.default_rng(number)
  run = {
    'system': str(rng.choice(SYSTEMS)),
    'copies': int(rng.choice([2, 3, 5])),
    'seed': int(rng.integers(2)),
  }
  processes = [1] * int(rng.integers(1, 4))
  if number % 3 == 0:
    processes = rng.permutation([1, 2, 1 + rng.integers(2)]).tolist()
  parts = [
    {
      'chunk_size': int(rng.choice([64, 100])),
      'where': str(rng.choice(['device', 'host'])),
      'devices': int(rng.choice(DEVICES[several])),
      'end': str(rng.choice(ENDS)),
      # A run asks 10 times. From one time to the next it is a hundredth of a
      # second, and a second or more where something is compiled.
      'after': int(rng.integers(1, 9)),
      'victim': int(rng.integers(several)),
      'delay': float(0.001 * 10 ** rng.uniform(0, 3)),
    }
    for several in processes
  ]
  parts[-1] |= {'end': moving.OVER}
  return run, processes, parts


def last_save(folder):
  saves = [int(path.name) for path in folder.glob('*') if path.name.isdigit()]
  return max(saves, default=-1)


def run_and_compare(number, teams, wanted, folder):
  """Runs a configuration, part by part; returns what is kept of it.

  That has, of each part, how many processes it had, how it ended, and the
  checkpoint that there was then; -1 for none.
  """
  run, processes, parts = configuration(number)
  ends = []
  for several, part in zip(processes, parts, strict=True):
    part = moving.Part(folder=folder, **run, **part)
    for _ in range(3):
      end, found = teams[several].run(part)
      ends.append((several, end, last_save(folder)))
      if end != moving.FAILED:
        break
    if end in (moving.OVER, moving.FAILED):
      break
  assert end == moving.OVER, (number, ends)
  differ = [
    pair
    for pair in zip(wanted(**run), found, strict=True)
    if pair[0] != pair[1]
  ]
  return {
    'number': number,
    **run,
    'parts': parts,
    'ends': ends,
    'differ': differ,
  }


@pytest.mark.study
@pytest.mark.timeout(0)
def test_killed_runs_on_any_devices_make_the_same_picks(tmp_path):
  number = int(os.environ.get('AL_JAX_STRESS_RUNS', '200'))
  path = os.environ.get('AL_JAX_STRESS_FILE', tmp_path / 'stress.jsonl')
  path = pathlib.Path(path).absolute()
  path.touch()
  done = {line['number'] for line in lines_of(path)}
  with contextlib.ExitStack() as stack:
    teams = {
      several: stack.enter_context(
        moving.Team(several, max(devices), tmp_path / 'compiled')
      )
      for several, devices in DEVICES.items()
    }

    @functools.cache
    def wanted(**run):
      end, found = teams[1].run(moving.Part(devices=1, **run))
      assert end == moving.OVER
      return found

    for each in sorted(set(range(number)) - done):
      line = run_and_compare(each, teams, wanted, tmp_path / str(each))
      with path.open('a') as file:
        print(json.dumps(line), file=file)
  lines = lines_of(path)
  assert len({line['number'] for line in lines}) >= number
  ends = collections.Counter(
    f'{several}: {end}' + ' before any save' * (save < 0)
    for line in lines
    for several, end, save in line['ends']
  )
  print(len(lines), 'configurations; processes of parts, and their ends:', ends)
  assert [line for line in lines if line['differ']] == []


def lines_of(path):
  return list(map(json.loads, path.read_text().splitlines()))

"""Neither the number of devices nor the size of a chunk changes a pick."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from al_jax import systems

ROOT = pathlib.Path(__file__).parent.parent

# What a run asks, and what every system there is would ask of one state, as one
# line of JSON.
SCRIPT = """
import json, sys
import jax
jax.config.update('jax_num_cpu_devices', int(sys.argv[1]))
import numpy as np
from al_jax import acquisition, loop, oracle, program, protocol, systems
from tests.factories import a_system, a_task
dataset, facts = a_task(label_budget=60, size=1000)
answers = oracle.Oracle(dataset.train.targets, 10)
proceeding = protocol.Protocol(rounds=2, labels_per_round=20, first_size=20)
all_sources = program.sources_of(dataset, sys.argv[3])
found, state = {'devices': jax.local_device_count()}, None
for name in systems.SYSTEMS:
  compiled = program.compile_program(
    a_system(name, facts=facts, dropout=0.2),
    all_sources,
    dataset.train.ids,
    chunk_size=int(sys.argv[2]),
  )
  if state is None:
    runs = list(loop.run_rounds(compiled, answers, proceeding, [0]))
    found['run'] = [(row.picks, row.test['accuracy']) for row in runs]
    state = acquisition.begin(compiled, answers, proceeding, 0)
  _, acquired = acquisition.acquire(
    compiled, answers, state, 20, seed=0, round=0
  )
  found[name] = acquired.picks.tolist()
print(json.dumps(found))
"""


def picks(devices, chunk_size, placement='device'):
  finished = subprocess.run(
    [sys.executable, '-c', SCRIPT, str(devices), str(chunk_size), placement],
    cwd=ROOT,
    env={
      **os.environ,
      'PYTHONPATH': str(ROOT),
      'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir,
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
    },
    capture_output=True,
    check=False,
    text=True,
    timeout=300,
  )
  assert finished.returncode == 0, finished.stderr
  found = json.loads(finished.stdout)
  assert found.pop('devices') == devices
  assert list(found) == ['run', *systems.SYSTEMS]
  return found


@pytest.fixture(scope='module')
def on_one_device():
  return picks(1, 1000)


def test_eight_devices_pick_the_same_as_one(on_one_device):
  assert picks(8, 800) == on_one_device


def test_another_chunk_size_picks_the_same(on_one_device):
  assert picks(1, 130) == on_one_device


def test_inputs_on_the_host_of_eight_devices_pick_the_same(on_one_device):
  assert picks(8, 1000, 'host') == on_one_device

"""Random runs that are killed, and go on with other devices: the same picks.

A study: `pytest -m study tests/devices_stress_test.py`. AL_JAX_STRESS_RUNS says
how many configurations (200), and AL_JAX_STRESS_FILE where a line for each is
kept, so that the next call begins where this one was stopped.
"""

import json
import os
import pathlib

import pytest

from tests import children

# A process takes some configurations, over the first of eight devices. A kill
# is an exception in the middle of a run, which saves nothing more.
SCRIPT = """
import dataclasses, functools, json, pathlib, sys, tempfile
import jax
jax.config.update('jax_num_cpu_devices', 8)
import numpy as np
from al_jax import loop, oracle, placement
from al_jax.loop import program, protocol
from al_jax.storage import checkpoint
from tests.factories import a_system, a_task

SYSTEMS = ('margin', 'variation_ratio', 'badge', 'core_set', 'lcmd', 'bald')
how = protocol.Protocol(
  rounds=3, labels_per_round=8, first_size=16, save_every_steps=5
)
dataset, facts = a_task(label_budget=60, size=200)

class Killed(Exception):
  pass

@functools.cache
def tied(copies):
  # Each example stands there several times.
  few = dataset.train.inputs[: -(-len(dataset.train) // copies)]
  inputs = np.concatenate([few] * copies)[: len(dataset.train)]
  train = dataclasses.replace(dataset.train, inputs=inputs)
  return dataclasses.replace(dataset, train=train)

@functools.cache
def compiled(name, copies, devices, chunk_size, where):
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ('pool',))
  placement.current = lambda: placement.Placement(mesh)
  pool = tied(copies)
  options = {'strategy': {'num_samples': 4}} if name == 'bald' else {}
  system = a_system(name, facts=facts, dropout=0.2, **options)
  return program.compile_program(
    system,
    program.sources_of(pool, where),
    pool.train.ids,
    chunk_size=chunk_size,
  )

def run(what, copies, seed, saves=None, kill_after=10**9):
  asked = []
  def should_stop():
    asked.append(None)
    if len(asked) > kill_after:
      raise Killed
    return False
  answers = oracle.SimulatedOracle(dataset.train.targets, dataset.task)
  rows = loop.run_rounds(
    what, answers, how, [seed], checkpointer=saves, should_stop=should_stop
  )
  return [(row.picks, row.test['accuracy'], row.train['loss']) for row in rows]

@functools.cache
def wanted(name, copies, seed):
  return run(compiled(name, copies, 1, 64, 'device'), copies, seed)

def configuration(number):
  rng = np.random.default_rng(number)
  name = str(rng.choice(SYSTEMS))
  copies, seed = int(rng.choice([2, 3, 5])), int(rng.integers(2))
  parts = [
    {
      'devices': int(rng.choice([1, 2, 4, 8])),
      'chunk_size': int(rng.choice([64, 100])),
      'where': str(rng.choice(['device', 'host'])),
      'kill_after': int(rng.integers(1, 8)) if part else 10**9,
    }
    for part in reversed(range(int(rng.integers(1, 4))))
  ]
  return name, copies, seed, parts

path = pathlib.Path(sys.argv[1])
done = set()
if path.exists():
  done = {json.loads(line)['number'] for line in path.read_text().splitlines()}
left = [number for number in range(int(sys.argv[2])) if number not in done]
# More would compile more programs than a process may map into its memory.
for number in left[:25]:
  (name, copies, seed, parts), kills = configuration(number), 0
  with tempfile.TemporaryDirectory() as folder:
    for part in parts:
      ways = (part['devices'], part['chunk_size'], part['where'])
      try:
        with checkpoint.Checkpointer(folder) as saves:
          found = run(
            compiled(name, copies, *ways),
            copies,
            seed,
            saves,
            part['kill_after'],
          )
      except Killed:
        kills += 1
      else:
        break
  differ = [
    list(pair)
    for pair in zip(wanted(name, copies, seed), found, strict=True)
    if pair[0] != pair[1]
  ]
  with path.open('a') as file:
    line = {'number': number, 'system': name, 'copies': copies, 'seed': seed}
    line |= {'parts': parts, 'kills': kills, 'differ': differ}
    print(json.dumps(line), file=file)
print(max(len(left) - 25, 0))
"""


@pytest.mark.study
def test_killed_runs_on_any_devices_make_the_same_picks(tmp_path):
  number = int(os.environ.get('AL_JAX_STRESS_RUNS', '200'))
  path = os.environ.get('AL_JAX_STRESS_FILE', tmp_path / 'stress.jsonl')
  path = pathlib.Path(path).absolute()
  left = number
  while left:
    begun = children.begin(SCRIPT, path, number)
    [left] = children.printed([begun], timeout=None)
  text = path.read_text()
  lines = list(map(json.loads, text.splitlines()))
  assert len({line['number'] for line in lines}) >= number
  assert [line for line in lines if line['differ']] == []

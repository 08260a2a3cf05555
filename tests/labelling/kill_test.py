"""Projects whose processes are killed at random moments."""

import os
import random
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from al_jax import labelling
from al_jax.labelling import project
from tests.runner.resume_test import ROOT

# Asks and tells until the project has so many batches; says what it was
# promised.
WORK = """
import sys
from al_jax import labelling
from al_jax.labelling import project

folder, rounds = sys.argv[1], int(sys.argv[2])
while True:
  now = project.of(folder)
  if len(now.batches) == rounds and not now.pending:
    break
  names = now.pending
  if not names:
    names = [query.id for query in labelling.propose(folder, 5).queries]
  answers = [
    labelling.Answer(name, 'odd' if int(name) % 2 else 'even')
    for name in names
  ]
  for part in (answers[:3], answers):
    labelling.tell(folder, part)
    print('told', *[answer.id for answer in part], flush=True)
"""


def begun(folder, path):
  config = {'learner': {'stop': {'steps': 20}}}
  labelling.begin(folder, f'file:{path}', ['odd', 'even'], config=config)


def worked(folder, rounds, seconds=None):
  """What a worker says until it ends, or is killed after some seconds."""
  worker = subprocess.Popen(
    [sys.executable, '-c', WORK, str(folder), str(rounds)],
    env={
      **os.environ,
      'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir,
      'PYTHONPATH': str(ROOT),
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    said, error = worker.communicate(timeout=seconds)
  except subprocess.TimeoutExpired:
    worker.send_signal(signal.SIGKILL)
    said, error = worker.communicate()
  assert worker.returncode in (0, -signal.SIGKILL), error
  promised = [
    line.split()[1:]
    for line in said.splitlines(keepends=True)
    if line.endswith('\n')
  ]
  return {name for names in promised for name in names}, worker.returncode


def killed_often(tmp_path, rounds, kills):
  """Kills workers until so many died; then lets one finish."""
  path = tmp_path / 'x.npy'
  values = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
  np.save(path, values)
  folder, generator = tmp_path / 'state', random.Random(0)
  begun(folder, path)
  promised, died = set(), 0
  while died < kills:
    # It takes about three seconds until it asks.
    told, status = worked(folder, rounds, generator.uniform(1.5, 6))
    promised |= told
    if status == 0:
      # All is done: begin where half of it is left.
      break
    died += 1
  told, _ = worked(folder, rounds)
  return folder, promised | told, died, path


def check(tmp_path, rounds, kills):
  folder, promised, died, path = killed_often(tmp_path, rounds, kills)
  now = project.of(folder)
  asked = [name for batch in now.batches for name in batch.ids]

  assert len(now.batches) == rounds
  assert len(set(asked)) == len(asked) == 5 * rounds
  assert promised <= set(now.labels)
  assert set(now.labels) == set(asked)
  # As if nobody had been killed.
  other = tmp_path / 'other'
  begun(other, path)
  worked(other, rounds)
  assert [batch.ids for batch in project.of(other).batches] == [
    batch.ids for batch in now.batches
  ]
  return died


def test_nothing_is_lost_and_nothing_asked_twice(tmp_path):
  assert check(tmp_path, 3, kills=2) == 2


@pytest.mark.study
def test_a_hundred_kills(tmp_path):
  died = 0
  for attempt in range(100):
    (tmp_path / str(attempt)).mkdir()
    died += check(tmp_path / str(attempt), 10, kills=100 - died)
    if died == 100:
      break
  assert died == 100

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


def worked(folder, rounds, *, seconds=None, parts=None):
  """What a worker promises until it ends, and its status.

  It is killed after some seconds, or as soon as it has told some parts.
  """
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
  said = ''
  if parts is not None:
    said = ''.join(worker.stdout.readline() for _ in range(parts))
    worker.kill()
  try:
    rest, error = worker.communicate(timeout=seconds)
  except subprocess.TimeoutExpired:
    worker.kill()
    rest, error = worker.communicate()
  said += rest
  assert worker.returncode in (0, -signal.SIGKILL), error
  promised = [
    line.split()[1:]
    for line in said.splitlines(keepends=True)
    if line.endswith('\n')
  ]
  return {name for names in promised for name in names}, worker.returncode


def killed_often(tmp_path, rounds, kills):
  """Kills workers as often as is said; then lets one finish.

  Returns the folder, what was promised, how many died, and the pool.
  """
  path = tmp_path / 'x.npy'
  values = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
  np.save(path, values)
  folder, promised, died = tmp_path / 'state', set(), 0
  begun(folder, path)
  for how in kills:
    told, status = worked(folder, rounds, **how)
    promised |= told
    if status == 0:
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
  # After the first part of a batch, and after a whole one.
  assert check(tmp_path, 3, [{'parts': 1}, {'parts': 2}]) == 2


@pytest.mark.study
def test_a_hundred_kills(tmp_path):
  generator, died = random.Random(0), 0
  while died < 100:
    folder = tmp_path / str(died)
    folder.mkdir()
    # It takes about three seconds until it asks.
    kills = [{'seconds': generator.uniform(1.5, 6)} for _ in range(100 - died)]
    # One that no kill met ends the study: the machine is too fast for it.
    now = check(folder, 10, kills)
    assert now
    died += now

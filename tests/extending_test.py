"""Runs the files of docs/extending.md in an empty folder, like a stranger."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from al_jax.storage import manifest, records

ROOT = pathlib.Path(__file__).parent.parent
SYSTEMS = [
  'random',
  'my_learner.averaged+margin',
  'supervised+my_strategy.spread_margin',
]
RUN = (
  *('run', '--config=my_config.py', '--workdir=runs/mine', '--quiet'),
  '--config.learner.stop.epochs=2',
)


def al_jax(folder, *arguments):
  """Runs a command there; the folder is not put on sys.path."""
  return subprocess.run(
    [sys.executable, '-P', '-m', 'al_jax', *arguments],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """The folder after two rounds of two seeds in two processes."""
  folder = tmp_path_factory.mktemp('stranger')
  page = (ROOT / 'docs' / 'extending.md').read_text()
  files = re.findall(
    r'^`(\w+\.py)`:\n\n```python\n(.*?)^```', page, re.M | re.S
  )
  assert len(files) == 5
  for name, content in files:
    (folder / name).write_text(content)
  shorter = ('--config.seeds=2', '--config.protocol.rounds=2')
  ended = al_jax(folder, *RUN, *shorter, '--workers=2')
  assert ended.returncode == 0, ended.stderr
  return folder


def test_parts_of_a_stranger_run_in_worker_processes(folder):
  rows = records.read_jsonl(folder / 'runs' / 'mine' / 'records.jsonl')
  assert sorted({row.system for row in rows}) == sorted(SYSTEMS)
  assert len(rows) == 2 * 2 * len(SYSTEMS)
  about = manifest.read(folder / 'runs' / 'mine' / 'manifest.json')
  modules = ['my_data', 'my_learner', 'my_model', 'my_strategy']
  assert sorted(about['modules']) == modules


def test_going_on_after_an_edit_is_refused(folder):
  path = folder / 'my_strategy.py'
  before = path.read_text()
  path.write_text(before + '# Edited.\n')
  longer = ('--config.seeds=3', '--config.protocol.rounds=2')
  ended = al_jax(folder, *RUN, *longer)
  assert ended.returncode == 1
  assert 'the file of my_strategy has changed since ' in ended.stderr
  assert len(ended.stderr.splitlines()) == 1
  path.write_text(before)

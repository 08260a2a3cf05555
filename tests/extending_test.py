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
  'my_learner.pair+margin',
  'supervised+my_strategy.spread_margin',
  'supervised+my_strategy.typiclust',
]
PARTS = [
  'my_data',
  'my_learner',
  'my_losses',
  'my_model',
  'my_strategy',
]
RUN = (
  *('run', '--config=my_config.py', '--workdir=runs/mine', '--quiet'),
  *('--config.learner.stop.epochs=2', '--config.learner.epochs=2'),
  '--config.protocol.rounds=2',
)


def al_jax(folder, *arguments):
  """Runs a command there; the folder is not put on sys.path."""
  return python(folder, '-P', '-m', 'al_jax', *arguments)


def python(folder, *arguments):
  return subprocess.run(
    [sys.executable, *arguments],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """The folder after two rounds of a seed in two processes."""
  folder = tmp_path_factory.mktemp('stranger')
  page = (ROOT / 'docs' / 'extending.md').read_text()
  files = re.findall(
    r'^`(\w+\.py)`:\n\n```python\n(.*?)^```', page, re.M | re.S
  )
  assert len(files) == 7
  for name, content in files:
    (folder / name).write_text(content)
  ended = al_jax(folder, *RUN, '--config.seeds=1', '--workers=2')
  assert ended.returncode == 0, ended.stderr
  return folder


def test_parts_of_a_stranger_run_in_worker_processes(folder):
  rows = records.read_jsonl(folder / 'runs' / 'mine' / 'records.jsonl')
  assert sorted({row.system for row in rows}) == sorted(SYSTEMS)
  assert len(rows) == 2 * len(SYSTEMS)
  about = manifest.read(folder / 'runs' / 'mine' / 'manifest.json')
  assert sorted(about['modules']) == PARTS
  assert about['config']['learner']['loss']['name'] == 'my_losses.smoothed'
  assert {row.parts['loss'] for row in rows} == {
    'my_losses.smoothed(smoothing=0.2)'
  }
  of_pair = {'unit': '', 'larger_is_better': False}
  assert about['report_metrics'] == {'gap': of_pair}


def test_a_metric_of_a_stranger_is_in_the_records(folder):
  for row in records.read_jsonl(folder / 'runs' / 'mine' / 'records.jsonl'):
    assert ('gap' in row.test) == row.system.startswith('my_learner')


def test_a_loop_of_a_stranger_has_parts_as_objects(folder):
  ended = python(folder, 'my_loop.py')
  assert ended.returncode == 0, ended.stderr
  lines = [line.split() for line in ended.stdout.splitlines()]
  # A tenth of the questions is not answered, and yet paid for.
  assert [line[0] for line in lines] == ['mine'] * 3
  assert [line[1] for line in lines] == ['10', '20', '30']


@pytest.mark.parametrize(
  ('module', 'seeds'), [('my_strategy', 1), ('my_losses', 2)]
)
def test_going_on_after_an_edit_is_refused(folder, module, seeds):
  path = folder / f'{module}.py'
  before = path.read_text()
  path.write_text(before + '# Edited.\n')
  ended = al_jax(folder, *RUN, f'--config.seeds={seeds}')
  assert ended.returncode == 1
  assert f'the file of {module}, was edited after ' in ended.stderr
  assert len(ended.stderr.splitlines()) == 1
  path.write_text(before)

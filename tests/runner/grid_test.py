"""Grids of cells: their configs, and runs of them."""

import json
import os
import shutil
import signal
import subprocess
import sys

import jax
import pytest

from al_jax.runner import cells, grid, runs
from al_jax.storage import manifest, records, workdir
from tests.commands import run_test

BASE = {
  'data': {'source': 'digits', 'transforms': []},
  'model': {'name': 'mlp', 'widths': [8]},
  'learner': {'batch_size': 16, 'stop': {'epochs': 2}},
  'prefilter': None,
}

CONFIG = """
from ml_collections import ConfigDict
from al_jax.runner import defaults
def get_config():
  config = defaults.get_config()
  config.systems = ('random', 'margin')
  config.model.widths = (8,)
  config.data.transforms = ({'name': 'cap', 'train': 90, 'test': 50},)
  config.learner.stop.epochs = 2
  config.protocol.rounds = 2
  config.protocol.first_size = 10
  config.full_labels = True
  config.describe.batches = True
  config.grid = ConfigDict({
    'batch': {
      'few': {'protocol': {'labels_per_round': 5}},
      'more': {'protocol': {'labels_per_round': 10}},
    },
    'net': {'drop': {'model': {'dropout': 0.1}}},
  })
  return config
"""
NAMES = ['few-drop', 'more-drop']


def test_without_a_grid_there_is_one_cell_without_a_name():
  for without in ({}, {'grid': {}}, {'grid': None}):
    (alone,) = grid.cells({**BASE, **without})
    assert (alone.name, alone.axes, alone.config) == ('', {}, BASE)


def test_every_corner_changes_what_it_says_and_nothing_else():
  first, second, *others = grid.cells(
    {
      **BASE,
      'grid': {
        'data': {
          'letter': {'data': {'source': 'openml:6'}},
          'capped': {'data': {'transforms': [1]}},
        },
        'epochs': {
          '1': {'learner': {'stop': {'epochs': 1}}},
          '9': {'learner': {'stop': {'epochs': 9}, 'batch_size': 4}},
        },
      },
    }
  )
  assert first.name == 'letter-1'
  assert first.axes == {'data': 'letter', 'epochs': '1'}
  # Another source has none of the options of the first.
  assert first.config['data'] == {'source': 'openml:6'}
  assert first.config['learner'] == {'batch_size': 16, 'stop': {'epochs': 1}}
  assert second.config['learner'] == {'batch_size': 4, 'stop': {'epochs': 9}}
  assert second.config['model'] == BASE['model']
  assert [each.name for each in others] == ['capped-1', 'capped-9']
  assert others[0].config['data'] == {'source': 'digits', 'transforms': [1]}


def test_several_grids_are_all_their_cells():
  batches = [{'batch': {'1': {}, '2': {}}, 'net': {'wide': {}}}]
  batches += [{'batch': {'3': {}}, 'net': {'deep': {}}}]
  found = grid.cells({**BASE, 'grid': batches})
  assert [each.name for each in found] == ['1-wide', '2-wide', '3-deep']
  assert found[2].axes == {'batch': '3', 'net': 'deep'}


def test_a_model_may_get_options_that_the_config_does_not_have():
  axes = {'net': {'drop': {'model': {'dropout': 0.5}}}}
  (found,) = grid.cells({**BASE, 'grid': axes})
  assert found.config['model'] == {**BASE['model'], 'dropout': 0.5}
  assert BASE['model'] == {'name': 'mlp', 'widths': [8]}


@pytest.mark.parametrize(
  ('axes', 'message'),
  [
    (3, 'grid is 3; it must be a mapping'),
    ({'a': 3}, 'grid.a is 3; it must be a mapping'),
    ({'a': {}}, 'grid.a has no values'),
    ({'a': {'x': 3}}, 'grid.a.x is 3; it must be a mapping'),
    ({'a': {'x-y': {}}}, "value 'x-y'; it names a folder"),
    ({'a': {'..': {}}}, r"value '\.\.'; it names a folder"),
    ({'a': {'x/y': {}}}, "value 'x/y'; it names a folder"),
    ({'a': {'': {}}}, "value ''; it names a folder"),
    ({'a': {'checkpoints': {}}}, "is named 'checkpoints'"),
    ({'a': {'x': {'systems': ['margin']}}}, "'x' changes 'systems'"),
    ({'a': {'x': {'modle': {}}}}, "no option 'modle'. Did you mean 'model'"),
    ({'a': {'x': {'learner': {'sotp': 1}}}}, "Did you mean 'stop'"),
    ({'a': {'x': {'learner': {'stop': {'epoch': 1}}}}}, "mean 'epochs'"),
    ({'a': {'x': {'prefilter': {'size': 1}}}}, 'prefilter, of which .* None'),
    ([{'a': {'x': {}}}, {'b': {'x': {}}}], "two cells named 'x'"),
    ([{'a': {'x': {}}}, {}], 'an empty mapping among others'),
  ],
)
def test_a_grid_that_means_nothing_is_refused(axes, message):
  with pytest.raises(ValueError, match=message):
    grid.cells({**BASE, 'grid': axes})


@pytest.fixture(scope='module')
def flags(tmp_path_factory):
  """The command line of a grid of two small cells."""
  path = tmp_path_factory.mktemp('config') / 'small_grid.py'
  path.write_text(CONFIG)
  return (f'--config={path}', '--quiet')


@pytest.fixture(scope='module')
def ran(flags, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('runs') / 'grid'
  assert run_test.call(*flags, f'--workdir={workdir}') == 0
  return workdir


def results(workdir):
  """What every cell gave, without what depends on the clock."""
  return {
    (name, file): [
      records.deterministic(row)
      for row in records.read_jsonl(workdir / name / file)
    ]
    for name in NAMES
    for file in ('records.jsonl', 'full_labels.jsonl')
  }


def test_every_cell_is_run_in_a_folder_of_its_own(ran):
  about = json.loads((ran / 'manifest.json').read_text())
  assert about['settings'] == NAMES
  assert about['finished']
  table = (ran / 'summary.txt').read_text()
  for name in NAMES:
    assert name in table
    rows = records.read_jsonl(ran / name / 'records.jsonl')
    asked = {'few': 5, 'more': 10}[name.split('-')[0]]
    assert [len(row.picks) for row in rows] == [asked, 0] * 2
    of_cell = json.loads((ran / name / 'manifest.json').read_text())
    assert list(of_cell['axes'].values()) == name.split('-')
    assert 'grid' not in of_cell['config']


def test_batches_are_described_where_something_was_asked(ran):
  for row in records.read_jsonl(ran / 'few-drop' / 'records.jsonl'):
    wanted = {'gradient_norm', 'log_det', 'near_duplicates'}
    assert set(row.batch) == (wanted if row.picks else set())


def test_the_line_of_all_labels_is_one_round_on_the_whole_pool(ran):
  (row,) = records.read_jsonl(ran / 'few-drop' / 'full_labels.jsonl')
  assert (row.system, row.round, row.labels) == (cells.ALL_LABELS, 0, 90)


def test_a_grid_that_is_over_is_left_alone(ran, flags, capsys):
  assert run_test.call(*flags, f'--workdir={ran}') == 0
  assert 'finished run' in capsys.readouterr().out


def test_changed_records_of_a_cell_of_a_finished_grid_are_refused(
  ran, flags, tmp_path, capsys
):
  place = tmp_path / 'grid'
  shutil.copytree(ran, place, ignore=shutil.ignore_patterns('checkpoints'))
  path = place / NAMES[1] / 'full_labels.jsonl'
  path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 0.1'))
  told = run_test.told_by(capsys, *flags, f'--workdir={place}')
  assert 'more-drop/full_labels.jsonl has changed' in told


def test_another_grid_in_its_place_is_refused(ran, flags, capsys):
  change = '--config.grid.batch.few.protocol.labels_per_round=6'
  arguments = (*flags, change, f'--workdir={ran}')
  told = run_test.told_by(capsys, *arguments)
  assert 'cell few-drop: protocol.labels_per_round: 5 -> 6' in told


def test_a_killed_grid_goes_on(ran, flags, tmp_path):
  workdir = tmp_path / 'grid'
  command = [sys.executable, '-m', 'experiments.run', *flags]
  process = subprocess.Popen(
    [*command, f'--workdir={workdir}'],
    env={
      **os.environ,
      'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir,
      'PYTHONPATH': str(run_test.ROOT),
      'PYTHONUNBUFFERED': '1',
    },
    cwd=run_test.ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  for line in process.stdout:
    if line.startswith('[2/2]'):
      process.send_signal(signal.SIGKILL)
  process.communicate()
  assert process.returncode == -signal.SIGKILL
  done = workdir / NAMES[0] / 'records.jsonl'
  before = done.stat().st_mtime_ns
  assert run_test.call(*flags, f'--workdir={workdir}') == 0
  assert done.stat().st_mtime_ns == before
  assert results(workdir) == results(ran)


def test_overwrite_clears_the_cells_of_before_and_those_to_come(tmp_path):
  names = ('old', 'new', 'other')
  with workdir.Workdir(tmp_path / 'grid') as place:
    for name in names:
      with workdir.Workdir(place.path / name) as own:
        (own.path / 'records.jsonl').touch()
    manifest.write(place.path / 'manifest.json', {'settings': ['old']})
    runs._overwrite_grid(place, [grid.Cell({'a': 'new'}, {})])
    left = [
      name for name in names if (place.path / name / 'records.jsonl').exists()
    ]
    assert left == ['other']
    assert not (place.path / 'manifest.json').exists()


@pytest.mark.parametrize('how', ['beside', 'absolute', 'below', 'a link'])
def test_overwrite_clears_no_folder_outside_of_the_grid(tmp_path, how):
  victim = tmp_path / 'victim'
  with workdir.Workdir(victim) as own:
    (own.path / 'records.jsonl').touch()
  trap = tmp_path / 'grid'
  name = {
    'beside': '../victim',
    'absolute': str(victim),
    'below': 'x/../../victim',
    'a link': 'old',
  }[how]
  with workdir.Workdir(trap) as place:
    (trap / 'old').symlink_to(victim)
    (trap / 'x').mkdir()
    manifest.write(trap / 'manifest.json', {'settings': [name]})
    with pytest.raises(
      workdir.WorkdirError, match=r'is a link|names no folder'
    ):
      runs._overwrite_grid(place, [])
  assert (victim / 'records.jsonl').exists()
  assert (trap / 'manifest.json').exists()


def test_no_cell_is_run_through_a_link(tmp_path, flags, capsys):
  victim, trap = tmp_path / 'victim', tmp_path / 'grid'
  workdir.Workdir(victim).close()
  workdir.Workdir(trap).close()
  (trap / NAMES[0]).symlink_to(victim)
  told = run_test.told_by(capsys, *flags, f'--workdir={trap}')
  assert 'few-drop is a link' in told
  assert not (victim / 'manifest.json').exists()


def test_a_finished_grid_gets_another_seed_and_keeps_what_it_has(
  ran, flags, tmp_path
):
  place = tmp_path / 'grid'
  shutil.copytree(ran, place)
  more = '--config.seeds=2'
  assert run_test.call(*flags, more, f'--workdir={place}') == 0
  before, after = results(ran), results(place)
  for which, rows in after.items():
    seeds = [row['seed'] for row in rows]
    assert seeds.count(1) == seeds.count(0) > 0
    assert [row for row in rows if row['seed'] == 0] == before[which]
  assert json.loads((place / 'manifest.json').read_text())['finished']

"""What may go on in a folder, and what is refused."""

import hashlib

import pytest

from al_jax import parts
from al_jax.runner import resuming
from al_jax.storage import manifest

GRID = {'batch': {'few': {'rounds': 1}, 'more': {'rounds': 2}}}
CONFIG = {'rounds': 3, 'seeds': 2, 'systems': ['badge', 'margin'], 'grid': None}
OF_GRID = {**CONFIG, 'grid': GRID}


def begun(folder, config, *, systems=('badge', 'margin')):
  manifest.write(
    folder / 'manifest.json',
    {
      'config': config,
      'systems': list(systems),
      'started': 'then',
      'finished': 'later',
    },
  )


def test_a_run_with_an_edited_part_is_refused(tmp_path):
  part = tmp_path / 'mine_resuming.py'
  part.write_text('def thing(): return 1\n')
  digest = hashlib.sha256(part.read_bytes()).hexdigest()
  begun(tmp_path, CONFIG)
  path = tmp_path / 'manifest.json'
  finished = {**manifest.read(path), 'modules': {'mine_resuming': digest}}
  unfinished = {**finished}
  del unfinished['finished']
  parts.search_in([tmp_path])
  try:
    for about in (finished, unfinished):
      manifest.write(path, about)
      assert resuming.what_is_in(tmp_path, CONFIG) == about
      edited = {**about, 'modules': {'mine_resuming': 'of before the edit'}}
      manifest.write(path, edited)
      with pytest.raises(ValueError, match=f'^{part}, .* was edited after'):
        resuming.what_is_in(tmp_path, CONFIG)
  finally:
    parts.search_in([])


def test_a_new_folder_holds_nothing(tmp_path):
  assert resuming.what_is_in(tmp_path, CONFIG) is None


def test_the_same_run_is_finished(tmp_path):
  for config in (CONFIG, OF_GRID):
    begun(tmp_path, config)
    found = resuming.what_is_in(tmp_path, config)
    assert found['finished'] == 'later'


@pytest.mark.parametrize(
  ('before', 'now', 'systems'),
  [
    (CONFIG, {**CONFIG, 'seeds': 3}, ['badge', 'margin']),
    (CONFIG, CONFIG, ['badge', 'random', 'margin']),
    (CONFIG, CONFIG, ['margin', 'badge']),
    (
      OF_GRID,
      {**CONFIG, 'grid': [GRID, {'batch': {'most': {'rounds': 9}}}]},
      ['badge', 'margin'],
    ),
    (
      OF_GRID,
      {**CONFIG, 'grid': {'batch': {**GRID['batch'], 'most': {}}}},
      ['badge', 'margin'],
    ),
  ],
)
def test_a_run_that_has_grown_goes_on(before, now, systems, tmp_path):
  begun(tmp_path, before)
  found = resuming.what_is_in(tmp_path, {**now, 'systems': systems})
  assert found['started'] == 'then'
  assert 'finished' not in found


@pytest.mark.parametrize(
  ('before', 'now', 'systems', 'message'),
  [
    (
      CONFIG,
      {**CONFIG, 'rounds': 4},
      ['badge', 'margin'],
      r'\n  rounds: 3 -> 4$',
    ),
    (
      CONFIG,
      {**CONFIG, 'seeds': 1},
      ['badge', 'margin'],
      r'\n  seeds: 2 -> 1$',
    ),
    (
      CONFIG,
      CONFIG,
      ['margin', 'random'],
      r"systems: \['badge', 'margin'\] -> \['margin', 'random'\]$",
    ),
    (
      CONFIG,
      OF_GRID,
      ['badge', 'margin'],
      'grid: None -> |grid.batch.few.rounds',
    ),
    (OF_GRID, CONFIG, ['badge', 'margin'], 'grid: '),
    (
      OF_GRID,
      {**OF_GRID, 'rounds': 4},
      ['badge', 'margin'],
      r'\n  rounds: 3 -> 4$',
    ),
    (
      OF_GRID,
      {**CONFIG, 'grid': {'batch': {'few': {'rounds': 7}, 'more': {}}}},
      ['badge', 'margin'],
      r'cell few: rounds: 1 -> 7\n  cell more: rounds: 2 -> 3$',
    ),
    (
      OF_GRID,
      {**CONFIG, 'grid': {'batch': {'few': {'rounds': 1}}}},
      ['badge', 'margin'],
      r'\n  cell more: is no longer there$',
    ),
  ],
)
def test_another_run_is_refused_with_the_difference(
  before, now, systems, message, tmp_path
):
  begun(tmp_path, before)
  with pytest.raises(ValueError, match=message) as raised:
    resuming.what_is_in(tmp_path, {**now, 'systems': systems})
  assert 'holds another run' in str(raised.value)


@pytest.mark.parametrize(
  'config',
  [None, [], {'rounds': 3}, {**CONFIG, 'seeds': 'two'}],
)
def test_a_damaged_manifest_is_one_line(config, tmp_path):
  begun(tmp_path, config)
  with pytest.raises(ValueError, match='is damaged') as raised:
    resuming.what_is_in(tmp_path, CONFIG)
  assert '\n' not in str(raised.value)


@pytest.mark.parametrize('ran', [['badge'], ['badge', 'margin']])
def test_a_run_of_the_time_of_two_binaries_goes_on_with_its_systems(
  ran, tmp_path
):
  # Both binaries wrote both fields; the list beside the config tells them
  # apart.
  begun(tmp_path, {**CONFIG, 'system': 'badge'}, systems=ran)
  found = resuming.what_is_in(tmp_path, {**CONFIG, 'systems': ran})
  assert found['finished'] == 'later'
  assert found['config'] == {**CONFIG, 'systems': ran}
  grown = resuming.what_is_in(tmp_path, {**CONFIG, 'systems': [*ran, 'random']})
  assert 'finished' not in grown
  with pytest.raises(ValueError, match='holds another run'):
    resuming.what_is_in(tmp_path, {**CONFIG, 'systems': ['random']})


TABLE = {'source': 'file:x.csv'}


@pytest.mark.parametrize(
  ('spec', 'before', 'now'),
  [
    ({'source': 'digits'}, {}, 'channel'),
    ({**TABLE, 'normalize': 'none'}, {}, 'none'),
    ({**TABLE, 'normalize': 'feature'}, {}, 'feature'),
    (TABLE, {'normalize': 'feature'}, 'feature'),
  ],
)
def test_data_that_mean_the_same_go_on(spec, before, now, tmp_path):
  about = {'config': {'data': spec}}
  then = {**about, 'data': {'fingerprint': 'abc', **before}}
  after = {**about, 'data': {'fingerprint': 'abc', 'normalize': now}}
  resuming.refuse_other_data(tmp_path, then, after)
  after['data']['fingerprint'] = 'xyz'
  with pytest.raises(ValueError, match="fingerprint: 'abc' -> 'xyz'"):
    resuming.refuse_other_data(tmp_path, then, after)


@pytest.mark.parametrize('spec', [TABLE, 'file:x.csv'])
def test_a_table_of_before_is_not_gone_on_with_normalised(spec, tmp_path):
  about = {'config': {'data': spec}}
  then = {**about, 'data': {'fingerprint': 'abc'}}
  after = {**about, 'data': {'fingerprint': 'abc', 'normalize': 'feature'}}
  message = "begun with normalize='none', .* now means 'feature'"
  with pytest.raises(ValueError, match=message):
    resuming.refuse_other_data(tmp_path, then, after)


def test_a_run_begun_when_manifests_had_a_number_of_classes_goes_on(tmp_path):
  about = {'config': {'data': 'digits'}}
  then = {**about, 'data': {'fingerprint': 'abc', 'num_classes': 2}}
  facts = {'fingerprint': 'abc', 'normalize': 'none', 'task': {'kind': 'box'}}
  resuming.refuse_other_data(tmp_path, then, {**about, 'data': facts})
  then['data'] = {'fingerprint': 'abc', 'task': {'kind': 'vector'}}
  with pytest.raises(ValueError, match=r"task\.kind: 'vector' -> 'box'"):
    resuming.refuse_other_data(tmp_path, then, {**about, 'data': facts})

import json
import os

import numpy as np
import pytest

from al_jax.reporting import data as report_data
from al_jax.runner import result_files
from al_jax.storage import manifest, records
from tests.factories import a_record, two_systems


def a_folder(path, rows=None, **about):
  """A workdir with records and a manifest."""
  path.mkdir(parents=True)
  if rows is not None:
    records.write_jsonl(path / 'records.jsonl', rows)
  (path / 'manifest.json').write_text(json.dumps(about))
  return path


def complete():
  return [
    a_record(system, seed, labels, 0.5)
    for system in ('random', 'margin')
    for seed in (0, 1)
    for labels in (10, 20)
  ]


def test_a_single_experiment(tmp_path):
  about = {
    'finished': 'today',
    'data': {
      'name': 'digits',
      'fingerprint': '',
      'train': 1,
      'test': 1,
      'num_classes': 2,
    },
    'systems': ['random', 'margin'],
    'config': {'seeds': 2, 'first_seed': 0},
  }
  folder = a_folder(tmp_path / 'run', complete(), **about)
  records.write_jsonl(folder / 'full_labels.jsonl', complete()[:1])
  (folder / 'gallery_margin.png').write_bytes(b'')
  (found,) = report_data.read_workdir(folder)
  assert found.title == 'digits'
  assert found.systems == ['random', 'margin']
  assert found.rows == complete()
  assert found.full_rows == complete()[:1]
  assert {name: path.name for name, path in found.galleries.items()} == {
    'margin': 'gallery_margin.png'
  }
  assert found.axes == {} and found.missing == []


def test_the_experiments_of_a_grid_are_in_the_order_of_their_axes(tmp_path):
  for batch in ('1000', '20', '100'):
    axes = {'data': 'letter', 'batch': batch}
    a_folder(tmp_path / f'b{batch}', complete(), finished='', axes=axes)
  (tmp_path / 'report').mkdir()
  (tmp_path / 'notes').mkdir()
  experiments = report_data.read_workdir(tmp_path)
  assert [experiment.title for experiment in experiments] == [
    'letter, batch 20',
    'letter, batch 100',
    'letter, batch 1000',
  ]
  assert report_data.axis_names(experiments) == ['batch']


def test_a_run_that_was_killed_says_what_it_lacks(tmp_path):
  about = {
    'systems': ['random', 'margin', 'badge'],
    'config': {'seeds': 1, 'first_seed': 1},
  }
  rows = [row for row in two_systems() if row.seed == 1]
  folder = a_folder(tmp_path / 'run', rows, **about)
  (found,) = report_data.read_workdir(folder)
  assert found.missing == [
    'The run has not finished.',
    'No records of: badge (seed 1).',
    'Fewer than 30 labels: random (seed 1: 20).',
  ]


def test_an_experiment_that_has_not_begun_is_no_error(tmp_path):
  a_folder(tmp_path / 'a', complete(), finished='today')
  a_folder(tmp_path / 'b')
  records.write_jsonl(tmp_path / 'b' / 'records.jsonl', [])
  _, empty = report_data.read_workdir(tmp_path)
  assert empty.rows == []
  assert empty.missing[-1] == 'There are no records yet.'


def test_records_without_a_manifest_are_read(tmp_path):
  folder = a_folder(tmp_path / 'run', complete())
  (folder / 'manifest.json').unlink()
  (found,) = report_data.read_workdir(folder)
  assert found.title == 'run'
  assert found.missing == ['There is no manifest.json.']


def test_a_result_that_is_gone_is_said(tmp_path):
  folder = a_folder(tmp_path / 'run', complete())
  path = folder / 'full_labels.jsonl'
  records.write_jsonl(path, complete()[:1])
  manifest.write(folder / 'manifest.json', manifest.finished(folder, {}))
  path.unlink()
  (found,) = report_data.read_workdir(folder)
  assert found.missing == ['full_labels.jsonl is gone.']


def test_systems_that_stopped_early_are_complete(tmp_path):
  folder = a_folder(tmp_path / 'run', two_systems(), finished='today')
  (found,) = report_data.read_workdir(folder)
  assert found.missing == []


def test_a_metric_that_only_some_records_have(tmp_path):
  rows = [*complete(), a_record('bald', test={'accuracy': 0, 'mc_loss': 1})]
  (found,) = report_data.read_workdir(a_folder(tmp_path / 'run', rows))
  assert found.having('test.mc_loss') == rows[-1:]
  assert found.having('test.accuracy') == rows
  assert list(found.compared().runs) == ['random', 'margin', 'bald']


def test_names_of_files_are_plain(tmp_path):
  folder = a_folder(tmp_path / 'a b:c,d', complete())
  (found,) = report_data.read_workdir(folder)
  assert found.slug == 'a_b_c_d'


def test_diagnostics_are_curves(tmp_path):
  folder = a_folder(tmp_path / 'run', complete())
  diagnostic = {
    'x_label': 'samples',
    'y_label': 'rank correlation',
    'x': [1, 10],
    'series': {
      'bald': {'mean': [0.5, 'NaN'], 'standard_error': [0.1, None]},
      'other': {'mean': [0.5, 1]},
    },
  }
  (folder / 'diagnostics.json').write_text(json.dumps({'name': diagnostic}))
  (found,) = report_data.read_workdir(folder)
  found = found.diagnostics['name']
  assert (found.x_label, found.y_label) == ('samples', 'rank correlation')
  assert found.note == ''
  np.testing.assert_array_equal(found.curves['bald'].mean, [0.5, np.nan])
  assert np.isnan(found.curves['other'].standard_error).all()


def test_diagnostics_are_points(tmp_path):
  folder = a_folder(tmp_path / 'run', complete())
  points = {'mine': {'x': [-1, 2, 0], 'y': [3, 0.5, 1]}}
  diagnostic = {'x_label': 'a', 'y_label': 'b', 'points': points}
  diagnostic['logarithmic_y'] = True
  result_files.write_diagnostics(folder, MEASURED, {'name': diagnostic})
  (found,) = report_data.read_workdir(folder)
  found = found.diagnostics['name']
  assert (found.logarithmic_x, found.logarithmic_y) == (False, True)
  assert found.curves == {} and list(found.points) == ['mine']
  np.testing.assert_array_equal(found.points['mine'], [[-1, 2, 0], [3, 0.5, 1]])


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{', 'JSONDecodeError'),
    ('[1]', 'AttributeError'),
    ('{"a": {}}', "KeyError: 'x'"),
    ('{"a": {"x": [1], "series": {}}}', 'there is no series'),
    ('{"a": {"x": [1], "series": {"b": {"mean": [1, 2]}}}}', '2 means'),
    ('{"a": {"points": {}}}', 'there are no points'),
    ('{"a": {"points": {"b": {"x": [1]}}}}', "KeyError: 'y'"),
    ('{"a": {"points": {"b": {"x": [1], "y": []}}}}', '1 x and 0 y'),
    ('{"a": {"points": {"b": {"x": [], "y": []}}}}', '0 x and 0 y'),
    ('{"a": {"points": {"b": {"x": [1], "y": ["NaN"]}}}}', 'is not finite'),
    (
      '{"a": {"x_label": "", "y_label": "", "logarithmic_y": true, '
      '"points": {"b": {"x": [0, 0], "y": [1, 0]}}}}',
      'a point at 0 or below',
    ),
  ],
)
def test_diagnostics_that_cannot_be_read_name_the_file(tmp_path, text, message):
  folder = a_folder(tmp_path / 'run', complete())
  (folder / 'diagnostics.json').write_text(text)
  with pytest.raises(ValueError, match=rf'diagnostics\.json .*{message}'):
    report_data.read_workdir(folder)


MEASURED = {
  'date': 'today',
  'command': 'python x',
  'device': 'cpu',
  'cores': 2,
  'load': 0.1,
}


def test_a_note_says_when_a_diagnostic_was_measured(tmp_path):
  folder = a_folder(tmp_path / 'run', complete())
  diagnostic = {
    'x_label': 'x',
    'y_label': 'y',
    'x': [1],
    'series': {'bald': {'mean': [1]}},
    'note': 'Of 10 points.',
    'measured': MEASURED,
  }
  (folder / 'diagnostics.json').write_text(json.dumps({'name': diagnostic}))
  (found,) = report_data.read_workdir(folder)
  note = found.diagnostics['name'].note
  assert note.startswith('Of 10 points. Measured today on cpu')
  assert 'busy' not in note
  diagnostic['measured'] = {**MEASURED, 'load': 1.1}
  for of, is_told in (('y', False), ('seconds to select', True)):
    diagnostic['y_label'] = of
    (folder / 'diagnostics.json').write_text(json.dumps({'name': diagnostic}))
    (found,) = report_data.read_workdir(folder)
    note = found.diagnostics['name'].note
    assert ('The machine was busy' in note) == is_told


def test_what_cannot_be_reported_is_said(tmp_path):
  with pytest.raises(ValueError, match='is no folder'):
    report_data.read_workdir(tmp_path / 'nothing')
  with pytest.raises(ValueError, match='holds no records'):
    report_data.read_workdir(tmp_path)
  folder = a_folder(tmp_path / 'run', [])
  with pytest.raises(ValueError, match='holds no records'):
    report_data.read_workdir(folder)
  line = complete()[0].to_json()
  (folder / 'records.jsonl').write_text(f'{line}\n{line[:30]}\n')
  with pytest.raises(
    ValueError, match=r'records\.jsonl, line 2 is not a record'
  ):
    report_data.read_workdir(folder)


@pytest.mark.parametrize(
  'name', ['gallery_x.png', 'records.jsonl', 'manifest.json', 'report']
)
def test_nothing_is_read_or_written_through_a_link(tmp_path, name):
  folder = a_folder(tmp_path / 'run', complete())
  (folder / name).unlink(missing_ok=True)
  (folder / name).symlink_to(a_folder(tmp_path / 'other', complete()))
  with pytest.raises(OSError, match=f'{name} is a link'):
    report_data.read_workdir(folder)


@pytest.mark.parametrize('name', ['records.jsonl', 'manifest.json'])
def test_nothing_is_read_from_a_pipe(tmp_path, name):
  folder = a_folder(tmp_path / 'run', complete())
  (folder / name).unlink()
  os.mkfifo(folder / name)
  with pytest.raises(OSError, match='neither a file nor a folder'):
    report_data.read_workdir(folder)


def test_a_grid_has_no_experiment_that_is_a_link(tmp_path):
  other = a_folder(tmp_path / 'other', complete())
  a_folder(tmp_path / 'grid' / 'a', complete())
  (tmp_path / 'grid' / 'b').symlink_to(other)
  with pytest.raises(OSError, match='b is a link'):
    report_data.read_workdir(tmp_path / 'grid')


def test_floors_of_an_earlier_version_are_ignored(tmp_path):
  folder = a_folder(tmp_path / 'run', complete())
  (folder / 'floors.json').write_text('{')
  (found,) = report_data.read_workdir(folder)
  assert found.rows == complete()

import dataclasses
import math
import shlex
import subprocess
import sys

import jax
import numpy as np
import pytest
from sklearn import datasets

import al_jax
from al_jax import tasks
from al_jax.data import dataset as dataset_lib
from al_jax.storage import manifest, records


def digits():
  inputs, targets = datasets.load_digits(return_X_y=True)

  def split(rows):
    return dataset_lib.Split(
      inputs[rows].astype(np.float32),
      targets[rows].astype(np.int32),
      np.arange(len(targets))[rows],
    )

  return dataset_lib.Dataset(
    name='digits',
    train=split(slice(1000)),
    test=split(slice(1000, None)),
    validation=None,
    task=tasks.numbered(10),
    mean=np.float32(0),
    std=np.float32(16),
    fingerprint='abc',
    is_image=False,
    normalize='none',
  )


def git(folder, *arguments):
  subprocess.run(
    [
      'git',
      '-c',
      'user.name=n',
      '-c',
      'user.email=e',
      '-c',
      'commit.gpgsign=false',
      *arguments,
    ],
    cwd=folder,
    check=True,
    capture_output=True,
  )


def test_a_manifest_says_what_the_run_is_and_round_trips(tmp_path):
  built = manifest.build({'model': {'width': 256}, 'seeds': (0, 1)}, digits())
  assert built['config'] == {'model': {'width': 256}, 'seeds': [0, 1]}
  assert built['data'] == {
    'name': 'digits',
    'fingerprint': 'abc',
    'train': 1000,
    'validation': 0,
    'test': 797,
    'task': {'kind': 'classes', 'names': [str(n) for n in range(10)]},
    'normalize': 'none',
    'majority': built['data']['majority'],
  }
  shares = built['data']['majority']
  assert 0.1 <= shares['train'] <= shares['test'] < 0.12
  assert built['records_format'] == records.FORMAT
  assert built['versions']['jax'] == jax.__version__
  assert all(built['versions'].values())
  assert built['device']['count'] == jax.device_count()
  assert built['started'].endswith('+00:00')
  assert built['command'] == shlex.join(sys.orig_argv)
  path = tmp_path / 'manifest.json'
  manifest.write(path, built)
  assert manifest.read(path) == built
  assert list(tmp_path.iterdir()) == [path]


def test_a_task_without_classes_has_no_most_frequent_one(tmp_path):
  classes = digits()
  targets = classes.train.targets[:, None].astype(np.float32)
  dataset = dataclasses.replace(
    classes,
    task=tasks.Vector(1, scale=9.0),
    train=dataclasses.replace(classes.train, targets=targets),
    test=None,
  )
  path = tmp_path / 'manifest.json'
  manifest.write(path, manifest.build({}, dataset))
  about = manifest.read(path)
  assert about['data']['test'] == 0 and about['data']['majority'] == {}
  assert manifest.task_of(about) == dataset.task


def test_manifests_of_earlier_versions_are_of_classes(tmp_path):
  assert manifest.task_of(WHOLE) == tasks.numbered(2)
  assert manifest.task_of({}).headline == tasks.Classes.headline
  path = tmp_path / 'manifest.json'
  manifest.write(path, WHOLE)
  assert manifest.read(path) == WHOLE


@pytest.mark.parametrize(
  'task', [{}, {'kind': 'vectors'}, {'kind': 'vector', 'sise': 1}, 'vector']
)
def test_a_task_that_cannot_be_read_is_damage(tmp_path, task):
  path = tmp_path / 'manifest.json'
  manifest.write(path, {'data': {**WHOLE['data'], 'task': task}})
  with pytest.raises(ValueError, match=r'is damaged: data\.task is'):
    manifest.read(path)


def test_what_json_cannot_hold_is_named():
  with pytest.raises(ValueError, match=r'config\.a\[1\]\.b is'):
    manifest.plain_config({'a': [0, {'b': object()}]})


def test_numpy_values_become_plain_and_floats_stay_floats():
  plain = manifest.plain_config(
    {'rate': np.float32(0.5), 'cap': math.inf, 3: None, 'on': True}
  )
  assert plain == {'rate': 0.5, 'cap': math.inf, '3': None, 'on': True}


def test_the_difference_names_each_field():
  old = {'seed': 0, 'model': {'width': 1, 'depth': 2}, 'note': 'a', 'x': {}}
  new = {'seed': 0, 'model': {'width': 3, 'depth': 2}, 'rate': 0.1, 'x': {}}
  assert manifest.config_difference(old, new) == [
    'model.width: 1 -> 3',
    "note: 'a' -> (absent)",
    'rate: (absent) -> 0.1',
  ]


def test_a_mapping_in_place_of_a_value_is_a_difference():
  assert manifest.config_difference({'a': None}, {'a': {'b': 1}}) == [
    'a: None -> (absent)',
    'a.b: (absent) -> 1',
  ]
  assert manifest.config_difference({'a': {}}, {'a': 1}) == ['a: {} -> 1']
  assert manifest.config_difference({'a': {}}, {}) == ['a: {} -> (absent)']


def test_an_empty_mapping_is_not_named_beside_its_subfields():
  filled = {'a': {'b': {'c': 1}}, 'ab': {}}
  empty = {'a': {}, 'ab': {}}
  assert manifest.config_difference(empty, filled) == ['a.b.c: (absent) -> 1']
  assert manifest.config_difference(filled, empty) == ['a.b.c: 1 -> (absent)']


def test_a_config_equals_itself_after_reading(tmp_path):
  config = {'cap': math.inf, 'nan': math.nan, 'sizes': (1, 2), 'empty': {}}
  built = manifest.build(config, digits())
  manifest.write(tmp_path / 'manifest.json', built)
  old = manifest.read(tmp_path / 'manifest.json')
  new = manifest.build(config, digits())
  assert manifest.config_difference(old['config'], new['config']) == []


@pytest.mark.parametrize('content', ['{"config": ', '[]', ''])
def test_a_file_that_is_no_manifest_is_named(tmp_path, content):
  path = tmp_path / 'manifest.json'
  path.write_text(content)
  with pytest.raises(ValueError, match=r'manifest\.json is not a manifest'):
    manifest.read(path)


WHOLE = {
  'config': {'rate': 0.5},
  'data': {
    'name': 'digits',
    'fingerprint': 'abc',
    'train': 9,
    'validation': 0,
    'test': 9,
    'num_classes': 2,
  },
  'versions': {'jax': '1'},
  'device': {'platform': 'cpu', 'kind': 'cpu', 'count': 1},
  'platform': 'Linux',
  'git': {'commit': 'abc', 'dirty': False},
  'command': 'c',
  'started': 'then',
  'systems': ['a'],
  'axes': {'batch': '10'},
}


def finished(folder):
  (folder / 'records.jsonl').write_text('{"accuracy": 0.8357}\n')
  (folder / 'full_labels.jsonl').write_text('{}\n')
  path = folder / 'manifest.json'
  manifest.write(path, manifest.finished(folder, WHOLE))
  return path


def test_a_finished_run_is_whole(tmp_path):
  about = manifest.read(finished(tmp_path))
  assert about['finished']
  assert manifest.missing_files(tmp_path, about) == []
  (tmp_path / 'full_labels.jsonl').unlink()
  assert manifest.missing_files(tmp_path, about) == ['full_labels.jsonl']


@pytest.mark.parametrize('name', ['records.jsonl', 'full_labels.jsonl'])
def test_a_changed_file_of_a_finished_run_is_named(tmp_path, name):
  about = manifest.read(finished(tmp_path))
  path = tmp_path / name
  path.write_text(path.read_text().replace('8', '1') + ' ')
  with pytest.raises(ValueError, match=f'{name} has changed since .*delete it'):
    manifest.missing_files(tmp_path, about)


@pytest.mark.parametrize(
  ('before', 'after'),
  [('0.5', '0.6'), ('"finished"', '"fimished"'), ('"records', '"recirds')],
)
def test_a_changed_manifest_of_a_finished_run_is_noticed(
  tmp_path, before, after
):
  path = finished(tmp_path)
  text = path.read_text()
  assert before in text
  path.write_text(text.replace(before, after))
  with pytest.raises(ValueError, match=r'manifest\.json is damaged.*checksum'):
    manifest.read(path)


def test_a_finished_run_of_an_earlier_version_has_no_checksums(tmp_path):
  path = tmp_path / 'manifest.json'
  manifest.write(path, {**WHOLE, 'finished': 'then'})
  assert manifest.missing_files(tmp_path, manifest.read(path)) == []


@pytest.mark.parametrize(
  ('field', 'wrong'),
  [
    *(('config', 3), ('config', None), ('axes', []), ('digests', 'x')),
    *(('data', 'x'), ('device', [0]), ('git', True), ('versions', [0])),
    *(('command', 3), ('started', None), ('finished', {}), ('platform', 1)),
    *(('systems', 'a'), ('systems', [0]), ('settings', {'a': 1})),
  ],
)
def test_a_field_of_another_type_is_named(tmp_path, field, wrong):
  path = tmp_path / 'manifest.json'
  manifest.write(path, {**WHOLE, field: wrong})
  with pytest.raises(ValueError, match=f'is damaged: {field} is ') as raised:
    manifest.read(path)
  assert '\n' not in str(raised.value)


@pytest.mark.parametrize('wrong', [True, '9', None])
def test_a_field_of_a_field_has_a_type_too(tmp_path, wrong):
  path = tmp_path / 'manifest.json'
  manifest.write(path, {**WHOLE, 'data': {**WHOLE['data'], 'train': wrong}})
  with pytest.raises(ValueError, match=f'is damaged: data.train is {wrong!r}'):
    manifest.read(path)


def test_metrics_of_learners_own_are_read_as_they_were_written(tmp_path):
  path = tmp_path / 'manifest.json'
  declared = (
    tasks.Metric('gap', '%', False),
    tasks.Metric('order', '', True, 'how well it sorts', 0.5),
  )
  of_each = {metric.name: manifest.declared(metric) for metric in declared}
  assert of_each['gap'] == {'unit': '%', 'larger_is_better': False}
  manifest.write(path, {'report_metrics': of_each})
  assert manifest.report_metrics_of(manifest.read(path)) == declared
  assert manifest.report_metrics_of(WHOLE) == ()
  for wrong in (
    {'unit': '%'},
    {'unit': 3, 'larger_is_better': True},
    {**of_each['order'], 'chance': '50%'},
    '%',
  ):
    manifest.write(path, {'report_metrics': {'gap': wrong}})
    with pytest.raises(ValueError, match=r'damaged: report_metrics\.gap'):
      manifest.read(path)


@pytest.mark.parametrize(
  'field', ['data.train', 'data.name', 'device.kind', 'git.dirty']
)
def test_a_field_that_is_missing_is_named(tmp_path, field):
  outer, inner = field.split('.')
  about = {**WHOLE, outer: dict(WHOLE[outer])}
  about[outer][inner.upper()] = about[outer].pop(inner)
  manifest.write(tmp_path / 'manifest.json', about)
  with pytest.raises(ValueError, match=f'is damaged: {outer} .*{inner}'):
    manifest.read(tmp_path / 'manifest.json')


def test_records_of_a_later_version_are_refused(tmp_path):
  path = tmp_path / 'manifest.json'
  for known in ({}, {'records_format': records.FORMAT}):
    manifest.write(path, known)
    assert manifest.read(path) == known
  manifest.write(path, {'records_format': 1000})
  with pytest.raises(ValueError, match=r'records_format 1000; .* up to 2'):
    manifest.read(path)


def test_git_state_follows_the_checkout(tmp_path):
  source = tmp_path / 'source.py'
  source.write_text('x = 1\n')
  git(tmp_path, 'init')
  assert manifest.git_state(source) is None  # not tracked yet
  git(tmp_path, 'add', '.')
  git(tmp_path, 'commit', '-m', 'first')
  clean = manifest.git_state(source)
  assert len(clean['commit']) == 40
  assert not clean['dirty']
  source.write_text('x = 2\n')
  assert manifest.git_state(source) == {**clean, 'dirty': True}


def test_no_git_and_no_checkout_are_no_failure(tmp_path, monkeypatch):
  source = tmp_path / 'source.py'
  source.write_text('')
  assert manifest.git_state(source) is None
  monkeypatch.setenv('PATH', '')
  assert manifest.git_state(al_jax.__file__) is None


def test_the_command_that_goes_on_does_not_overwrite(monkeypatch):
  words = ['python', '-m', 'x', '--overwrite', '--workdir=runs/a b']
  monkeypatch.setattr(sys, 'orig_argv', words)
  assert manifest.command() == "python -m x --overwrite '--workdir=runs/a b'"
  assert manifest.command(without='overwrite') == (
    "python -m x '--workdir=runs/a b'"
  )
  monkeypatch.setattr(sys, 'orig_argv', ['x', '--overwrite=true'])
  assert manifest.command(without='overwrite') == 'x'


def test_the_installed_command_is_printed_as_it_is_typed(monkeypatch, tmp_path):
  script = tmp_path / 'al-jax'
  script.write_text('#!/usr/bin/env python\n')
  script.chmod(0o755)
  words = ['/x/python', str(script), 'run', '--workdir=a']
  monkeypatch.setattr(sys, 'orig_argv', words)
  monkeypatch.setenv('PATH', str(tmp_path))
  assert manifest.command() == 'al-jax run --workdir=a'
  # Not on the path: what is printed must work.
  monkeypatch.setenv('PATH', '')
  assert manifest.command() == f'{script} run --workdir=a'

"""The tables of a run, by the headline of its task."""

import types

import numpy as np

from al_jax import tasks
from al_jax.analysis import tables
from al_jax.runner import outputs
from al_jax.storage import manifest, records
from tests.factories import a_record


def a_cell(folder, task, rows):
  folder.mkdir()
  facts = {'name': '', 'fingerprint': '', 'train': 1, 'test': 1}
  about = {'data': {**facts, 'task': tasks.to_json(task)}}
  manifest.write(folder / 'manifest.json', about)
  records.write_jsonl(folder / 'records.jsonl', rows)
  return folder


def test_cells_with_different_headlines_share_no_table(tmp_path):
  table = outputs.GridTable(['random', 'margin'])
  vector = tasks.Vector(1)
  for name, task, test in (
    ('a', tasks.numbered(3), {'accuracy': 0.5}),
    ('b', vector, {'rmse': 12.0}),
    ('c', vector, {'rmse': 3.0}),
    ('d', vector, {}),
  ):
    rows = [a_record('random', test=test)]
    table.add(name, a_cell(tmp_path / name, task, rows))
  assert [' '.join(line.split()) for line in str(table).splitlines()] == [
    'last test accuracy %, mean ± standard error over seeds',
    'cell random margin',
    'a 50.00',
    '',
    'last test RMSE, mean ± standard error over seeds',
    'cell random margin',
    'b 12.0000',
    'c 3.0000',
    '',
    tables.NOTHING,
    'cell random margin',
    'd',
  ]


def test_the_summary_goes_by_what_was_measured():
  headline = tasks.Vector.headline
  rows = [a_record(test={'rmse': 2.0})]
  assert outputs.summary(rows, headline).startswith('test RMSE, mean')
  rows = [a_record(test={}, validation={'rmse': 2.0})]
  assert outputs.summary(rows, headline).startswith('validation RMSE, mean')
  rows = [a_record(test={})]
  assert outputs.summary(rows, headline, ['a']) == f'{tables.NOTHING}\n\na'


def test_captions_of_a_gallery_spell_any_target(tmp_path):
  task = tasks.Mixed({'digit': tasks.numbered(10), 'at': tasks.Vector(2)})
  targets = {
    'digit': np.array([3, 1], np.int32),
    'at': np.array([[1, 2], [3, 4]], np.float32),
  }
  dataset = types.SimpleNamespace(
    name='digits',
    task=task,
    is_image=True,
    train=types.SimpleNamespace(
      inputs=np.zeros((2, 4, 4, 1), np.uint8), targets=targets
    ),
  )
  rows = [a_record('random', test={}, picks=[1, 0], pick_ids=[1, 0])]
  written = outputs.write_pictures(tmp_path, rows, dataset, axes={})
  assert [path.name for path in written] == ['gallery_random.png']

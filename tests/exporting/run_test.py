"""Models of finished runs, exported and loaded back."""

import json
import shutil
import sys

import jax
import numpy as np
import pytest

import al_jax
from al_jax import errors, learners, systems
from al_jax.exporting import form, written
from al_jax.exporting import run as run_lib
from al_jax.loop import evaluation, program
from al_jax.storage import workdir
from tests.exporting.runs import drawn, finished, of_learner, states_of, unrun
from tests.factories import TINY_IMAGES, TINY_MAKERS, TINY_TARGETS, a_task

SMALL = {
  'source': 'digits',
  'transforms': [{'name': 'cap', 'train': 90, 'test': 50}],
}
MLP = {'name': 'mlp', 'widths': [8]}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A finished run of two systems; margin has a second seed."""
  folder = tmp_path_factory.mktemp('runs') / 'run'
  return finished(folder, SMALL, ['random', 'margin'], MLP, seeds=2)


@pytest.fixture(scope='module')
def exported(run):
  made = al_jax.export(run, run.parent / 'model', system='margin', seed=1)
  return made.folder


@pytest.fixture
def copied(exported, tmp_path):
  return shutil.copytree(exported, tmp_path / 'copy')


def evaluated(learner, state, experiment, folder):
  """The metrics of the run's own evaluation, and of the exported model."""
  dataset, task = experiment.dataset, experiment.facts.task
  source = program.sources_of(dataset)['test']
  evaluate = evaluation.make_evaluate(learner, source, task, chunk_size=1000)
  found, _ = evaluate(jax.random.key(0), state)
  predictions = al_jax.load_model(folder).predict(dataset.test.inputs)
  measured = task.measure(predictions, dataset.test.targets)
  again, _ = jax.jit(task.summarise)(measured, dataset.test.targets)
  return found, again


def test_a_model_loaded_back_predicts_what_the_checkpoint_does(run, exported):
  learner, state, experiment = states_of(run, 'margin', 1)
  inputs = experiment.dataset.test.inputs
  expected = of_learner(learner, state, inputs)
  loaded = al_jax.load_model(exported)
  np.testing.assert_array_equal(loaded.predict(inputs), expected)
  output = loaded(inputs)
  np.testing.assert_allclose(output.predictions, expected, rtol=1e-5)
  assert output.embedding.shape == (50, 8)
  said = loaded.config['run']
  assert (said['system'], said['seed'], said['round']) == ('margin', 1, 1)
  found, again = evaluated(learner, state, experiment, exported)
  assert said['test']['accuracy'] == float(found['accuracy'])
  assert float(again['accuracy']) == float(found['accuracy'])
  other = al_jax.export(run, run.parent / 'other', system='random', seed=1)
  assert (other.round, other.labels, other.compared) == (1, 20, 50)
  others = al_jax.load_model(other.folder).predict(inputs)
  assert not np.array_equal(others, expected)


def test_the_folder_has_flat_names_and_says_what_it_is(exported):
  safetensors = pytest.importorskip('safetensors.numpy')
  assert sorted(path.name for path in exported.iterdir()) == [
    'config.json',
    'weights.safetensors',
  ]
  found = safetensors.load_file(exported / 'weights.safetensors')
  assert {name: (str(a.dtype), a.shape) for name, a in found.items()} == {
    'params/head/bias': ('float32', (10,)),
    'params/head/kernel': ('float32', (8, 10)),
    'params/hidden_1/bias': ('float32', (8,)),
    'params/hidden_1/kernel': ('float32', (64, 8)),
  }
  config = json.loads((exported / 'config.json').read_text())
  dataset = al_jax.load(SMALL)
  assert config['task']['names'] == list(dataset.task.names)
  assert config['inputs'] == {
    'shape': [8, 8, 1],
    'dtype': 'uint8',
    'mean': dataset.mean.tolist(),
    'std': dataset.std.tolist(),
  }
  assert config['al_jax'] == al_jax.__version__
  assert config['run']['data']['fingerprint'] == dataset.fingerprint


@pytest.mark.parametrize(
  ('arguments', 'sentence'),
  [
    ({}, r'system is not given, and .*run has 2: .* one of random, margin'),
    ({'system': 'margn', 'seed': 0}, "system is 'margn'; .*random, margin"),
    ({'system': 'margin'}, r'seed is not given, .* has 2: .* one of 0, 1'),
    ({'system': 'margin', 'seed': 7}, r'seed is 7; .* has 0, 1'),
  ],
)
def test_what_a_run_does_not_have_is_refused(
  run, tmp_path, arguments, sentence
):
  with pytest.raises(ValueError, match=sentence):
    al_jax.export(run, tmp_path / 'model', **arguments)
  assert not (tmp_path / 'model').exists()


def test_a_folder_that_holds_something_is_refused(run, exported, tmp_path):
  with pytest.raises(ValueError, match='model is not empty; name a folder'):
    al_jax.export(run, exported, system='margin', seed=0)
  with pytest.raises(ValueError, match=r'holds no run: there is no manifest'):
    al_jax.export(tmp_path, tmp_path / 'model')


def test_of_a_grid_a_cell_is_named(tmp_path):
  about = {'config': {}, 'systems': ['random'], 'settings': ['a-b', 'a-c']}
  (tmp_path / 'manifest.json').write_text(json.dumps(about))
  with pytest.raises(ValueError, match=r'a grid of 2 .* folder of one: .*/a-b'):
    al_jax.export(tmp_path, tmp_path / 'model')


def test_seeds_that_advance_together_share_a_checkpoint(tmp_path):
  for name in ('seed_3', 'seed_0_1_2', 'seed_x', 'other'):
    (tmp_path / name).mkdir()
  jobs = run_lib._jobs(tmp_path, 'margin')
  assert [job.seeds for job in jobs] == [(0, 1, 2), (3,)]


def test_a_run_that_is_not_finished_is_refused(run, tmp_path):
  other = shutil.copytree(run, tmp_path / 'run')
  path = other / 'checkpoints' / 'margin' / 'seed_0'
  newest = max(int(each.name) for each in path.iterdir())
  shutil.rmtree(path / str(newest))
  with pytest.raises(ValueError, match='not finished: 1 of 2 rounds are'):
    al_jax.export(other, tmp_path / 'model', system='margin', seed=0)
  shutil.rmtree(path)
  with pytest.raises(ValueError, match='has no checkpoint of margin, seed 0'):
    al_jax.export(other, tmp_path / 'model', system='margin', seed=0)
  path.symlink_to(run / 'checkpoints' / 'margin' / 'seed_0')
  with pytest.raises(workdir.WorkdirError, match='is a link'):
    al_jax.export(other, tmp_path / 'model', system='margin', seed=0)


def test_other_data_are_refused(run, tmp_path):
  other = shutil.copytree(run, tmp_path / 'run')
  path = other / 'manifest.json'
  about = json.loads(path.read_text())
  about['data']['fingerprint'] = '0'
  del about['digests']
  path.write_text(json.dumps(about))
  with pytest.raises(ValueError, match='digits, have changed since it began'):
    al_jax.export(other, tmp_path / 'model', system='margin', seed=0)


@pytest.mark.parametrize(
  ('inputs', 'sentence'),
  [
    (np.zeros((3, 8, 8), np.uint8), r'have shape \[3, 8, 8\]; .* \[N, 8, 8, 1'),
    (np.zeros((3, 8, 8, 1)), 'have dtype float64; the model takes uint8'),
    ({'a': np.zeros(3)}, 'are the modalities a; the model takes one array'),
  ],
)
def test_other_inputs_are_refused(exported, inputs, sentence):
  loaded = al_jax.load_model(exported)
  for call in (loaded, loaded.predict):
    with pytest.raises(ValueError, match=f'inputs {sentence}'):
      call(inputs)


def test_no_example_is_refused_and_a_chunk_is_a_number(exported):
  loaded = al_jax.load_model(exported)
  with pytest.raises(ValueError, match='there must be an example'):
    loaded.predict(np.zeros((0, 8, 8, 1), np.uint8))
  with pytest.raises(ValueError, match='chunk_size is 0; it must be a whole'):
    loaded.predict(np.zeros((3, 8, 8, 1), np.uint8), chunk_size=0)


def test_missing_and_altered_files_are_refused(copied):
  weights = copied / 'weights.safetensors'
  content = bytearray(weights.read_bytes())
  content[-1] ^= 1
  weights.write_bytes(content)
  with pytest.raises(ValueError, match='has changed since it was exported'):
    al_jax.load_model(copied)
  weights.unlink()
  with pytest.raises(ValueError, match=r'there is no weights\.safetensors'):
    al_jax.load_model(copied)
  weights.symlink_to('elsewhere')
  with pytest.raises(workdir.WorkdirError, match='is a link'):
    al_jax.load_model(copied)


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'format': 2, 'al_jax': '9'}, 'has format 2, of al_jax 9; this version'),
    ({'format': None}, "not a config of an exported model: it has no 'format'"),
    ({'task': 3}, 'is damaged: task is 3'),
    ({'inputs': {'shape': [8]}}, "is damaged: KeyError: 'dtype'"),
    (
      {'model': {'name': 'mlp', 'widths': [9]}},
      r'does not hold the weights .* of 4 tensors 3 of another shape or dtype '
      r'\(params/head/kernel float32\[8, 10\] for float32\[9, 10\]',
    ),
    (
      {'model': {'name': 'mlp', 'widths': []}},
      '2 unknown .*; 1 of another shape',
    ),
    ({'model': {'name': 'my_nets.net'}}, "no module 'my_nets' in"),
  ],
)
def test_an_altered_config_is_refused(copied, changes, sentence):
  # As if it had been written so, by another version.
  config = json.loads((copied / 'config.json').read_text())
  del config['digest']
  form.write(copied, {**config, **changes})
  with pytest.raises(ValueError, match=sentence):
    al_jax.load_model(copied)


def test_an_edited_config_is_refused(copied):
  path = copied / 'config.json'
  path.write_text(path.read_text().replace('"round": ', '"round": 1'))
  with pytest.raises(ValueError, match='has changed since it was exported'):
    al_jax.load_model(copied)
  path.write_text('[' * 100_000)
  with pytest.raises(ValueError, match='is not JSON'):
    al_jax.load_model(copied)


def test_numbers_of_any_type_are_taken(tmp_path):
  _, facts = a_task()
  example = jax.ShapeDtypeStruct((4,), np.dtype('float32'))
  facts = facts._replace(example=example, mean=np.zeros(4), std=np.ones(4))
  model = {'name': 'mlp', 'widths': [4]}
  learner = systems.build('margin', facts, model=model).learner
  inputs = np.arange(12).reshape(3, 4)
  written.write(
    tmp_path / 'model',
    unrun(learner, drawn(learner), facts, model, inputs.astype(np.float32)),
  )
  loaded = al_jax.load_model(tmp_path / 'model')
  expected = loaded.predict(inputs.astype(np.float32))
  for given in (inputs, inputs.astype(float), inputs.tolist()):
    np.testing.assert_array_equal(loaded.predict(given), expected)
  assert (tmp_path / 'model' / 'weights.safetensors').stat().st_mode & 0o044


MORE = {
  'label_propagation': {'neighbors': 5, 'labelled_batch_size': 4},
  'learning_loss': {'maps': ('embedding',)},
  'vaal': TINY_IMAGES,
  'sraal': TINY_TARGETS,
  'bgadl': TINY_MAKERS,
}


@pytest.mark.parametrize('name', learners.LEARNERS)
def test_every_learner_predicts_by_the_variables_that_it_names(name, tmp_path):
  dataset, facts = a_task()
  options = {**MORE.get(name, {}), 'batch_size': 8}
  model = {'name': 'mlp', 'widths': [4]}
  learner = systems.build(
    f'{name}+random', facts, model=model, learner=options
  ).learner
  state = drawn(learner)
  compared = written.write(
    tmp_path / 'model', unrun(learner, state, facts, model, dataset.test.inputs)
  )
  assert compared == 100
  variables = al_jax.load_model(tmp_path / 'model').variables
  assert set(variables['params']) == {'hidden_1', 'head'}


def test_a_learner_that_names_none_or_the_wrong_ones_is_refused(
  tmp_path, monkeypatch
):
  dataset, facts = a_task()
  learner = systems.build('random', facts, model=MLP).learner
  state = drawn(learner)

  def write(learner):
    trained = unrun(learner, state, facts, MLP, dataset.test.inputs)
    written.write(tmp_path / 'model', trained)

  with pytest.raises(ValueError, match=r'mine cannot be exported'):
    write(learner._replace(variables=None))
  with pytest.raises(errors.ContractError, match='predicts differently from'):
    write(
      learner._replace(
        variables=lambda state: jax.tree.map(
          lambda leaf: leaf + 1, state.network.variables
        )
      )
    )
  monkeypatch.setitem(sys.modules, 'safetensors', None)
  with pytest.raises(errors.MissingPackageError, match='safetensors'):
    write(learner)
  assert not (tmp_path / 'model').exists()

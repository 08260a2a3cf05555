import functools

import jax
import numpy as np
import pytest

from al_jax import loop, models
from al_jax.learners import PRETRAINING
from al_jax.loop import pretrained, program
from tests.factories import a_task

MAX_STEPS = 15


# After every epoch.
SAVING = {'save_every_steps': 5}


@pytest.fixture(scope='module', params=[*PRETRAINING])
def task(request):
  dataset, facts = a_task()
  build = functools.partial(models.build, 'mlp', widths=(16,))
  options = {'batch_size': 32, 'stop': {'epochs': 3}}
  if request.param == 'deep_cluster':
    options['clusters_per_class'] = 1
  if request.param == 'vae':
    options.update(channels=(4, 8), latent=3)
  made = PRETRAINING[request.param](build, facts, **options)
  return made, facts, program.sources_of(dataset)


def equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_weights_are_made_once_and_kept(task, tmp_path):
  told = []
  weights, rows = pretrained.obtain(
    *task, tmp_path / 'kept', on_epoch=told.append, **SAVING
  )
  assert told == rows
  assert [row['epoch'] for row in rows] == [1, 2, 3]
  assert [row['step'] for row in rows] == [5, 10, 15]
  again, rows_again = pretrained.obtain(
    *task, tmp_path / 'kept', on_epoch=told.append
  )
  equal(again, weights)
  assert rows_again == rows
  assert len(told) == 3


@pytest.mark.parametrize('calls', [1, 2, 3])
def test_a_stopped_training_goes_on_bit_for_bit(calls, task, tmp_path):
  options = {'save_every_steps': 4}
  whole, rows = pretrained.obtain(*task, tmp_path / 'whole', **options)
  asked, told = [], []

  def should_stop():
    asked.append(None)
    return len(asked) >= calls

  options['on_epoch'] = told.append
  with pytest.raises(loop.Interrupted):
    pretrained.obtain(
      *task, tmp_path / 'stopped', should_stop=should_stop, **options
    )
  after, rows_after = pretrained.obtain(*task, tmp_path / 'stopped', **options)
  equal(after, whole)
  assert rows_after == rows
  assert told == rows


@pytest.mark.parametrize('name', ['deep_cluster', 'denoising_autoencoder'])
def test_weights_that_are_not_finite_are_not_kept(name, tmp_path):
  dataset, facts = a_task()
  build = functools.partial(models.build, 'mlp', widths=(16,))
  options = {'clusters_per_class': 1} if name == 'deep_cluster' else {}
  # Over before the first epoch is: no loss is known.
  made = PRETRAINING[name](
    build,
    facts,
    batch_size=32,
    stop={'steps': 4},
    optimizer={'name': 'sgd', 'learning_rate': 1e30},
    **options,
  )
  arguments = made, facts, program.sources_of(dataset), tmp_path / 'kept'
  for _ in range(2):
    with pytest.raises(FloatingPointError, match='not finite; a lower'):
      pretrained.obtain(*arguments)


@pytest.mark.parametrize('part', ['d/*', 'metadata/metadata'])
def test_damaged_weights_are_made_anew(part, tmp_path):
  dataset, facts = a_task()
  build = functools.partial(models.build, 'mlp', widths=(16,))
  made = PRETRAINING['denoising_autoencoder'](
    build, facts, batch_size=32, stop={'epochs': 2}
  )
  arguments = made, facts, program.sources_of(dataset), tmp_path / 'kept'
  weights, rows = pretrained.obtain(*arguments)
  saved = (tmp_path / 'kept' / '0').rglob(part)
  largest = max(saved, key=lambda file: file.stat().st_size)
  largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
  with pytest.warns(RuntimeWarning, match='kept are damaged: they are made'):
    again, rows_again = pretrained.obtain(*arguments)
  equal(again, weights)
  assert rows_again == rows
  # And kept, once more.
  told = []
  pretrained.obtain(*arguments, on_epoch=told.append)
  assert not told


def test_a_folder_that_cannot_be_made_is_named(task, tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(OSError, match=r'file.*AL_JAX_CACHE_DIR chooses another'):
    pretrained.obtain(*task, tmp_path / 'file' / 'pretrained' / 'kept')


def test_another_seed_gives_other_weights(task, tmp_path):
  one, _ = pretrained.obtain(*task, tmp_path / 'one', seed=1)
  other, _ = pretrained.obtain(*task, tmp_path / 'other', seed=2)
  with pytest.raises(AssertionError):
    equal(one, other)


def test_the_folder_is_named_after_all_that_matters(tmp_path):
  def name(**key):
    return pretrained.folder_of('a b/c', key, cache_dir=tmp_path)

  assert name(x=1).parent == tmp_path / 'pretrained'
  assert name(x=1).name.startswith('a-b-c-')
  assert name(x=1) == name(x=1) != name(x=2)

import importlib

import numpy as np
import pytest

import al_jax
from al_jax import data
from al_jax.data import transforms

SPEC = {'source': 'digits', 'transforms': [{'name': 'outliers', 'number': 40}]}


def test_they_come_last_and_look_like_no_example():
  plain, mixed = data.load('digits'), data.load(SPEC)
  strange = transforms.are_outliers(mixed.train.ids)
  number = len(plain.train)
  np.testing.assert_array_equal(np.flatnonzero(strange), number + np.arange(40))
  np.testing.assert_array_equal(mixed.train.inputs[:number], plain.train.inputs)
  assert mixed.train.ids[0] == str(plain.train.ids[0])
  assert mixed.train.ids[-1] == 'al_jax:outlier 39'
  noise = mixed.train.inputs[number:].astype(float)
  everything = plain.train.inputs.astype(float)
  # Pixels of the pool, at places of their own.
  assert abs(noise.mean() - everything.mean()) < 5
  assert noise.mean(axis=0).std() < 0.4 * everything.mean(axis=0).std()
  assert mixed.fingerprint != plain.fingerprint
  assert len(mixed.test) == len(plain.test)


def test_draws_depend_on_the_seed():
  def noise(seed):
    spec = {'name': 'outliers', 'number': 5, 'seed': seed}
    found = data.load({'source': 'digits', 'transforms': [spec]})
    return found.train.inputs[-5:]

  np.testing.assert_array_equal(noise(1), noise(1))
  assert np.any(noise(1) != noise(2))


@pytest.mark.parametrize(
  ('source', 'number', 'said'),
  [
    ('digits', 0, 'number is 0'),
    ('digits', 143_801, '143,801; it must be at most 100 times the pool of 1,'),
    ('diabetes', 3, 'outliers'),
  ],
)
def test_what_has_no_pictures_is_refused(source, number, said):
  spec = {'name': 'outliers', 'number': number}
  with pytest.raises(ValueError, match=said):
    data.load({'source': source, 'transforms': [spec]})


def test_a_query_for_one_is_paid_for_and_labels_nothing():
  found = al_jax.run(
    'random',
    {**SPEC, 'transforms': [{'name': 'outliers', 'number': 1400}]},
    protocol={'rounds': 2, 'first_size': 60, 'labels_per_round': 40},
    learner={'stop': {'epochs': 2}},
    quiet=True,
  )
  first, last = found.records
  asked = [str(name).startswith('al_jax:outlier') for name in first.pick_ids]
  assert first.labels == 60
  assert 10 < first.trainable < 50
  assert last.labels == 100
  assert last.trainable == first.trainable + 40 - sum(asked)
  assert first.batch['outliers'] == sum(asked) / 40
  assert 'outliers' not in last.batch


def test_a_balanced_first_set_has_none():
  found = al_jax.run(
    'random',
    {**SPEC, 'transforms': [{'name': 'outliers', 'number': 1400}]},
    protocol={'rounds': 1, 'first_size': 60, 'first_set': 'balanced'},
    learner={'stop': {'epochs': 1}},
    quiet=True,
  )
  assert found.records[0].trainable == 60


def test_pseudo_labels_of_outliers_are_wrong():
  oracle = al_jax.SimulatedOracle(
    np.array([1, 1, 0]),
    data.load('digits').task,
    np.array([False, True, False]),
  )
  assert oracle.share_right(np.array([1, 1, -1])) == 0.5


def test_nothing_is_held_out_after_them():
  split = {'name': 'validation_split', 'size': 50}
  with pytest.raises(ValueError, match='put it first'):
    data.load({**SPEC, 'transforms': [*SPEC['transforms'], split]})
  found = data.load({**SPEC, 'transforms': [split, *SPEC['transforms']]})
  assert not transforms.are_outliers(found.validation.ids).any()


@pytest.mark.parametrize(
  'after',
  [
    {'name': 'imbalance', 'ratio': 5},
    {'name': 'cap', 'train': 300},
    {'name': 'cap', 'train': 300, 'test': 90},
  ],
)
def test_they_are_of_no_class_that_may_be_counted(after):
  with pytest.raises(ValueError, match=f'{after["name"]} comes after outliers'):
    data.load({**SPEC, 'transforms': [*SPEC['transforms'], after]})
  found = data.load({**SPEC, 'transforms': [after, *SPEC['transforms']]})
  assert transforms.are_outliers(found.train.ids).sum() == 40


@pytest.mark.parametrize(
  'after',
  [
    {'name': 'cap', 'train': 300, 'stratified': False},
    {'name': 'cap', 'train': 9000},
    {'name': 'cap', 'test': 90},
  ],
)
def test_a_cap_that_looks_at_no_class_of_the_pool_may_follow(after):
  found = data.load({**SPEC, 'transforms': [*SPEC['transforms'], after]})
  assert transforms.are_outliers(found.train.ids).any()


@pytest.mark.parametrize('at_once', [1, 64, 1000])
def test_pictures_do_not_depend_on_how_many_are_drawn_at_once(
  at_once, monkeypatch
):
  # The fingerprint of the time when all were drawn at once.
  module = importlib.import_module('al_jax.data.transforms.outliers')
  monkeypatch.setattr(module, '_BLOCK', at_once)
  assert data.load(SPEC).fingerprint == 'd0620b1318d634d94a909b576f9f0a5a'


def test_there_may_be_more_of_them():
  more = [{'name': 'outliers', 'number': 3, 'seed': seed} for seed in (0, 1)]
  found = data.load({'source': 'digits', 'transforms': more})
  assert transforms.are_outliers(found.train.ids).sum() == 6

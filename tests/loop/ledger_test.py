"""Who answers, what is paid, and that a machine knows no hidden label."""

import dataclasses

import numpy as np
import pytest

import al_jax
from al_jax import data
from al_jax import pool as pool_lib
from al_jax.loop.probe import Probe

PROTOCOL = {
  'rounds': 3,
  'first_set': 'first',
  'first_size': 40,
  'labels_per_round': 20,
}
HOW = {
  'protocol': PROTOCOL,
  'learner': {'stop': {'epochs': 10}},
  'model': {'name': 'mlp', 'widths': (16,)},
  'quiet': True,
}


@pytest.fixture(scope='module')
def digits():
  return data.load(
    {'source': 'digits', 'transforms': [{'name': 'cap', 'train': 400}]}
  )


def run(system, dataset, **options):
  return al_jax.run(system, dataset, **{**HOW, **options}).records


def test_a_machine_costs_nothing_and_its_answers_stay(digits):
  rows = run('margin', digits, oracle={'annotator': 'machine'})
  assert [row.labels for row in rows] == [40, 60, 80]
  assert [row.trainable for row in rows] == [40, 60, 80]
  assert [row.ledger['person'] for row in rows] == [40, 40, 40]
  assert [row.ledger['machine'] for row in rows] == [0, 20, 40]
  assert rows[0].ledger['machine_right'] == 0
  assert len({tuple(row.ledger) for row in rows}) == 1
  person = run('margin', digits)
  assert person[0].picks == rows[0].picks
  assert person[-1].test['accuracy'] != rows[-1].test['accuracy']


def test_a_machine_knows_no_label_that_was_not_paid_for(digits):
  targets = digits.train.targets.copy()
  targets[40:] = (targets[40:] + 1) % 10
  train = dataclasses.replace(digits.train, targets=targets)
  poisoned = dataclasses.replace(digits, train=train)
  for system in ('margin', 'budget_annotation'):
    machine = {'annotator': 'machine'}
    rows, others = (
      run(system, dataset, oracle=machine) for dataset in (digits, poisoned)
    )
    for one, other in zip(rows, others, strict=True):
      assert one.picks == other.picks
      assert one.test == other.test


def test_a_budget_ends_a_run_of_a_machine(digits):
  protocol = {**PROTOCOL, 'rounds': 9, 'label_budget': 70}
  rows = run(
    'margin', digits, protocol=protocol, oracle={'annotator': 'machine'}
  )
  assert [row.labels for row in rows] == [40, 60, 70]


def test_prices_make_a_ledger(digits):
  prices = {'person': 0.5, 'person_seconds': 4, 'machine': 0.125}
  rows = run(
    'budget_annotation', digits, prices=prices, oracle={'abstain': 0.2}
  )
  for row in rows:
    ledger = row.ledger
    assert ledger['person'] == row.labels
    assert ledger['unanswered'] == row.labels - row.trainable
    assert ledger['price'] == 0.5 * row.labels
    assert ledger['seconds'] == 4 * row.labels
    right = ledger['pseudo_labels_right']
    number = ledger['pseudo_labels']
    if number:
      share = row.train['pseudo_label_accuracy']
      assert right == pytest.approx(share * number, abs=0.5)
    else:
      assert right == 0
  assert rows[-1].ledger['unanswered'] > 0
  assert 'machine_right' not in rows[-1].ledger
  machines = run(
    'margin', digits, prices=prices, oracle={'annotator': 'machine'}
  )
  assert len({tuple(row.ledger) for row in machines}) == 1
  machine = machines[-1].ledger
  assert machine['price'] == 0.5 * 40 + 0.125 * 40
  assert machine['seconds'] == 4 * 40


def test_without_prices_there_is_no_ledger(digits):
  rows = run('margin', digits)
  assert [row.ledger for row in rows] == [{}, {}, {}]
  assert 'ledger' not in rows[0].to_json()


@pytest.mark.parametrize(
  ('options', 'said'),
  [
    ({'oracle': {'annotator': 'crowd'}}, "'crowd' is not known. .*person"),
    (
      {'prices': {'persn': 1.0}},
      "'prices.persn' is not known. Did you mean 'prices.person'",
    ),
    ({'prices': {'person': -1.0}}, 'prices.person is -1'),
    (
      {
        'oracle': {'annotator': 'machine'},
        'synthesis': {'name': 'prior'},
      },
      'queries are made',
    ),
    (
      {
        'oracle': {'annotator': 'machine'},
        'protocol': {**PROTOCOL, 'first_set': 'none', 'first_size': 0},
      },
      "first_set is 'none': an untrained model would",
    ),
  ],
)
def test_what_nobody_can_be_paid_for_is_refused(digits, options, said):
  with pytest.raises(ValueError, match=said):
    run('margin', digits, **options)


def test_outliers_of_the_pool_are_never_right():
  spec = {
    'source': 'digits',
    'transforms': [{'name': 'outliers', 'number': 99}],
  }
  dataset = data.load(spec)
  rows = run('margin', dataset, oracle={'annotator': 'machine'})
  asked = [str(name).startswith('al_jax:outlier') for name in rows[0].pick_ids]
  assert rows[0].batch['outliers'] == np.mean(asked)
  # A machine answers about everything.
  assert rows[-1].trainable == rows[-1].labels


def test_a_probe_tells_how_much_is_known_already():
  rng = np.random.default_rng(0)
  classes = rng.integers(0, 3, 300)
  # Two clear features; a third of the labels is drawn at random.
  features = np.eye(3)[classes][:, :2] + 0.05 * rng.normal(size=(300, 2))
  unclear = rng.random(300) < 1 / 3
  classes = np.where(unclear, rng.integers(0, 3, 300), classes)
  dataset = data.Dataset.from_arrays(features, classes, test=None)
  rows = run('random', dataset, describe={'probe': True})
  for row in rows[:2]:
    picks = np.array(row.picks)
    known = row.batch['probe_right']
    # Of those that are unclear a third is right by chance.
    expected = np.mean(~unclear[picks]) + np.mean(unclear[picks]) / 3
    assert known == pytest.approx(expected, abs=0.2)
  assert 'probe_right' not in rows[-1].batch


def test_a_probe_learns_from_earlier_answers_alone():
  features = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
  pool = pool_lib.create(6)
  targets = np.array([0, 0, 1, 1, 2, 2], np.int32)
  for round, rows in ((0, [0, 2]), (1, [1, 3, 4])):
    pool = pool_lib.reveal(
      pool, np.array(rows), targets[rows], pool_lib.ORACLE, round=round
    )
  probe = Probe(features, 3)
  # Nobody had said what a third kind is.
  assert probe.share_right(pool, 0, np.array([1, 3, 4])) == 2 / 3
  assert np.isnan(probe.share_right(pool, -1, np.array([1])))
  assert np.isnan(probe.share_right(pool, 0, np.array([], int)))


def test_a_probe_knows_nothing_of_what_a_machine_said(digits):
  features = np.eye(2, dtype=np.float32)[[0, 0, 1, 1, 1]]
  pool = pool_lib.create(5)
  for round, row, target, by in (
    (0, 0, 0, pool_lib.ORACLE),
    (0, 2, 1, pool_lib.ORACLE),
    (1, 1, 1, pool_lib.MACHINE),
    (1, 3, 1, pool_lib.ORACLE),
  ):
    pool = pool_lib.reveal(
      pool, np.array([row]), np.array([target]), by, round=round
    )
  probe = Probe(features, 2)
  assert probe.share_right(pool, 0, np.array([1, 3])) == 1
  assert np.isnan(probe.share_right(pool, 0, np.array([1])))
  # What people say of example 0 outweighs the machine on its like.
  assert probe.share_right(pool, 1, np.array([0])) == 1
  rows = run(
    'random',
    as_features(digits),
    describe={'probe': True},
    oracle={'annotator': 'machine'},
  )
  assert not any('probe_right' in row.batch for row in rows)


def as_features(dataset):
  inputs = np.asarray(dataset.train.inputs, np.float32)
  return data.Dataset.from_arrays(
    inputs.reshape(len(inputs), -1), dataset.train.targets, test=None
  )


@pytest.mark.parametrize(
  ('probe', 'said'),
  [
    (True, 'which is for features'),
    ('resnet18', 'must be None, True, or options'),
    ({'architecture': 'resnet18'}, "needs the option 'weights'"),
    ({'architectur': 'resnet18'}, "Did you mean 'architecture'"),
  ],
)
def test_a_probe_without_features_is_refused(digits, probe, said):
  with pytest.raises(ValueError, match=said):
    run('margin', digits, describe={'probe': probe})


def test_a_machine_answers_about_classes_alone():
  with pytest.raises(ValueError, match="annotator 'machine'"):
    run('random', 'diabetes', oracle={'annotator': 'machine'})


def test_answers_of_a_machine_are_counted_by_class(digits):
  first, *_ = run('margin', digits, oracle={'annotator': 'machine'})
  assert sum(first.pick_classes) == 20

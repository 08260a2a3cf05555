"""Tiny runs: too small to say how much looking on costs."""

import pytest

from al_jax import data, loop
from experiments.benchmarks import watching


@pytest.fixture(scope='module')
def dataset():
  few = {'name': 'cap', 'train': 100, 'test': 50}
  return data.load({'source': 'digits', 'transforms': [few]})


def test_observers_take_a_part_of_the_run(dataset):
  row = watching.watched(dataset, rounds=2, labels_per_round=10, repeats=1)
  assert 0 < row.seconds < row.against
  assert row.ratio == row.seconds / row.against
  assert row.at_most == 0.01


def test_all_observers_are_told(dataset):
  run = watching.margin(dataset, 2, 10)
  with watching._observers(2, dataset.task) as seen:
    found = list(loop.run_rounds(*run, observers=seen))
    events, kept, bar = seen
    assert kept.rows() == found
    assert '2/2 rounds' in bar._stream.getvalue()
    assert events._steps == {('margin', 0): sum(row.steps for row in found)}

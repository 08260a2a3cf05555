import jax
import numpy as np
import pytest

from al_jax import pool as pool_lib
from al_jax import tasks
from al_jax.interfaces import Question
from al_jax.oracle import SimulatedOracle

KEY = jax.random.key(0)


def test_answers_are_the_labels_and_every_question_is_paid():
  oracle = SimulatedOracle(np.array([3, 1, 2]), tasks.numbered(4))
  paid, answers = oracle.ask(KEY, 10, Question(np.array([2, 0, -1])))
  assert paid == 12
  np.testing.assert_array_equal(answers.targets[:2], [2, 3])
  np.testing.assert_array_equal(answers.annotator, [1, 1, pool_lib.NOBODY])


def test_noise_is_wrong_at_its_rate_and_uniform_over_other_classes():
  truth = np.full(20_000, 2)
  oracle = SimulatedOracle(truth, tasks.numbered(5), noise=0.3)
  _, answers = oracle.ask(KEY, 0, Question(np.arange(20_000)))
  counts = np.bincount(answers.targets, minlength=5)
  assert abs(counts[2] / 20_000 - 0.7) < 0.015
  np.testing.assert_allclose(counts[[0, 1, 3, 4]] / 20_000, 0.075, atol=0.01)


def test_an_answer_does_not_depend_on_what_else_is_asked():
  oracle = SimulatedOracle(
    np.arange(100) % 10, tasks.numbered(10), noise=0.5, abstain=0.3
  )
  _, everything = oracle.ask(KEY, 0, Question(np.arange(100)))
  _, few = oracle.ask(KEY, 0, Question(np.array([77, -1, 3])))
  for field in ('targets', 'annotator'):
    whole, part = getattr(everything, field), getattr(few, field)
    np.testing.assert_array_equal(part[[0, 2]], whole[[77, 3]])
  _, others = oracle.ask(jax.random.key(1), 0, Question(np.arange(100)))
  assert np.any(others.targets != everything.targets)


def test_abstentions_cost_and_tell_nothing():
  oracle = SimulatedOracle(np.ones(5_000, int), tasks.numbered(2), abstain=0.25)
  paid, answers = oracle.ask(KEY, 0, Question(np.arange(5_000)))
  silent = answers.annotator == pool_lib.ABSTAINED
  assert paid == 5_000
  assert abs(silent.mean() - 0.25) < 0.025
  assert set(answers.targets[silent]) == {0}


@pytest.mark.parametrize('k', [10, 13])
def test_a_balanced_first_set_has_as_many_of_each_class(k):
  targets = np.repeat(np.arange(5), [4, 50, 50, 50, 50])
  oracle = SimulatedOracle(targets, tasks.numbered(5))
  first = oracle.balanced_first_set(KEY, k)
  counts = np.bincount(targets[first], minlength=5)
  assert len(set(first)) == k
  assert counts.max() - counts.min() <= 1
  np.testing.assert_array_equal(first, oracle.balanced_first_set(KEY, k))
  other = oracle.balanced_first_set(jax.random.key(1), k)
  assert set(first) != set(other)


def test_a_class_too_small_for_a_balanced_set_is_named():
  oracle = SimulatedOracle(np.array([0, 0, 0, 1]), tasks.numbered(2))
  with pytest.raises(ValueError, match='class 1; the pool has 1'):
    oracle.balanced_first_set(KEY, 4)


@pytest.mark.parametrize('rate', [-0.1, 1.0, np.nan, 'x', None])
@pytest.mark.parametrize('name', ['noise', 'abstain'])
def test_rates_out_of_range_are_refused(name, rate):
  with pytest.raises(ValueError, match=rf'oracle\.{name} is'):
    SimulatedOracle(np.zeros(3, int), tasks.numbered(2), **{name: rate})


@pytest.mark.parametrize(
  ('targets', 'num_classes', 'message'),
  [
    (
      np.array([0.0, 1.5]),
      2,
      r'int32 of shape \[N\], not float64 of shape \[2\]',
    ),
    (np.array([0.0, np.nan]), 2, 'class numbers'),
    (np.zeros((3, 1), int), 2, r'not int64 of shape \[3, 1\]'),
    (
      np.array([0, 2]),
      2,
      'the label 2 at index 1 is out of range; allowed are 0 to 1',
    ),
    (np.array([-1, 0]), 2, 'the label -1 at index 0'),
    (np.array([0, 1]), 0, 'num_classes is 0'),
    (np.array([0, 1]), 2.0, r'num_classes is 2\.0'),
  ],
)
def test_targets_that_are_no_class_numbers_are_refused(
  targets, num_classes, message
):
  with pytest.raises(ValueError, match=message):
    SimulatedOracle(targets, tasks.numbered(num_classes))

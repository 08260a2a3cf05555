import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import tasks

DIGIT = tasks.numbered(3)
BOX = tasks.Box(scale=8)
TASK = tasks.Mixed({'digit': DIGIT, 'box': BOX}, weights={'box': 2.0})


@pytest.fixture
def targets(rng):
  corners = rng.uniform(0, 8, size=(12, 2, 2))
  return {
    'digit': rng.integers(0, 3, 12).astype(np.int32),
    'box': np.sort(corners, axis=1).reshape(12, 4).astype(np.float32),
  }


@pytest.fixture
def predictions(rng):
  return {
    'digit': rng.normal(size=(12, 3)).astype(np.float32),
    'box': rng.normal(size=(12, 4)).astype(np.float32),
  }


def test_losses_are_the_weighted_sum_of_the_parts(predictions, targets):
  wanted = DIGIT.losses(predictions['digit'], targets['digit'])
  wanted += 2 * BOX.losses(predictions['box'], targets['box'])
  found = TASK.losses(predictions, targets)
  np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_metrics_are_those_of_the_parts_and_its_own(predictions, targets):
  def both_right(predictions, targets):
    right = predictions['digit'].argmax(-1) == targets['digit']
    return right & (targets['box'][:, 0] > 4)

  task = tasks.Mixed(
    dict(TASK.parts), own_metrics={'both': both_right}, headline_name='both'
  )
  metrics, by_class = task.summarise(
    task.measure(predictions, targets), targets
  )
  assert set(metrics) == {metric.name for metric in task.metrics}
  digits, classes = DIGIT.summarise(
    DIGIT.measure(predictions['digit'], targets['digit']), targets['digit']
  )
  np.testing.assert_array_equal(metrics['digit.accuracy'], digits['accuracy'])
  np.testing.assert_array_equal(by_class, classes)
  assert metrics['both'] == np.mean(both_right(predictions, targets))
  assert task.headline == tasks.Metric('both', '', True)
  assert TASK.headline.name == 'digit.accuracy'


def test_every_part_of_an_answer_is_noisy_in_its_own_way():
  keys = jax.random.split(jax.random.key(0), 1_000)
  truth = {'digit': jnp.int32(1), 'box': jnp.zeros(4)}
  found = jax.vmap(lambda key: TASK.perturb((key, key), truth, 0.2))(keys)
  assert abs(np.mean(found['digit'] != 1) - 0.2) < 0.04
  np.testing.assert_allclose(np.std(found['box']), 0.2 * 8, rtol=0.1)


@pytest.mark.parametrize(
  ('targets', 'message'),
  [
    (np.zeros(3), r"targets are one array; the task has \['box', 'digit'\]"),
    ({'digit': np.zeros(3, np.int32)}, r"targets are \['digit'\]"),
    (
      {
        'digit': np.full(3, 3, np.int32),
        'box': np.zeros((3, 4), np.float32),
      },
      'here, digit: the label 3 at index 0',
    ),
  ],
)
def test_targets_of_another_structure_are_refused(targets, message):
  with pytest.raises(ValueError, match=message):
    TASK.check(targets, 'here', None)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'parts': {}}, 'parts are {}'),
    ({'parts': {'a': DIGIT}, 'weights': {'b': 1}}, 'b'),
    ({'parts': {'a': DIGIT}, 'weights': {'a': -1}}, 'weights.a is -1'),
    ({'parts': {'a': DIGIT}, 'headline_name': 'accuracy'}, 'a.accuracy'),
    (
      {'parts': {'a': DIGIT}, 'own_metrics': {'a.accuracy': len}},
      "'a.accuracy', which is already a metric of a part",
    ),
    ({'parts': {'a': DIGIT}, 'own_metrics': {'x': 3}}, "'x': 3; it must be a"),
    ({'parts': {'a': 'classes'}}, "parts.a is 'classes'; it must be a task"),
    ({'parts': {'a b': DIGIT}}, "has the name 'a b'"),
    ({'parts': [DIGIT]}, 'it must be a mapping by name'),
    ({'parts': {'a': DIGIT}, 'weights': {'a': 0}}, 'one must be above 0'),
  ],
)
def test_options_that_do_not_fit_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    tasks.Mixed(**options)


@pytest.mark.parametrize(
  'task', [DIGIT, BOX, TASK, tasks.Vector(2, 3.0), tasks.Keypoints(4, 28.0)]
)
def test_a_task_is_the_same_after_a_file(task):
  assert tasks.from_json(tasks.to_json(task)) == task
  assert hash(tasks.from_json(tasks.to_json(task))) == hash(task)


def test_what_needs_classes_says_so():
  assert tasks.need_classes(DIGIT, 'x') is DIGIT
  with pytest.raises(ValueError, match="learner 'x' needs classes alone; the"):
    tasks.need_classes(TASK, "learner 'x'")

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from al_jax import errors, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import Learner, ModelOutput, Report
from al_jax.loop import evaluation
from al_jax.sources import Source
from al_jax.tasks import Metric

C = 5


@pytest.fixture
def logits(rng):
  return rng.normal(scale=2, size=(203, C)).astype(np.float32)


@pytest.fixture
def targets(rng, logits):
  guess = logits.argmax(-1)
  wrong = rng.integers(0, C, len(logits))
  return np.where(rng.random(len(logits)) < 0.6, guess, wrong).astype(np.int32)


@functools.partial(jax.jit, static_argnames='num_classes')
def summary(logits, targets, num_classes=C):
  task = tasks.numbered(num_classes)
  return task.summarise(task.measure(logits, targets), targets)


def reference_calibration_error(probs, targets, num_bins):
  confidence, correct = probs.max(-1), probs.argmax(-1) == targets
  error = 0.0
  for number in range(num_bins):
    low, high = number / num_bins, (number + 1) / num_bins
    last = number == num_bins - 1
    inside = (confidence >= low) & ((confidence < high) | last)
    if inside.any():
      gap = abs(correct[inside].mean() - confidence[inside].mean())
      error += inside.mean() * gap
  return error


def test_metrics_equal_scikit_learns(logits, targets):
  found, class_accuracy = summary(logits, targets)
  probs = scipy.special.softmax(logits.astype(np.float64), axis=-1)
  guess = probs.argmax(-1)
  wanted = {
    'accuracy': sklearn.metrics.accuracy_score(targets, guess),
    'log_loss': sklearn.metrics.log_loss(targets, probs, labels=range(C)),
    'balanced_accuracy': sklearn.metrics.balanced_accuracy_score(
      targets, guess
    ),
    'calibration_error': reference_calibration_error(probs, targets, 15),
  }
  assert found.keys() == wanted.keys()
  for name, value in wanted.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)
  recall = sklearn.metrics.recall_score(targets, guess, average=None)
  np.testing.assert_allclose(class_accuracy, recall, rtol=1e-6)


def test_a_class_without_examples_is_nan_and_left_out_of_the_balance(
  logits, targets
):
  targets = np.where(targets == 3, 1, targets)
  found, class_accuracy = summary(logits, targets)
  np.testing.assert_array_equal(np.isnan(class_accuracy), [0, 0, 0, 1, 0])
  present = np.asarray(class_accuracy)[[0, 1, 2, 4]]
  guess = logits.argmax(-1)
  wanted = [(guess[targets == c] == c).mean() for c in (0, 1, 2, 4)]
  np.testing.assert_allclose(present, wanted, rtol=1e-6)
  balanced = found['balanced_accuracy']
  np.testing.assert_allclose(balanced, np.mean(wanted), rtol=1e-6)


def test_the_number_of_classes_is_a_fact_and_not_what_the_targets_show():
  found, class_accuracy = summary(np.eye(7), np.array([0, 1, 1, 0, 0, 0, 0]), 7)
  np.testing.assert_allclose(class_accuracy, [0.2, 0.5] + [np.nan] * 5)
  np.testing.assert_allclose(found['balanced_accuracy'], 0.35, rtol=1e-6)


def test_certainty_is_in_the_last_bin_and_ranks_no_nan():
  logits = np.array([[1e5, 0], [0, 1e5], [0, 1e5], [1e5, 0]])
  found, _ = summary(logits, np.array([0, 1, 1, 1]), 2)
  np.testing.assert_allclose(found['accuracy'], 0.75)
  np.testing.assert_allclose(found['calibration_error'], 0.25)
  np.testing.assert_allclose(found['log_loss'], 1e5 / 4)


def test_calibrated_uniform_predictions_have_no_error():
  found, _ = summary(np.zeros((8, 4)), np.array([0, 1, 2, 3] * 2), 4)
  np.testing.assert_allclose(found['calibration_error'], 0, atol=1e-7)
  np.testing.assert_allclose(found['log_loss'], np.log(4), rtol=1e-6)


def linear_learner(apply):
  return Learner(None, None, (), apply, None)


@pytest.mark.parametrize('chunk_size', [64, 1000])
@pytest.mark.parametrize('on_device', [True, False])
def test_evaluation_in_padded_chunks_equals_that_of_the_whole(
  rng, logits, targets, chunk_size, on_device
):
  weights = rng.normal(size=(C, C)).astype(np.float32)

  def apply(state, inputs, *, keys=None):
    assert keys is None
    return ModelOutput(inputs @ state, inputs, {})

  inputs = jnp.asarray(logits) if on_device else logits
  source = Source(inputs, pool_lib.fully_labelled(jnp.asarray(targets)))
  # Traced once for shapes and once to compile, whatever the state.
  chex.clear_trace_counter()
  learner = linear_learner(chex.assert_max_traces(apply, n=2))
  evaluate = evaluation.make_evaluate(
    learner, source, tasks.numbered(C), chunk_size=chunk_size
  )
  for state in (jnp.asarray(weights), jnp.asarray(-weights)):
    found = evaluate(jax.random.key(0), state)
    wanted = summary(logits @ np.asarray(state), targets)
    chex.assert_trees_all_close(found, wanted, rtol=1e-4)


def test_no_example_is_counted_twice_when_the_last_chunk_is_short(targets):
  # Every prediction is right but the last: padding repeats its target.
  guess = targets.copy()
  guess[-1] = (guess[-1] + 1) % C
  source = Source(
    jnp.asarray(9 * np.eye(C, dtype=np.float32)[guess]),
    pool_lib.fully_labelled(jnp.asarray(targets)),
  )
  learner = linear_learner(
    lambda state, inputs, *, keys=None: ModelOutput(inputs + state, inputs, {})
  )
  found, _ = evaluation.make_evaluate(
    learner, source, tasks.numbered(C), chunk_size=64
  )(jax.random.key(0), jnp.float32(0))
  np.testing.assert_allclose(found['accuracy'], 202 / 203, rtol=1e-6)


def test_dropout_samples_are_averaged_and_judged_beside_the_single_pass(
  rng, logits, targets
):
  def apply(state, inputs, *, keys=None):
    if keys is not None:
      noise = jax.vmap(lambda key: jax.random.normal(key, (1, C)))(keys)
      inputs = inputs[None] + state * noise
    return ModelOutput(inputs, inputs, {})

  source = Source(
    jnp.asarray(logits), pool_lib.fully_labelled(jnp.asarray(targets))
  )
  key, scale = jax.random.key(5), jnp.float32(2)
  evaluate = evaluation.make_evaluate(
    linear_learner(apply),
    source,
    tasks.numbered(C),
    chunk_size=64,
    num_samples=7,
  )
  found, class_accuracy = evaluate(key, scale)
  once, wanted_of_classes = summary(logits, targets)
  assert set(found) == {*once, *(f'mc_{name}' for name in once)}
  chex.assert_trees_all_close(
    {name: found[name] for name in once}, once, rtol=1e-4
  )
  np.testing.assert_allclose(class_accuracy, wanted_of_classes, rtol=1e-5)
  samples = apply(scale, logits, keys=jax.random.split(key, 7)).predictions
  probs = scipy.special.softmax(np.asarray(samples), axis=-1).mean(0)
  mean, _ = summary(np.log(probs), targets)
  for name, value in mean.items():
    np.testing.assert_allclose(found[f'mc_{name}'], value, rtol=1e-4)


@pytest.mark.parametrize('chunk_size', [64, 1000])
def test_a_report_of_the_learner_is_among_the_test_metrics(
  logits, targets, chunk_size
):
  def measure(key, apply, batch, targets):
    largest = jnp.max(apply(batch.inputs).predictions, axis=-1)
    return {'largest': largest, 'target': targets}

  def reduce(measured):
    assert measured['largest'].shape == (203,)
    return {'spread': jnp.ptp(measured['largest'] * measured['target'])}

  learner = linear_learner(
    lambda state, inputs, *, keys=None: ModelOutput(inputs + state, inputs, {})
  )._replace(report=Report(measure, reduce, (Metric('spread', '', False),)))
  source = Source(jnp.asarray(logits), pool_lib.fully_labelled(targets))
  found, _ = evaluation.make_evaluate(
    learner, source, tasks.numbered(C), chunk_size=chunk_size
  )(jax.random.key(0), jnp.float32(0))
  assert set(found) == {*summary(logits, targets)[0], 'spread'}
  wanted = np.ptp(logits.max(-1) * targets)
  np.testing.assert_allclose(found['spread'], wanted, rtol=1e-5)


MINE = Metric('mine', '', True)


def with_report(logits, targets, reduced, metrics):
  """Makes the evaluation of a learner whose report returns a value."""
  learner = linear_learner(
    lambda state, inputs, *, keys=None: ModelOutput(inputs + state, inputs, {})
  )._replace(report=Report(lambda *_: (), lambda measured: reduced, metrics))
  source = Source(jnp.asarray(logits), pool_lib.fully_labelled(targets))
  return evaluation.make_evaluate(learner, source, tasks.numbered(C))


@pytest.mark.parametrize(
  ('reduced', 'message'),
  [
    ({'mine': jnp.zeros(3)}, r"'mine' of a report has shape \[3\]"),
    ({'yours': 1.0}, r"returned \['yours'\]; its metrics are \['mine'\]"),
    ({'mine': 1.0, 'b': 1.0}, r"returned \['b', 'mine'\]; its metrics are"),
    ({}, r"returned \[\]; its metrics are \['mine'\]"),
    (3.0, 'returned float; it must return'),
  ],
)
def test_a_report_of_something_else_is_refused(
  logits, targets, reduced, message
):
  evaluate = with_report(logits, targets, reduced, (MINE,))
  with pytest.raises(errors.ContractError, match=message):
    evaluate(jax.random.key(0), jnp.float32(0))


@pytest.mark.parametrize(
  ('metrics', 'message'),
  [
    ((MINE._replace(name='accuracy'),), "'accuracy' of a report is already"),
    ((MINE._replace(name='mc_accuracy'),), "'mc_accuracy' of a report is"),
    ((MINE, MINE), "'mine' of a report is already"),
    (('mine',), "have 'mine'; each must be a tasks.Metric"),
  ],
)
def test_metrics_that_nobody_can_tell_apart_are_refused_before_training(
  logits, targets, metrics, message
):
  with pytest.raises(errors.ContractError, match=message):
    with_report(logits, targets, {}, metrics)


def test_predictions_that_are_not_finite_are_not_judged(logits, targets):
  broken = logits.copy()
  broken[[3, 99]] = np.nan
  source = Source(jnp.asarray(broken), pool_lib.fully_labelled(targets))
  evaluate = evaluation.make_evaluate(
    linear_learner(
      lambda state, inputs, *, keys=None: ModelOutput(inputs + state, None, {})
    ),
    source,
    tasks.numbered(C),
  )
  with pytest.raises(FloatingPointError, match='2 examples of 203 are not'):
    evaluate(jax.random.key(0), jnp.float32(0))


def test_batches_give_what_the_metrics_need():
  logits = jnp.log(jnp.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]]))
  measured = jax.jit(tasks.numbered(3).measure)(logits, jnp.array([2, 0]))
  np.testing.assert_array_equal(measured.predicted, [1, 0])
  assert measured.predicted.dtype == jnp.int32
  np.testing.assert_allclose(measured.confidence, [0.7, 0.5], rtol=1e-5)
  np.testing.assert_allclose(measured.log_loss, -np.log([0.2, 0.5]), rtol=1e-5)


@pytest.mark.parametrize('on_device', [True, False])
@pytest.mark.parametrize('of_classes', [True, False])
def test_predictions_of_a_few_examples(rng, logits, on_device, of_classes):
  learner = Learner(
    init=None,
    start=None,
    phases=(),
    apply=lambda state, inputs: ModelOutput(state * inputs, None, {}),
    finite=None,
  )
  task = tasks.numbered(C) if of_classes else tasks.Vector(C)
  inputs = jnp.asarray(logits) if on_device else logits
  predict = evaluation.make_predict(learner, task, inputs)
  for picks in ([7, 3, 202], [5]):
    decided, probabilities = predict(2.0, np.array(picks))
    rows = 2 * logits[picks]
    if of_classes:
      np.testing.assert_array_equal(decided, rows.argmax(-1))
      expected = scipy.special.softmax(rows, axis=-1).max(-1)
      np.testing.assert_allclose(probabilities, expected, rtol=1e-6)
    else:
      np.testing.assert_array_equal(decided, rows)
      assert probabilities is None

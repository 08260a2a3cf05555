"""Losses against NumPy, their properties, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from al_jax import tasks
from al_jax.training import losses

TASK = tasks.numbered(4)
RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.standard_normal((7, 4))).astype(np.float32)
TARGETS = RNG.integers(0, 4, 7).astype(np.int32)


def reference(name, option, logits, targets):
  """In float64, as the papers have it."""
  log_probs = special.log_softmax(logits.astype(np.float64), axis=1)
  one_hot = np.eye(logits.shape[1])[targets]
  if name == 'label_smoothing':
    share = (1 - option) * one_hot + option / logits.shape[1]
    return -np.sum(share * log_probs, axis=1)
  log_p = np.sum(one_hot * log_probs, axis=1)
  return -((1 - np.exp(log_p)) ** option) * log_p


CASES = [
  ('label_smoothing', 'smoothing', 0.0),
  ('label_smoothing', 'smoothing', 0.3),
  ('focal', 'gamma', 0.0),
  ('focal', 'gamma', 0.5),
  ('focal', 'gamma', 2.0),
]


@pytest.mark.parametrize(('name', 'option', 'value'), CASES)
def test_a_loss_equals_its_formula(name, option, value):
  loss = losses.build({'name': name, option: value}, TASK)
  found = jax.jit(loss)(LOGITS, TARGETS)
  assert found.dtype == jnp.float32
  expected = reference(name, value, LOGITS, TARGETS)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
  if value == 0:
    plain = TASK.losses(LOGITS, TARGETS)
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('name', 'option', 'value'), CASES)
def test_losses_and_gradients_are_finite_where_a_model_is_sure(
  name, option, value
):
  loss = losses.build({'name': name, option: value}, TASK)
  sure = jnp.array([[200.0, 0, 0, 0], [-200.0, 0, 0, 0], [30.0, 0, 0, 0]])
  targets = jnp.zeros(3, jnp.int32)
  found, gradients = jax.jit(
    jax.value_and_grad(lambda logits: jnp.sum(loss(logits, targets)))
  )(sure)
  assert np.isfinite(found)
  assert np.all(np.isfinite(gradients))


def test_no_loss_is_that_of_the_task():
  assert losses.build(None, TASK) == TASK.losses


def squared(predictions, targets, *, weight=1.0):
  return weight * jnp.sum(jnp.square(predictions - targets), axis=-1)


def test_a_function_is_called_with_its_options():
  task = tasks.Vector(2)
  for spec in (
    {'name': squared, 'weight': 3.0},
    {'name': f'{__name__}.squared', 'weight': 3.0},
    functools.partial(squared, weight=3.0),
  ):
    loss = losses.build(spec, task)
    found = loss(jnp.ones((5, 2)), jnp.zeros((5, 2)))
    np.testing.assert_array_equal(found, np.full(5, 6.0))


def failing(predictions, targets):
  return predictions['box'] + targets


@pytest.mark.parametrize(
  ('spec', 'task', 'message'),
  [
    ('focl', TASK, "loss 'focl' is not known. Did you mean 'focal'"),
    (3, TASK, 'loss 3 is not known'),
    ({'gamma': 1}, TASK, 'loss None is not known'),
    ({'name': 'focal', 'gama': 1}, TASK, "no option 'gama'. Did you mean"),
    ({'name': 'focal', 'gamma': -1}, TASK, 'gamma is -1; it must be a number'),
    ({'name': 'label_smoothing', 'smoothing': 1}, TASK, 'smoothing is 1; it'),
    ('focal', tasks.numbered(1), 'needs at least 2 classes'),
    ('focal', tasks.Vector(2), "loss 'focal' needs classes; .* 2 numbers"),
    (lambda p, t: jnp.mean(p), TASK, r'returns float32\[\] for 3 examples'),
    (lambda p, t: p, TASK, r'returns float32\[3, 4\] .* float32\[3\], a loss'),
    (lambda p, t: t, TASK, r'returns int32\[3\] .* float32\[3\], a loss'),
    (lambda p, t: (t, p), TASK, 'it must return'),
    (failing, TASK, 'failing.* fails with predictions .*, with TypeError'),
  ],
)
def test_what_is_no_loss_is_told_in_a_sentence(spec, task, message):
  with pytest.raises(ValueError, match=message) as caught:
    losses.build(spec, task)
  assert '\n' not in str(caught.value)

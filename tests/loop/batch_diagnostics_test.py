import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from al_jax import kernels
from al_jax.loop import batch_diagnostics
from tests.factories import a_system, a_task

K, C, D = 7, 3, 5


@pytest.fixture
def batch(rng):
  return (
    rng.normal(size=(K, C)).astype(np.float32),
    rng.normal(size=(K, D)).astype(np.float32),
    rng.normal(size=(K, 4)).astype(np.float32),
  )


described = jax.jit(batch_diagnostics.describe)


def reference(logits, embedding, inputs):
  """With the gradients multiplied out."""
  probs = scipy.special.softmax(logits.astype(np.float64), axis=-1)
  residual = probs - np.eye(C)[probs.argmax(-1)]
  gradients = np.einsum('kc,kd->kcd', residual, embedding).reshape(K, -1)
  norms = np.linalg.norm(gradients, axis=-1)
  unit = gradients / norms[:, None]
  distances = np.linalg.norm(inputs[:, None] - inputs[None], axis=-1)
  median = np.median(distances[np.tril_indices(K, -1)])
  near = [any(distances[i, j] < median / 2 for j in range(i)) for i in range(K)]
  return {
    'gradient_norm': norms.mean(),
    'log_det': np.linalg.slogdet(np.eye(K) + unit @ unit.T)[1] / K,
    'near_duplicates': np.mean(near),
  }


def test_it_is_what_the_formulas_say(batch):
  logits, embedding, inputs = batch
  inputs[3] = inputs[1] + 1e-3
  found = described(logits, embedding, inputs, np.ones(K, bool))
  wanted = reference(logits, embedding, inputs)
  assert found.keys() == wanted.keys()
  assert wanted['near_duplicates'] > 0
  for name, value in wanted.items():
    np.testing.assert_allclose(found[name], value, rtol=2e-5, err_msg=name)


def test_padding_and_order_change_nothing(batch, rng):
  whole = described(*batch, np.ones(K, bool))
  order = rng.permutation(K)
  padded = [np.pad(each[order], ((0, 4), (0, 0)), 'edge') for each in batch]
  found = described(*padded, np.arange(K + 4) < K)
  for name, value in whole.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


def test_copies_have_no_diversity_and_orthogonal_gradients_the_most():
  real = np.ones(4, bool)
  alike = described(
    np.tile([[1.0, 0.0]], (4, 1)), np.ones((4, 4)), np.ones((4, 2)), real
  )
  np.testing.assert_allclose(alike['log_det'], np.log(5) / 4, rtol=1e-5)
  apart = described(np.tile([[1.0, 0.0]], (4, 1)), np.eye(4), np.eye(4), real)
  np.testing.assert_allclose(apart['log_det'], np.log(2), rtol=1e-5)
  assert apart['near_duplicates'] == 0


@pytest.mark.parametrize('number', [0, 1])
def test_what_needs_two_picks_is_nan_of_fewer(batch, number):
  found = described(*batch, np.arange(K) < number)
  assert np.isnan(found['log_det'])
  assert np.isnan(found['near_duplicates'])
  assert np.isnan(found['gradient_norm']) == (number == 0)


def test_a_gradient_of_length_0_is_no_nan(batch):
  logits, embedding, inputs = batch
  found = described(logits, 0 * embedding, inputs, np.ones(K, bool))
  assert found['gradient_norm'] == 0
  assert np.isfinite(found['log_det'])


@pytest.fixture(scope='module')
def trained():
  dataset, facts = a_task()
  learner = a_system(facts=facts).learner
  return dataset, facts, learner, learner.init(jax.random.key(0))


@pytest.mark.parametrize('on_device', [True, False])
def test_the_batch_of_a_run_is_described_by_its_model(trained, on_device):
  dataset, facts, learner, state = trained
  inputs = dataset.train.inputs
  of_picks = batch_diagnostics.make_describe(
    learner, facts, jnp.asarray(inputs) if on_device else inputs
  )
  picks = np.array([9, 4, 100, 31])
  found = of_picks(state, picks, 6)
  output = learner.apply(state, jnp.asarray(inputs[picks]))
  factors = kernels.gradient_factors(output.predictions, output.embedding)
  norms = np.sqrt(np.asarray(kernels.squared_norms(factors)))
  assert found['gradient_norm'] == pytest.approx(norms.mean(), rel=1e-5)
  assert all(type(value) is float for value in found.values())
  whole = of_picks(state, picks, 4)
  assert found == pytest.approx(whole, rel=1e-5)


def test_of_a_large_batch_the_first_are_described(trained, monkeypatch):
  dataset, facts, learner, state = trained
  monkeypatch.setattr(batch_diagnostics, 'MOST_PICKS', 3)
  of_picks = batch_diagnostics.make_describe(
    learner, facts, jnp.asarray(dataset.train.inputs)
  )
  few = of_picks(state, np.array([9, 4, 31]), 3)
  assert of_picks(state, np.array([9, 4, 31, 7, 8]), 5) == few

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import tasks
from al_jax.interfaces import Batch, ModelOutput
from al_jax.strategies import variance
from tests.strategies.linear_network import (
  FACTS,
  KEY,
  WEIGHTS,
  C,
  D,
  K,
  N,
  apply,
  choose,
  measure_pool,
  pool_with,
  sampled_probs,
  select,
)

S = 4
ASKED = [3, 17, 5]
STRATEGY = variance(num_samples=S)


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def masks():
  return [
    np.asarray(jax.random.bernoulli(key, 0.5, (D,)))
    for key in jax.random.split(KEY, S)
  ]


def sampled_values(inputs):
  """The outputs [S, N, C] of the network under each dropout mask."""
  return np.stack([(inputs * mask) @ WEIGHTS for mask in masks()])


def total_variance(samples):
  return np.asarray(samples, np.float64).var(axis=0).sum(axis=-1)


def largest(scores):
  return [i for i in np.argsort(-scores) if i not in ASKED][:K]


def test_of_values_the_variance_is_summed_over_coordinates(inputs):
  facts = FACTS._replace(task=tasks.Vector(C))
  measured = measure_pool(STRATEGY, inputs)
  state, selection = select(
    STRATEGY, measured, pool_with(ASKED), state=STRATEGY.init(facts)
  )
  wanted = total_variance(sampled_values(inputs))
  np.testing.assert_array_equal(selection.indices, largest(wanted))
  np.testing.assert_allclose(
    selection.values, wanted[largest(wanted)], rtol=1e-5
  )
  assert not state


def test_of_classes_it_is_that_of_their_probabilities(inputs):
  wanted = total_variance(sampled_probs(inputs, S))
  picks = choose(STRATEGY, inputs, pool_with(ASKED))
  np.testing.assert_array_equal(picks, largest(wanted))


def test_the_parts_of_a_prediction_are_added_up(inputs):
  def apply_both(inputs, *, keys):
    output = apply(inputs, keys=keys)
    number = output.embedding[..., 0]  # [S, B], a single coordinate
    return ModelOutput(
      {'class': output.predictions, 'number': number}, output.embedding, {}
    )

  batch = Batch(np.arange(N), jnp.asarray(inputs))
  measured = STRATEGY.measure(KEY, apply_both, batch)
  _, selection = select(
    STRATEGY,
    measured,
    pool_with(ASKED),
    state={'class': np.True_, 'number': np.False_},
  )
  numbers = np.stack([(inputs * mask)[:, :1] for mask in masks()])
  wanted = total_variance(sampled_probs(inputs, S)) + total_variance(numbers)
  np.testing.assert_array_equal(selection.indices, largest(wanted))


def test_one_sample_has_no_variance():
  with pytest.raises(ValueError, match=r'num_samples is 1; .* at least 2'):
    variance(num_samples=1)

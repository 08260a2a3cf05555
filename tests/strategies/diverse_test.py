"""Batches spread over points, which are embeddings or gradients."""

import numpy as np
import pytest

from al_jax import kernels
from al_jax.interfaces import Batch, ModelOutput
from al_jax.strategies import badge, k_means_plus_plus, lcmd, needs
from tests.strategies.linear_network import (
  KEY,
  D,
  K,
  N,
  choose,
  pool_with,
  select,
)

ASKED = [3, 17, 5]


@pytest.fixture
def inputs(rng):
  return rng.normal(size=(N, D)).astype(np.float32)


def test_lcmd_begins_with_what_was_asked_about(inputs):
  pool = pool_with(ASKED)
  is_center = np.isin(np.arange(N), ASKED)
  of_kernel = kernels.lcmd(inputs, K, centers=is_center)
  np.testing.assert_array_equal(choose(lcmd(), inputs, pool), of_kernel.indices)
  assert not np.array_equal(of_kernel.indices, kernels.lcmd(inputs, K).indices)


def test_lcmd_sees_no_center_that_was_not_measured(inputs):
  seen = np.arange(N) != ASKED[0]
  _, found = select(lcmd(), inputs, pool_with(ASKED), seen=seen)
  is_center = np.isin(np.arange(N), ASKED[1:])
  of_kernel = kernels.lcmd(inputs, K, eligible=seen, centers=is_center)
  np.testing.assert_array_equal(found.indices, of_kernel.indices)


def test_seeding_leaves_out_what_was_asked_about(inputs):
  strategy, pool = k_means_plus_plus(first='max_norm'), pool_with(ASKED)
  _, found = select(strategy, inputs, pool)
  picks = inputs[np.asarray(found.indices)]
  assert not set(found.indices.tolist()) & set(ASKED)
  apart = np.sum((picks[1:, None] - picks) ** 2, axis=2)
  nearest = [np.min(row[: at + 1]) for at, row in enumerate(apart)]
  np.testing.assert_allclose(found.values[1:], nearest, rtol=1e-4)


@pytest.mark.parametrize('make', [badge, k_means_plus_plus, lcmd])
def test_gradients_take_the_place_of_embeddings(make, inputs):
  def apply(rows):
    return ModelOutput(None, None, {'gradient': 2 * rows})

  strategy = make(embedding='gradient')
  batch = Batch(np.arange(N), inputs)
  measured = strategy.measure(KEY, apply, batch)
  np.testing.assert_array_equal(measured, 2 * inputs)
  needed = needs.of(strategy)
  assert 'gradient_sketch' in needed['extras.gradient']
  assert needs.EMBEDDING not in needed
  assert (needs.CLASSES in needed) == (make is badge)
  alike = {} if make is lcmd else {'first': 'max_norm'}
  _, found = select(
    make(embedding='gradient', **alike), measured, pool_with([])
  )
  longest = np.argmax(np.linalg.norm(inputs, axis=1))
  assert found.indices[0] == longest


@pytest.mark.parametrize('make', [badge, k_means_plus_plus, lcmd])
def test_points_that_nobody_knows_are_refused(make):
  with pytest.raises(ValueError, match="embedding 'gradients' is not known"):
    make(embedding='gradients')


def test_another_beginning_is_refused():
  with pytest.raises(ValueError, match="first is 'longest'"):
    k_means_plus_plus(first='longest')

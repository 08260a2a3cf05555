"""Pooling against Flax's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.models import pooling
from tests.models import pairs

# Size, window, strides, padding.
WINDOWS = {
  f'{size}, {window}, {strides}, {padding}': (size, window, strides, padding)
  for size in ((6, 7), (9, 8))
  for window, strides in (
    ((2, 2), (2, 2)),
    ((3, 3), (2, 2)),
    ((3, 3), (1, 1)),
    ((4, 5), (2, 3)),
    ((1, 3), None),
  )
  for padding in ('SAME', 'VALID')
} | {'given padding': ((6, 7), (3, 3), (2, 2), ((1, 1), (0, 2)))}
every_window = pytest.mark.parametrize('case', WINDOWS.values(), ids=WINDOWS)


@every_window
def test_largest_values_are_those_of_flax(rng, case):
  size, *window = case
  pairs.assert_same(
    lambda images: pooling.max_pool(images, *window),
    lambda images: nn.max_pool(images, *window),
    *pairs.draw(rng, (2, *size, 3)),
  )


@every_window
def test_means_are_those_of_flax(rng, case):
  size, *window = case

  def both_counts(pool):
    return lambda images: jnp.stack(
      [
        pool(images, *window, count_include_pad=counted)
        for counted in (True, False)
      ]
    )

  pairs.assert_same(
    both_counts(pooling.avg_pool),
    both_counts(nn.avg_pool),
    *pairs.draw(rng, (2, *size, 3)),
  )


def test_no_native_pooling_is_left():
  images = jnp.ones((1, 6, 6, 2))
  for pool in (pooling.max_pool, pooling.avg_pool):
    text = jax.jit(
      lambda images, pool=pool: pairs.with_gradients(
        lambda images: pool(images, (3, 3), (2, 2), 'SAME'), images
      )
    )
    assert 'reduce_window' not in text.lower(images).as_text()


def test_values_that_tie_share_the_gradient():
  gradient = jax.grad(
    lambda images: jnp.sum(pooling.max_pool(images, (3, 3), (3, 3)))
  )(jnp.zeros((1, 3, 3, 1)))
  np.testing.assert_allclose(jnp.sum(gradient), 1)
  assert float(jnp.min(gradient)) > 0


@pytest.mark.parametrize('size', [(6, 6), (7, 5)], ids=str)
def test_pooling_is_that_of_flax(rng, size):
  (images,) = pairs.draw(rng, (2, *size, 3))

  def theirs(images):
    return nn.max_pool(images, (2, 2), (2, 2))

  pairs.assert_close([pooling.max_pool_2x2(images)], [theirs(images)])
  gradients = [
    jax.grad(lambda images, pool=pool: jnp.sum(jnp.sin(pool(images))))(images)
    for pool in (pooling.max_pool_2x2, theirs)
  ]
  pairs.assert_close(gradients[:1], gradients[1:])


def test_pixels_that_tie_share_the_gradient():
  gradient = jax.grad(lambda images: jnp.sum(pooling.max_pool_2x2(images)))
  np.testing.assert_array_equal(
    gradient(jnp.zeros((1, 2, 2, 1))), jnp.full((1, 2, 2, 1), 0.25)
  )

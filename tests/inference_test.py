import chex
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import inference


def _square(scale, batch):
  return {
    'square': scale * jnp.sum(batch.inputs**2, axis=-1),
    'index': batch.index,
  }


@pytest.mark.parametrize('chunk_size', [3, 5, 100])
@pytest.mark.parametrize('on_device', [True, False])
def test_a_map_equals_the_function_of_the_whole(rng, chunk_size, on_device):
  inputs = rng.normal(size=(17, 4)).astype(np.float32)
  placed = jnp.asarray(inputs) if on_device else inputs
  out = inference.make_pool_map(_square, chunk_size=chunk_size)(2.0, placed)
  np.testing.assert_allclose(out['square'], 2 * (inputs**2).sum(-1), rtol=1e-6)
  np.testing.assert_array_equal(out['index'], np.arange(17))


def test_what_is_left_out_is_zero(rng):
  inputs = jnp.asarray(rng.normal(size=(17, 4)), jnp.float32)
  map_pool = inference.make_pool_map(_square, chunk_size=4)
  where = np.arange(17) % 3 == 0
  out, whole = map_pool(1.0, inputs, where), map_pool(1.0, inputs)
  np.testing.assert_array_equal(out['square'][where], whole['square'][where])
  np.testing.assert_array_equal(out['square'][~where], 0)
  np.testing.assert_array_equal(out['index'][~where], 0)


def test_every_pass_uses_one_program(rng):
  inputs = jnp.asarray(rng.normal(size=(17, 4)), jnp.float32)
  # Traced twice: once for the shapes of the result, once to compile.
  traced = chex.assert_max_traces(_square, n=2)
  map_pool = inference.make_pool_map(traced, chunk_size=4)
  for where in (None, np.ones(17, bool), np.arange(17) < 3):
    map_pool(1.0, inputs, where)


def test_nothing_to_measure_makes_no_pass():
  map_pool = inference.make_pool_map(lambda args, batch: (), chunk_size=4)
  assert map_pool(1.0, jnp.zeros((9, 2))) == ()


@pytest.mark.parametrize('chunk_size', [18, 10**12])
def test_a_chunk_holds_no_more_than_the_pool(rng, chunk_size):
  inputs = jnp.asarray(rng.normal(size=(17, 4)), jnp.float32)
  seen = []

  def measure(args, batch):
    seen.append(len(batch.index))
    return _square(args, batch)

  out = inference.make_pool_map(measure, chunk_size=chunk_size)(1.0, inputs)
  whole = inference.make_pool_map(_square, chunk_size=17)(1.0, inputs)
  np.testing.assert_array_equal(out['square'], whole['square'])
  assert set(seen) == {17}


@pytest.mark.parametrize('chunk_size', [0, 1.5, None, '8', True])
def test_a_chunk_size_that_is_no_number_of_rows_is_refused(chunk_size):
  with pytest.raises(ValueError, match='chunk_size is'):
    inference.make_pool_map(_square, chunk_size=chunk_size)


@pytest.mark.parametrize('shape', [(), (3,), (3, 4)])
def test_what_has_no_row_per_example_is_refused(shape):
  map_pool = inference.make_pool_map(
    lambda args, batch: {'fine': batch.index, 'wrong': jnp.zeros(shape)},
    chunk_size=4,
  )
  with pytest.raises(ValueError, match='of 4 examples has the shape float32'):
    map_pool(1.0, jnp.zeros((9, 2)))

import numpy as np
import pytest

from al_jax.data import moments


@pytest.mark.parametrize('block_bytes', [1, 1_000, 1 << 22])
def test_moments_agree_with_numpy_for_any_block(monkeypatch, rng, block_bytes):
  monkeypatch.setattr(moments, '_BLOCK_BYTES', block_bytes)
  inputs = rng.integers(0, 256, (50, 4, 3, 2), dtype=np.uint8)
  found = moments.moments(inputs)
  np.testing.assert_allclose(found.mean, inputs.mean(0), rtol=1e-12)
  np.testing.assert_allclose(found.variance, inputs.var(0), rtol=1e-12)


def test_a_mean_far_from_zero_costs_no_precision(rng):
  noise = rng.standard_normal((500, 3)).astype(np.float32)
  inputs = np.float32(2**14) + noise
  found = moments.moments(inputs)
  np.testing.assert_allclose(
    found.variance, inputs.astype(np.float64).var(0), rtol=1e-9
  )


def test_channel_pools_all_axes_but_the_last(rng):
  inputs = rng.integers(0, 256, (40, 5, 4, 3), dtype=np.uint8)
  mean, std = moments.constants(moments.moments(inputs), 'channel')
  assert mean.shape == std.shape == (3,)
  assert mean.dtype == std.dtype == np.float32
  np.testing.assert_allclose(mean, inputs.mean((0, 1, 2)), rtol=1e-6)
  np.testing.assert_allclose(std, inputs.std((0, 1, 2)), rtol=1e-6)


def test_feature_pools_nothing_and_a_constant_has_std_1(rng):
  inputs = rng.standard_normal((40, 5)).astype(np.float32)
  inputs[:, 2] = 0.1
  mean, std = moments.constants(moments.moments(inputs), 'feature')
  np.testing.assert_allclose(mean, inputs.mean(0), rtol=1e-4)
  np.testing.assert_allclose(
    np.delete(std, 2), np.delete(inputs.std(0), 2), rtol=1e-5
  )
  assert std[2] == 1


def test_none_leaves_inputs_as_they_are(rng):
  inputs = rng.standard_normal((4, 6, 2)).astype(np.float32)
  mean, std = moments.constants(moments.moments(inputs), 'none')
  np.testing.assert_array_equal((inputs - mean) / std, inputs)


def test_an_unknown_normalisation_names_the_closest():
  found = moments.moments(np.zeros((2, 3), np.float32))
  with pytest.raises(ValueError, match="Did you mean 'channel'"):
    moments.constants(found, 'chanel')

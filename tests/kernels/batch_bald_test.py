"""Batches whose labels together tell most about the network."""

import functools
import importlib
import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels

# The module: the package has the function under this name.
batch_bald_module = importlib.import_module('al_jax.kernels.batch_bald')
KEY = jax.random.key(0)
batch_bald = jax.jit(
  kernels.batch_bald, static_argnames=('k', 'num_samples', 'chunk')
)


# Five picks against a list of configurations and two against a draw, C = 3.
draw_seven = functools.partial(batch_bald, KEY, k=7, num_samples=100)


def reference_probs(mc_logits):
  mc_logits = np.asarray(mc_logits, np.float64)
  odds = np.exp(mc_logits - mc_logits.max(axis=-1, keepdims=True))
  return odds / odds.sum(axis=-1, keepdims=True)


def reference_information(mc_logits, batch):
  """I(y_B; w), summed over every configuration of the batch's labels."""
  probs = reference_probs(mc_logits)[:, batch]  # [S, B, C]
  num_classes = probs.shape[-1]
  joint = np.array(
    [
      np.prod(probs[:, np.arange(len(batch)), labels], axis=1)
      for labels in itertools.product(range(num_classes), repeat=len(batch))
    ]
  )

  def entropy(probs):
    return -np.sum(probs * np.log(np.where(probs > 0, probs, 1)), axis=0)

  return entropy(joint.mean(axis=1)) - entropy(joint).mean()


def reference_greedy(mc_logits, k, eligible):
  """The indices and gains of plain greedy, one brute force per candidate."""
  batch, gains, so_far = [], [], 0.0
  for _ in range(min(k, eligible.sum())):
    informations = {
      i: reference_information(mc_logits, [*batch, i])
      for i in np.flatnonzero(eligible)
      if i not in batch
    }
    best = max(informations, key=informations.get)
    batch.append(best)
    gains.append(informations[best] - so_far)
    so_far = informations[best]
  return batch, gains


def normal_logits(*shape, scale=2.0, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(0, scale, shape).astype(np.float32)


def linear_logits(num_networks, num_points, num_classes, seed=0):
  """Samples that share structure, as those of one network do."""
  rng = np.random.default_rng(seed)
  inputs = rng.normal(size=(num_points, 6))
  weights = rng.normal(size=(6, num_classes))
  noise = rng.normal(size=(num_networks, 6, num_classes))
  return np.einsum('nd,sdc->snc', inputs, weights + noise).astype(np.float32)


@pytest.mark.parametrize('chunk', [1, 3, 100])
def test_listed_picks_equal_brute_force_over_all_configurations(chunk):
  mc_logits = normal_logits(5, 7, 3)
  eligible = np.array([True, True, False, True, True, True, True])
  picks = batch_bald(KEY, mc_logits, 4, eligible=eligible, chunk=chunk)
  indices, gains = reference_greedy(mc_logits, 4, eligible)
  np.testing.assert_array_equal(picks.indices, indices)
  np.testing.assert_allclose(picks.values, gains, atol=2e-6)


@hypothesis.given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 3.0, 20.0]))
@hypothesis.settings(deadline=None, max_examples=15)
def test_gains_of_any_pool_equal_brute_force(seed, scale):
  mc_logits = normal_logits(4, 6, 2, scale=scale, seed=seed)
  picks = batch_bald(KEY, mc_logits, 4)
  informations = [
    reference_information(mc_logits, list(picks.indices[: n + 1]))
    for n in range(4)
  ]
  np.testing.assert_allclose(np.cumsum(picks.values), informations, atol=5e-6)
  # Near ties may go either way in float32.
  _, gains = reference_greedy(mc_logits, 4, np.ones(6, bool))
  np.testing.assert_allclose(picks.values, gains, atol=1e-4)


def test_the_first_pick_is_that_of_bald():
  mc_logits = linear_logits(20, 50, 4)
  picks = batch_bald(KEY, mc_logits, 1)
  best = kernels.top_k(kernels.bald(mc_logits), 1)
  np.testing.assert_array_equal(picks.indices, best.indices)
  np.testing.assert_allclose(picks.values, best.values, rtol=1e-5)


def test_a_listing_larger_than_a_tile_equals_brute_force():
  mc_logits = linear_logits(6, 9, 4)
  picks = batch_bald(KEY, mc_logits, 7, num_samples=5000)  # 4**6 rows
  information = reference_information(mc_logits, list(picks.indices))
  np.testing.assert_allclose(np.sum(picks.values), information, atol=1e-5)


def test_drawn_gains_agree_with_listed_ones_within_their_standard_error():
  mc_logits = linear_logits(8, 6, 3, seed=1)
  listed = batch_bald(KEY, mc_logits, 6)  # 3**5 configurations
  keys = jax.random.split(KEY, 400)
  drawn = jax.jit(
    jax.vmap(lambda key: kernels.batch_bald(key, mc_logits, 6, num_samples=64))
  )(keys)
  # All six points are in every batch, whatever their order.
  informations = np.sum(drawn.values, axis=1)
  error = informations.std() / np.sqrt(len(keys))
  assert error < 0.01
  difference = informations.mean() - np.sum(listed.values)
  assert abs(difference) < 4 * error


@pytest.mark.parametrize('num_samples', [40, 10_000], ids=['drawn', 'listed'])
@pytest.mark.parametrize('correlated', [False, True])
def test_lazy_picks_are_those_of_evaluating_everything(
  monkeypatch, num_samples, correlated
):
  make = linear_logits if correlated else normal_logits
  mc_logits = make(10, 150, 3)
  options = {'num_samples': num_samples, 'chunk': 16}
  monkeypatch.setattr(batch_bald_module, '_NUM_GROUPS', 7)
  lazy = jax.jit(lambda x: kernels.batch_bald(KEY, x, 8, **options))(mc_logits)
  # Nothing is ever sure to be worse.
  monkeypatch.setattr(batch_bald_module, '_ROUNDING', np.inf)
  eager = jax.jit(lambda x: kernels.batch_bald(KEY, x, 8, **options))(mc_logits)
  np.testing.assert_array_equal(lazy.indices, eager.indices)
  np.testing.assert_allclose(lazy.values, eager.values, atol=1e-6)


def test_the_chunk_changes_no_pick():
  mc_logits = linear_logits(10, 40, 3)
  whole = draw_seven(mc_logits)
  for chunk in (1, 16):
    parts = batch_bald(KEY, mc_logits, 7, num_samples=100, chunk=chunk)
    np.testing.assert_array_equal(parts.indices, whole.indices)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)


def test_jit_changes_nothing():
  mc_logits = linear_logits(10, 40, 3)
  alone = kernels.batch_bald(KEY, mc_logits, 7, num_samples=100)
  together = draw_seven(mc_logits)
  np.testing.assert_array_equal(alone.indices, together.indices)
  np.testing.assert_allclose(alone.values, together.values, atol=1e-6)


def test_the_key_matters_only_once_configurations_are_drawn():
  mc_logits = linear_logits(10, 40, 3)
  first, second = (
    batch_bald(jax.random.key(seed), mc_logits, 7, num_samples=100)
    for seed in (1, 2)
  )
  # 3**4 configurations are listed.
  np.testing.assert_array_equal(first.indices[:5], second.indices[:5])
  np.testing.assert_array_equal(first.values[:5], second.values[:5])
  assert (first.values[5:] != second.values[5:]).all()


def test_picks_follow_a_permutation_of_the_pool():
  mc_logits = linear_logits(10, 40, 3)
  order = np.random.default_rng(0).permutation(40)
  permuted = draw_seven(mc_logits[:, order])
  np.testing.assert_array_equal(
    order[permuted.indices], draw_seven(mc_logits).indices
  )


@pytest.mark.parametrize('padding', [False, True], ids=['mask', 'padding'])
def test_a_mask_equals_the_subset(padding):
  mc_logits = linear_logits(10, 40, 3)
  eligible = np.arange(40) < 20
  if not padding:
    eligible = np.random.default_rng(0).permutation(eligible)
  whole = draw_seven(mc_logits, eligible=eligible)
  subset = draw_seven(mc_logits[:, eligible])
  np.testing.assert_array_equal(
    whole.indices, np.flatnonzero(eligible)[subset.indices]
  )
  np.testing.assert_allclose(whole.values, subset.values, atol=1e-6)


@pytest.mark.parametrize('num_samples', [40, 10_000], ids=['drawn', 'listed'])
def test_a_copy_of_a_sure_answer_tells_nothing_more(num_samples):
  # Four networks; one point asks for the first bit of which, three copies of
  # another for the second bit.
  bits = np.array([[0, 0, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 1]])
  mc_logits = 60.0 * np.eye(2, dtype=np.float32)[bits]
  picks = batch_bald(KEY, mc_logits, 4, num_samples=num_samples)
  np.testing.assert_array_equal(picks.indices, [0, 1, 2, 3])
  np.testing.assert_allclose(
    picks.values, [np.log(2), np.log(2), 0, 0], atol=1e-5
  )


def test_equal_points_are_picked_by_lowest_index():
  mc_logits = np.repeat(linear_logits(10, 1, 3), 20, axis=1)
  picks = batch_bald(KEY, mc_logits, 6, num_samples=50, chunk=4)
  np.testing.assert_array_equal(picks.indices, np.arange(6))


@pytest.mark.parametrize('num_samples', [40, 10_000], ids=['drawn', 'listed'])
def test_samples_that_agree_tell_nothing(num_samples):
  mc_logits = np.repeat(linear_logits(1, 12, 3), 10, axis=0)
  picks = batch_bald(KEY, mc_logits, 6, num_samples=num_samples)
  assert len(set(picks.indices.tolist())) == 6
  np.testing.assert_allclose(picks.values, 0, atol=3e-6)


def test_one_sample_or_one_class_tells_nothing():
  for shape in ((1, 9, 4), (5, 9, 1)):
    picks = batch_bald(KEY, normal_logits(*shape), 7, num_samples=20)
    assert len(set(picks.indices.tolist())) == 7
    np.testing.assert_allclose(picks.values, 0, atol=3e-6)


@pytest.mark.parametrize('num_eligible', [0, 1, 5])
@pytest.mark.parametrize('num_samples', [20, 10_000], ids=['drawn', 'listed'])
def test_past_the_eligible_points_there_is_padding(num_eligible, num_samples):
  mc_logits = linear_logits(10, 8, 2)
  eligible = np.arange(8) % 8 < num_eligible
  picks = batch_bald(
    KEY, mc_logits, 9, eligible=eligible, num_samples=num_samples
  )
  taken = np.asarray(picks.indices)[:num_eligible]
  assert sorted(taken.tolist()) == list(range(num_eligible))
  np.testing.assert_array_equal(picks.indices[num_eligible:], -1)
  np.testing.assert_array_equal(picks.values[num_eligible:], -np.inf)


def test_an_empty_pool_gives_padding_only():
  picks = batch_bald(KEY, np.zeros((3, 0, 4), np.float32), 2)
  np.testing.assert_array_equal(picks.indices, [-1, -1])
  np.testing.assert_array_equal(picks.values, [-np.inf, -np.inf])


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_what_is_no_prediction_is_never_picked_and_spoils_nothing(bad):
  mc_logits = linear_logits(10, 40, 3)
  best = int(draw_seven(mc_logits).indices[0])
  spoilt = mc_logits.copy()
  spoilt[4, best, 0] = bad
  picks = draw_seven(spoilt)
  without = draw_seven(mc_logits, eligible=np.arange(40) != best)
  np.testing.assert_array_equal(picks.indices, without.indices)
  np.testing.assert_allclose(picks.values, without.values, atol=1e-6)


def test_classes_that_cannot_be_change_nothing():
  mc_logits = linear_logits(10, 20, 3)
  mc_logits[3, :, 1] = -np.inf
  impossible = np.full((10, 20, 1), -np.inf, np.float32)
  wider = np.concatenate([mc_logits, impossible], axis=-1)
  picks = batch_bald(KEY, mc_logits, 5)
  same = batch_bald(KEY, wider, 5)
  assert np.isfinite(picks.values).all()
  np.testing.assert_array_equal(picks.indices, same.indices)
  np.testing.assert_allclose(picks.values, same.values, atol=1e-5)
  assert np.isfinite(draw_seven(mc_logits).values).all()


def test_batches_of_sixty_sure_points_do_not_underflow():
  # Each label is worth up to 40 nats: their product is exp(-2400).
  bits = np.random.default_rng(0).integers(0, 2, (16, 70))
  mc_logits = 40.0 * np.eye(2, dtype=np.float32)[bits]
  picks = batch_bald(KEY, mc_logits, 60, num_samples=160)
  assert len(set(picks.indices.tolist())) == 60
  assert np.isfinite(picks.values).all() and (picks.values > -1e-5).all()
  # Sixteen networks are all there is to tell apart.
  np.testing.assert_allclose(np.sum(picks.values), np.log(16), atol=1e-3)


def test_large_batches_of_unsure_points_approach_the_entropy_of_the_sample():
  mc_logits = linear_logits(12, 90, 4)
  picks = batch_bald(KEY, mc_logits, 80, num_samples=600)
  assert np.isfinite(picks.values).all() and (picks.values > -1e-5).all()
  np.testing.assert_allclose(np.sum(picks.values), np.log(12), atol=0.05)


def test_float64_agrees_with_float32():
  mc_logits = linear_logits(10, 40, 3)
  single = batch_bald(KEY, mc_logits, 5)
  with jax.enable_x64(True):
    double = batch_bald(KEY, jnp.asarray(mc_logits, jnp.float64), 5)
    assert double.indices.dtype == jnp.int32
    assert double.values.dtype == jnp.float64
  np.testing.assert_array_equal(single.indices, double.indices)
  np.testing.assert_allclose(single.values, double.values, atol=3e-6)


def test_memory_is_bounded_by_the_table_and_a_chunk():
  def extra_memory(num_points, chunk):
    mc_logits = jax.ShapeDtypeStruct((20, num_points, 5), jnp.float32)
    pick = functools.partial(batch_bald, k=6, num_samples=4000, chunk=chunk)
    compiled = jax.jit(pick).lower(KEY, mc_logits).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  pool = 4 * 20 * 2000 * 5
  table = 4 * 4000 * (20 + batch_bald_module._NUM_GROUPS)
  products = 4 * 32 * 5 * 1000
  # The pool is laid out anew, with its log-probabilities on the way.
  assert extra_memory(2000, 32) < 4 * pool + 6 * table + 4 * products
  # [N, M, C] would be 160 MB, and [chunk, M, C] of the larger chunk 80 MB.
  assert extra_memory(2000, 1000) < 4 * 1000 * 5 * 1000 * 2 + 6 * table


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'k': 0}, 'k is 0'),
    ({'num_samples': 0}, 'num_samples is 0'),
    ({'chunk': -1}, 'chunk is -1'),
    ({'num_samples': 9}, 'num_samples is 9; after 3 picks of 3 classes'),
  ],
)
def test_a_number_out_of_range_is_an_error_that_names_it(options, message):
  options = {'k': 4, **options}
  with pytest.raises(ValueError, match=message):
    kernels.batch_bald(KEY, jnp.zeros((10, 6, 3)), **options)


def test_no_sample_is_an_error_that_names_the_shape():
  with pytest.raises(ValueError, match=r'\[0, 6, 3\]'):
    kernels.batch_bald(KEY, jnp.zeros((0, 6, 3)), 2)


def test_arguments_of_the_wrong_kind_are_refused():
  with pytest.raises(ValueError, match='mc_logits must be float'):
    kernels.batch_bald(KEY, jnp.zeros((6, 3)), 2)
  with pytest.raises(ValueError, match='eligible must be a bool mask'):
    kernels.batch_bald(KEY, jnp.zeros((2, 6, 3)), 2, eligible=jnp.ones(5, bool))
  with pytest.raises(ValueError, match='eligible must be a bool mask'):
    kernels.batch_bald(KEY, jnp.zeros((2, 6, 3)), 2, eligible=jnp.ones(6))


def test_the_kernel_lowers_for_cpu_cuda_and_tpu():
  platforms = ('cpu', 'cuda', 'tpu')
  kernel = jax.jit(functools.partial(kernels.batch_bald, k=4, num_samples=20))
  exported = jax.export.export(kernel, platforms=platforms)(
    KEY, jnp.zeros((5, 8, 3))
  )
  assert exported.platforms == platforms

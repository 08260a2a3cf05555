"""Gradients of single examples: of the last layer, and of all parameters."""

import functools
import operator

import chex
import flax.linen as nn
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util

from al_jax import kernels

properties = hypothesis.settings(deadline=None, max_examples=60)
some_logits = hnp.arrays(
  np.float32,
  (5, 4),
  elements=st.floats(-60, 60, width=32, allow_subnormal=False),
)
some_embedding = hnp.arrays(
  np.float32, (5, 3), elements=st.floats(-9, 9, width=32, allow_subnormal=False)
)


def cross_entropy(weights, hidden, label):
  return -jax.nn.log_softmax(weights @ hidden)[label]


def reference_factors(logits, embedding):
  """By the formula, in double precision."""
  logits = np.asarray(logits, np.float64)
  probs = np.exp(logits - logits.max(axis=1, keepdims=True))
  probs /= probs.sum(axis=1, keepdims=True)
  predicted = np.argmax(logits, axis=1)
  rows = np.arange(len(logits))
  probs[rows, predicted] = 0
  probs[rows, predicted] = -probs.sum(axis=1)
  return probs, np.asarray(embedding, np.float64)


def loop_of_gradients(loss_fn, params, batch):
  num_examples = len(jax.tree.leaves(batch)[0])
  gradient = jax.jit(jax.grad(loss_fn))
  rows = []
  for i in range(num_examples):
    example = jax.tree.map(operator.itemgetter(i), batch)
    rows.append(flatten_util.ravel_pytree(gradient(params, example))[0])
  return np.stack(rows)


def test_factors_are_the_gradient_by_the_last_layer(rng):
  weights = jnp.float32(rng.normal(size=(4, 3)))
  embedding = jnp.float32(rng.normal(size=(6, 3)))
  logits = embedding @ weights.T
  gradients = jax.vmap(jax.grad(cross_entropy), (None, 0, 0))(
    weights, embedding, jnp.argmax(logits, axis=1)
  )
  np.testing.assert_allclose(
    kernels.gradient_embedding(logits, embedding),
    gradients.reshape(6, -1),
    atol=1e-5,
  )


@hypothesis.given(some_logits, some_embedding)
@properties
def test_factors_equal_the_formula_however_sure_the_model_is(logits, embedding):
  factors = jax.jit(kernels.gradient_factors)(logits, embedding)
  left, right = reference_factors(logits, embedding)
  np.testing.assert_allclose(factors.left, left, rtol=1e-4, atol=1e-36)
  np.testing.assert_array_equal(factors.right, right)


@hypothesis.given(some_logits, some_embedding)
@properties
def test_no_label_has_a_shorter_gradient_than_the_predicted_one(
  logits, embedding
):
  lengths = kernels.squared_norms(kernels.gradient_factors(logits, embedding))
  probs = np.exp(np.float64(logits - logits.max(axis=1, keepdims=True)))
  probs /= probs.sum(axis=1, keepdims=True)
  for label in range(4):
    others = np.delete(probs, label, axis=1)
    residuals = np.square(others).sum(axis=1) + np.square(others.sum(axis=1))
    of_label = residuals * np.square(np.float64(embedding)).sum(axis=1)
    # 1e-36: what float32 makes 0.
    assert (lengths <= of_label * (1 + 1e-5) + 1e-36).all()


def test_the_embedding_has_the_norms_and_distances_of_its_factors(rng):
  logits = jnp.float32(3 * rng.normal(size=(8, 4)))
  embedding = jnp.float32(rng.normal(size=(8, 5)))
  factors = kernels.gradient_factors(logits, embedding)
  rows = kernels.gradient_embedding(logits, embedding)
  for measure in (
    kernels.squared_norms,
    lambda points: kernels.squared_distances(points, points),
  ):
    np.testing.assert_allclose(
      measure(factors), measure(rows), rtol=1e-5, atol=1e-7
    )


def test_one_class_has_no_gradient_and_a_tie_goes_to_the_first():
  one = kernels.gradient_factors(jnp.ones((2, 1)), jnp.ones((2, 3)))
  np.testing.assert_array_equal(one.left, [[0], [0]])
  tie = kernels.gradient_factors(jnp.zeros((1, 4)), jnp.ones((1, 3)))
  np.testing.assert_allclose(tie.left, [[-0.75, 0.25, 0.25, 0.25]])


def test_what_is_not_a_prediction_gives_nan_in_its_row_only():
  logits = jnp.array([[0.0, jnp.nan], [0.0, -jnp.inf], [jnp.inf, 0.0]])
  left, _ = kernels.gradient_factors(logits, jnp.ones((3, 2)))
  np.testing.assert_array_equal(np.isnan(left).all(axis=1), [True, False, True])
  np.testing.assert_array_equal(left[1], [0, 0])


def test_logits_and_embedding_of_different_lengths_are_refused():
  with pytest.raises(ValueError, match=r'logits .* and embedding'):
    kernels.gradient_factors(jnp.zeros((3, 2)), jnp.zeros((4, 2)))


def two_layers(params, example):
  inputs, label = example
  hidden = jnp.tanh(params['first'] @ inputs)
  return cross_entropy(params['second'], hidden, label)


def two_layer_problem(rng, num_examples):
  params = {
    'first': jnp.float32(rng.normal(size=(6, 5))),
    'second': jnp.float32(rng.normal(size=(3, 6))),
  }
  batch = (
    jnp.float32(rng.normal(size=(num_examples, 5))),
    jnp.arange(num_examples) % 3,
  )
  return params, batch


@pytest.mark.parametrize('chunk', [1, 4, 10, 64])
def test_every_row_is_the_gradient_of_its_example(rng, chunk):
  params, batch = two_layer_problem(rng, 10)
  rows = kernels.per_example_gradients(two_layers, params, batch, chunk=chunk)
  np.testing.assert_allclose(
    rows, loop_of_gradients(two_layers, params, batch), atol=1e-6
  )


class Convolutions(nn.Module):
  """What may be written as products, and what may not."""

  @nn.compact
  def __call__(self, inputs):
    hidden = nn.Conv(4, (3, 3), strides=2)(inputs)
    hidden = nn.relu(nn.GroupNorm(2)(hidden))
    hidden = nn.Conv(4, (3, 2), padding='VALID', kernel_dilation=2)(hidden)
    hidden = nn.Conv(4, (3, 3), feature_group_count=4)(hidden)
    hidden = nn.ConvTranspose(2, (2, 2), strides=(2, 2))(hidden)
    return nn.Dense(3)(hidden.mean((1, 2)))


def test_gradients_pass_through_convolutions_of_every_kind(rng):
  inputs = jnp.float32(rng.normal(size=(5, 13, 12, 2)))
  net = Convolutions()
  variables = jax.jit(net.init)(jax.random.key(0), inputs[:1])

  def loss_fn(variables, example):
    inputs, label = example
    logits = jax.jit(net.apply)(variables, inputs[None])[0]
    return -jax.nn.log_softmax(logits)[label]

  batch = (inputs, jnp.arange(5) % 3)
  rows = jax.jit(functools.partial(kernels.per_example_gradients, loss_fn))(
    variables, batch
  )
  np.testing.assert_allclose(
    rows, loop_of_gradients(loss_fn, variables, batch), atol=2e-6
  )


def test_channels_may_come_first(rng):
  params = jnp.float32(rng.normal(size=(4, 2, 3, 3)))
  inputs = jnp.float32(rng.normal(size=(3, 2, 6, 7)))

  def loss_fn(kernel, image):
    outputs = jax.lax.conv(image[None], kernel, (2, 1), 'SAME')
    return jnp.sum(jnp.sin(outputs) ** 3)

  np.testing.assert_allclose(
    kernels.per_example_gradients(loss_fn, params, inputs),
    loop_of_gradients(loss_fn, params, inputs),
    atol=1e-4,
  )


def test_a_sketch_is_linear_signed_and_shared_by_all_rows(rng):
  params, batch = two_layer_problem(rng, 6)
  sketch = functools.partial(
    kernels.per_example_gradients, two_layers, params, sketch_dim=16
  )
  rows = kernels.per_example_gradients(two_layers, params, batch)
  sketched = sketch(batch, key=jax.random.key(0))
  chex.assert_shape(sketched, (6, 16))
  # Read off where each parameter goes: gradients that are unit vectors.
  units = kernels.per_example_gradients(
    jnp.vdot,
    jnp.zeros(rows.shape[1]),
    jnp.eye(rows.shape[1]),
    sketch_dim=16,
    key=jax.random.key(0),
  )
  np.testing.assert_array_equal(np.abs(units).sum(axis=1), 1)
  np.testing.assert_array_equal((units != 0).sum(axis=1), 1)
  assert (units == 1).any() and (units == -1).any()
  np.testing.assert_allclose(sketched, rows @ units, atol=1e-5)


def test_a_sketch_keeps_inner_products_on_average(rng):
  rows = jnp.float32(rng.normal(size=(2, 40)))
  # The gradient of an inner product by one of its vectors is the other.
  sketches = jax.jit(
    jax.vmap(
      lambda key: kernels.per_example_gradients(
        jnp.vdot, jnp.zeros(40), rows, sketch_dim=8, key=key
      )
    )
  )(jax.random.split(jax.random.key(0), 20_000))
  products = np.einsum('tid,tjd->tij', sketches, sketches)
  error = products.std(axis=0) / np.sqrt(len(products))
  deviation = np.abs(products.mean(axis=0) - rows @ rows.T)
  assert (deviation < 4 * error).all()


def test_memory_does_not_grow_with_the_pool():
  params = jnp.zeros((300, 20))

  def loss_fn(params, inputs):
    return jnp.sum(jnp.tanh(inputs @ params))

  def extra(num_points):
    batch = jax.ShapeDtypeStruct((num_points, 300), jnp.float32)
    kernel = jax.jit(
      functools.partial(
        kernels.per_example_gradients, loss_fn, sketch_dim=64, chunk=10
      )
    )
    compiled = kernel.lower(params, batch, key=jax.random.key(0)).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  # Room for the result itself, which may be laid out twice.
  assert extra(2_000) - extra(200) < 2 * 4 * 64 * 1_800
  assert extra(2_000) < 4 * 2_000 * 6_000 / 10


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'chunk': 0}, 'chunk is 0'),
    ({'sketch_dim': 4}, 'sketch_dim is given and key is None'),
    ({'key': jax.random.key(0)}, 'key is given and sketch_dim is None'),
    ({'sketch_dim': 0, 'key': jax.random.key(0)}, 'sketch_dim is 0'),
  ],
)
def test_options_that_make_no_sense_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    kernels.per_example_gradients(
      jnp.vdot, jnp.zeros(3), jnp.zeros((2, 3)), **options
    )


def test_the_kernels_lower_for_cpu_cuda_and_tpu(rng):
  platforms = ('cpu', 'cuda', 'tpu')
  params, batch = two_layer_problem(rng, 4)

  @jax.jit
  def kernel(params, batch, key):
    rows = kernels.per_example_gradients(
      two_layers, params, batch, sketch_dim=8, key=key
    )
    return kernels.gradient_embedding(rows[:, :3], rows)

  exported = jax.export.export(kernel, platforms=platforms)(
    params, batch, jax.random.key(0)
  )
  assert exported.platforms == platforms

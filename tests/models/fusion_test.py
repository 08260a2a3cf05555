"""A network for several modalities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import models, tasks
from al_jax.interfaces import Facts

CLASSES = 3
SHAPES = {
  'face': ((5,), np.float32),
  'lips': ((9, 6, 2), np.uint8),
  'voice': ((4,), np.float32),
  'voice_present': ((1,), np.uint8),
}
SMALL = {'widths': (6, 7), 'joint_widths': (8,)}
ROWS = 6
# Of these rows the voice is there.
PRESENT = np.array([1, 0, 1, 1, 0, 1], np.uint8)


def facts_of(names=tuple(SHAPES), mean=2.0, std=3.0):
  example = {
    name: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    for name, (shape, dtype) in SHAPES.items()
    if name in names
  }

  def per_modality(value, otherwise):
    return {
      name: np.full(
        leaf.shape[-1:],
        otherwise if name.endswith('_present') else value,
        np.float32,
      )
      for name, leaf in example.items()
    }

  return Facts(
    num_examples=100,
    task=tasks.numbered(CLASSES),
    label_budget=10,
    example=example,
    mean=per_modality(mean, 0),
    std=per_modality(std, 1),
  )


def inputs_of(names=tuple(SHAPES), seed=0):
  rng = np.random.default_rng(seed)
  made = {
    name: (20 * rng.random((ROWS, *shape))).astype(dtype)
    for name, (shape, dtype) in SHAPES.items()
  }
  made['voice_present'] = PRESENT[:, np.newaxis]
  return {name: made[name] for name in names}


def built(names=tuple(SHAPES), **options):
  network = models.build('fusion', facts_of(names), **{**SMALL, **options})
  return network, network.init(jax.random.key(1))


def relu(values):
  return np.maximum(values, 0)


def dense(params, values):
  return values @ np.asarray(params['kernel']) + np.asarray(params['bias'])


def test_it_is_what_is_written_out():
  network, variables = built()
  inputs, params = inputs_of(), variables['params']

  def encoded(name):
    values = (inputs[name].astype(np.float32).reshape(ROWS, -1) - 2) / 3
    encoder = params[f'encoder_{name}']
    return relu(
      dense(encoder['hidden_2'], relu(dense(encoder['hidden_1'], values)))
    )

  says = PRESENT[:, np.newaxis].astype(np.float32)
  joined = np.concatenate(
    [encoded('face'), encoded('lips'), says, encoded('voice') * says], axis=1
  )
  embedding = relu(dense(params['joint_1'], joined))
  output = network.apply(variables, inputs)
  np.testing.assert_allclose(output.embedding, embedding, atol=1e-4)
  np.testing.assert_allclose(
    output.predictions, dense(params['head'], embedding), atol=1e-4
  )
  for name in ('face', 'lips', 'voice'):
    np.testing.assert_allclose(
      output.extras[f'encoded_{name}'], encoded(name), atol=1e-4
    )
  np.testing.assert_array_equal(output.extras['joint_1'], output.embedding)


def test_by_default_it_is_as_wide_as_specified():
  network = models.build('fusion', facts_of())
  params = jax.eval_shape(network.init, jax.random.key(0))['params']
  shapes = {
    (group, layer): leaf['kernel'].shape
    for group, layers in params.items()
    for layer, leaf in (
      layers.items() if group.startswith('encoder') else [('', layers)]
    )
  }
  assert shapes == {
    ('encoder_face', 'hidden_1'): (5, 128),
    ('encoder_face', 'hidden_2'): (128, 128),
    ('encoder_lips', 'hidden_1'): (9 * 6 * 2, 128),
    ('encoder_lips', 'hidden_2'): (128, 128),
    ('encoder_voice', 'hidden_1'): (4, 128),
    ('encoder_voice', 'hidden_2'): (128, 128),
    # One more than three embeddings: whether the voice is there.
    ('joint_1', ''): (3 * 128 + 1, 256),
    ('head', ''): (256, CLASSES),
  }


@pytest.mark.parametrize('key', [None, jax.random.key(3)], ids=['off', 'on'])
def test_what_a_missing_modality_holds_changes_nothing(key):
  network, variables = built(dropout=0.3)
  inputs = inputs_of()
  before = network.apply(variables, inputs, key=key).predictions
  inputs['voice'] = inputs['voice'] + 1000
  after = network.apply(variables, inputs, key=key).predictions
  changed = np.any(np.asarray(before != after), axis=1)
  np.testing.assert_array_equal(changed, PRESENT > 0)


def test_a_modality_that_is_there_and_says_nothing_is_not_a_missing_one():
  network, variables = built()
  # Nothing comes out of this encoder: only the bit tells rows apart.
  encoder = variables['params']['encoder_voice']['hidden_2']
  encoder['kernel'] = jnp.zeros_like(encoder['kernel'])
  inputs = inputs_of()
  has = {**inputs, 'voice_present': np.ones((ROWS, 1), np.uint8)}
  lacks = {**inputs, 'voice_present': np.zeros((ROWS, 1), np.uint8)}
  with_it, without = (
    network.apply(variables, batch).predictions for batch in (has, lacks)
  )
  assert jnp.all(jnp.any(with_it != without, axis=1))


def losses_of(network, inputs):
  def loss(params):
    output, _ = network.train({'params': params}, inputs, jax.random.key(2))
    return jnp.sum(jnp.sin(output.predictions))

  return loss


def test_gradients_reach_every_layer_and_no_encoder_of_what_is_missing():
  network, variables = built()
  inputs = inputs_of()
  gradient = jax.jit(jax.grad(losses_of(network, inputs)))(variables['params'])
  assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
  nobody = {**inputs, 'voice_present': np.zeros((ROWS, 1), np.uint8)}
  gradient = jax.jit(jax.grad(losses_of(network, nobody)))(variables['params'])
  for name, layers in gradient.items():
    moves = any(bool(jnp.any(leaf)) for leaf in jax.tree.leaves(layers))
    assert moves == (name != 'encoder_voice')


def test_the_order_of_modalities_means_nothing():
  network, variables = built()
  other, others = built(tuple(reversed(SHAPES)))
  assert jax.tree.structure(variables) == jax.tree.structure(others)
  jax.tree.map(np.testing.assert_array_equal, variables, others)
  inputs = inputs_of()
  np.testing.assert_array_equal(
    network.apply(variables, inputs).predictions,
    other.apply(others, dict(reversed(inputs.items()))).predictions,
  )


def test_without_a_modality_it_is_built_without_it():
  network, variables = built(('face', 'lips'))
  assert set(variables['params']) == {
    'encoder_face',
    'encoder_lips',
    'joint_1',
    'head',
  }
  assert variables['params']['joint_1']['kernel'].shape == (7 + 7, 8)
  with pytest.raises(ValueError, match=r"\['face'\]; .* \['face', 'lips'\]"):
    network.apply(variables, inputs_of(('face',)))


def test_one_modality_and_one_array_are_the_same_network():
  facts = facts_of(('face',))
  values = inputs_of(('face',))['face']
  plain = facts._replace(
    example=facts.example['face'],
    mean=facts.mean['face'],
    std=facts.std['face'],
  )
  named, alone = (
    models.build('fusion', given, **SMALL) for given in (facts, plain)
  )
  variables = named.init(jax.random.key(1))
  params = dict(variables['params'])
  params['encoder_inputs'] = params.pop('encoder_face')
  np.testing.assert_array_equal(
    named.apply(variables, {'face': values}).predictions,
    alone.apply({'params': params}, values).predictions,
  )


def test_dropout_is_off_in_evaluation_and_a_network_per_key():
  network, variables = built(dropout=0.4)
  inputs = jax.tree.map(lambda leaf: leaf[:1].repeat(4, 0), inputs_of())
  plain = network.apply(variables, inputs).predictions
  undropped, _ = built()
  np.testing.assert_array_equal(
    plain, undropped.apply(variables, inputs).predictions
  )
  one, other = (
    network.apply(variables, inputs, key=jax.random.key(seed)).predictions
    for seed in (1, 2)
  )
  assert jnp.any(one != plain) and jnp.any(one != other)
  # One key is one network for the whole batch; training drops per example.
  np.testing.assert_allclose(one, one[:1].repeat(4, 0), atol=1e-5)
  trained, _ = network.train(variables, inputs, jax.random.key(1))
  assert jnp.any(trained.predictions != trained.predictions[:1].repeat(4, 0))


def test_convolutions_are_for_pictures_alone():
  network = models.build('fusion', facts_of(), **SMALL, encoder='conv')
  variables = jax.jit(network.init)(jax.random.key(1))
  params = variables['params']
  assert params['encoder_lips']['conv_1']['kernel'].shape == (3, 3, 2, 32)
  assert params['encoder_lips']['conv_2']['kernel'].shape == (3, 3, 32, 64)
  # Two pools leave 2 x 1 of 9 x 6 pixels.
  assert params['encoder_lips']['hidden_1']['kernel'].shape == (2 * 64, 6)
  assert set(params['encoder_face']) == {'hidden_1', 'hidden_2'}
  inputs = inputs_of()
  gradient = jax.jit(jax.grad(losses_of(network, inputs)))(params)
  assert jnp.any(gradient['encoder_lips']['conv_1']['kernel'] != 0)
  moved = {**inputs, 'lips': np.roll(inputs['lips'], 1, axis=1)}
  apply = jax.jit(network.apply)
  assert jnp.any(
    apply(variables, inputs).predictions != apply(variables, moved).predictions
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'encoder': 'cnn'}, "encoder 'cnn' is not known.* Known: conv, dense"),
    ({'widths': 3}, 'widths is 3; it must be a list'),
    ({'joint_widths': (8, 0)}, 'a width in joint_widths is 0'),
    ({'dropout': 1}, 'dropout is 1; .* below 1'),
    ({'joint_width': (8,)}, "Did you mean 'joint_widths'"),
  ],
)
def test_a_bad_option_is_named_with_what_is_allowed(options, message):
  with pytest.raises(ValueError, match=message):
    models.build('fusion', facts_of(), **options)


def test_convolutions_need_pictures_that_are_large_enough():
  with pytest.raises(
    ValueError, match=r"needs pictures .* 4 x 4 .*'face': \(5"
  ):
    models.build('fusion', facts_of(('face',)), encoder='conv')
  facts = facts_of(('lips',))
  small = {'lips': jax.ShapeDtypeStruct((9, 3, 2), jnp.uint8)}
  with pytest.raises(ValueError, match=r"needs pictures .*'lips': \(9, 3, 2\)"):
    models.build('fusion', facts._replace(example=small), encoder='conv')


def test_inputs_that_no_network_takes_are_refused():
  facts = facts_of()
  for name in set(models.MODELS) - {'fusion'}:
    with pytest.raises(ValueError, match=f"'{name}' takes one array; .*'face'"):
      models.build(name, facts)
  nested = facts._replace(example={'all': facts.example})
  with pytest.raises(ValueError, match='one array or a dict of named arrays'):
    models.build('fusion', nested)
  network, variables = built()
  inputs = inputs_of()
  inputs['face'] = inputs['face'][:, :4]
  with pytest.raises(
    ValueError, match=r"inputs 'face' have shape \(6, 4\); .*5"
  ):
    network.apply(variables, inputs)

"""What every network keeps to behind the seam, and what each is made of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import models, tasks
from al_jax.interfaces import Facts

CLASSES = 5


def facts_of(shape, *, classes=CLASSES, dtype='uint8'):
  return Facts(
    num_examples=100,
    task=tasks.numbered(classes),
    label_budget=10,
    example=jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)),
    mean=np.float32(120),
    std=np.full(shape[-1:], 60, np.float32),
  )


# Name, options, shape of an example: small, and every kind of layer.
CASES = {
  'mlp': ('mlp', {'widths': (6, 7), 'dropout': 0.5}, (4, 3)),
  'mlp batch': ('mlp', {'norm': 'batch', 'unit_embedding': True}, (4, 3)),
  'mnist_cnn': ('mnist_cnn', {}, (9, 8, 1)),
  'lenet': ('lenet', {}, (17, 16, 1)),
  'cnn': ('cnn', {'channels': (4, 6), 'dropout': 0.5}, (9, 8, 1)),
  'cnn batch': (
    'cnn',
    {'channels': (4,), 'norm': 'batch', 'summary': 'positions'},
    (4, 4, 3),
  ),
  'resnet18 batch': ('resnet18', {'width': 8}, (8, 8, 3)),
  'resnet18 group': (
    'resnet18',
    {'width': 8, 'norm': 'group', 'dropout': 0.3},
    (8, 8, 3),
  ),
  'vgg11': ('vgg11', {'dropout': 0.5}, (32, 32, 1)),
  'cnn13': ('cnn13', {'width': 8}, (28, 28, 1)),
}


class Case:
  """A network with its variables, and jitted functions, made once."""

  def __init__(self, name, options, shape):
    self.shape = shape
    self.facts = facts_of(shape)
    self.network = models.build(name, self.facts, **options)
    self.variables = jax.jit(self.network.init)(jax.random.key(0))
    # Statistics as after some training, so that they matter.
    if 'statistics' in self.variables:
      self.variables['statistics'] = jax.tree.map(
        lambda leaf: leaf + 0.25, self.variables['statistics']
      )
    self.apply = jax.jit(self.network.apply)
    self.train = jax.jit(self.network.train)
    rng = np.random.default_rng(1)
    self.inputs = rng.integers(0, 256, (4, *shape)).astype(np.uint8)

  @property
  def has_dropout(self):
    plain, dropped = (
      self.apply(self.variables, self.inputs, key=key).predictions
      for key in (None, jax.random.key(7))
    )
    return bool(jnp.any(plain != dropped))


@functools.cache
def a_case(name):
  return Case(*CASES[name])


@pytest.fixture(params=CASES)
def case(request):
  return a_case(request.param)


def close(result, wanted, atol=1e-5):
  jax.tree.map(
    lambda got, want: np.testing.assert_allclose(got, want, atol=atol, rtol=0),
    result,
    wanted,
  )


def test_outputs_have_the_shapes_of_the_seam(case):
  output = case.apply(case.variables, case.inputs)
  assert output.predictions.shape == (4, CLASSES)
  assert output.predictions.dtype == jnp.float32
  assert output.embedding.ndim == 2
  assert output.extras
  assert all(len(extra) == 4 for extra in output.extras.values())


@pytest.mark.parametrize('key', [None, jax.random.key(3)], ids=['off', 'on'])
def test_embedding_is_the_input_of_the_last_layer(case, key):
  output = case.apply(case.variables, case.inputs, key=key)
  head = case.variables['params']['head']
  kernel = head.get('kernel')
  if kernel is None:
    direction = head['direction']
    length = jnp.linalg.norm(direction, axis=0, keepdims=True)
    kernel = head['gain'].reshape(1, -1) * direction / length
  logits = output.embedding @ kernel + head['bias'].reshape(1, -1)
  close(logits, output.predictions)


@pytest.mark.parametrize('name', ['mlp', 'mnist_cnn'])
def test_jit_changes_no_number(name):
  case = a_case(name)
  close(
    case.network.apply(case.variables, case.inputs[:1]),
    case.apply(case.variables, case.inputs[:1]),
    atol=1e-4,
  )


def test_uint8_and_float32_inputs_agree(case):
  close(
    case.apply(case.variables, case.inputs.astype(np.float32)),
    case.apply(case.variables, case.inputs),
  )


def test_one_key_is_one_network_for_the_whole_batch(case):
  repeated = np.repeat(case.inputs[:1], 4, axis=0)
  output = case.apply(case.variables, repeated, key=jax.random.key(3))
  for row in range(1, 4):
    close(output.predictions[row], output.predictions[0], atol=1e-6)


def test_keys_differ_where_there_is_dropout_and_only_there(case):
  first, second = (
    case.apply(case.variables, case.inputs, key=jax.random.key(seed))
    for seed in (3, 4)
  )
  same = bool(jnp.all(first.predictions == second.predictions))
  assert same != case.has_dropout


@pytest.mark.parametrize('name', ['mlp', 'mnist_cnn', 'vgg11', 'cnn13'])
def test_training_drops_units_per_example(name):
  case = a_case(name)
  repeated = np.repeat(case.inputs[:1], 4, axis=0)
  output, _ = case.train(case.variables, repeated, jax.random.key(3))
  assert jnp.any(output.embedding[0] != output.embedding[1])


def test_training_moves_the_statistics_towards_the_batch(case):
  _, statistics = case.train(case.variables, case.inputs, jax.random.key(3))
  before = case.variables.get('statistics', {})
  assert jax.tree.structure(statistics) == jax.tree.structure(before)
  moved = jax.tree.map(lambda new, old: jnp.any(new != old), statistics, before)
  assert all(jax.tree.leaves(moved))


def test_variables_have_statistics_only_with_batch_norm():
  assert 'statistics' in a_case('resnet18 batch').variables
  for name in ('mlp', 'mnist_cnn', 'resnet18 group'):
    assert set(a_case(name).variables) == {'params'}


def test_an_mlp_is_normalised_before_it_is_rectified_and_embeds_at_length_1():
  case = a_case('mlp batch')
  params = jax.tree.map(np.asarray, case.variables['params'])
  output = case.apply(case.variables, case.inputs)
  hidden = ((case.inputs.astype(np.float32) - 120) / 60).reshape(4, -1)
  for layer in (1, 2):
    dense = params[f'hidden_{layer}']
    hidden = hidden @ dense['kernel'] + dense['bias']
    # As they are after `Case`: a mean of 0.25, a variance of 1.25.
    hidden = np.maximum((hidden - 0.25) / np.sqrt(1.25 + 1e-5), 0)
    close(output.extras[f'hidden_{layer}'], hidden)
  wanted = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
  close(output.embedding, wanted)
  head = params['head']
  close(output.predictions, wanted @ head['kernel'] + head['bias'])


def test_statistics_are_of_the_batch_as_in_the_formula():
  case = a_case('vgg11')
  _, statistics = case.train(case.variables, case.inputs, jax.random.key(3))
  first = case.variables['params']['Conv_0']
  images = (case.inputs.astype(np.float32) - 120) / 60
  activations = jax.lax.conv_general_dilated(
    images,
    first['kernel'],
    (1, 1),
    'SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  wanted = 0.9 * 0.25 + 0.1 * jnp.mean(activations, (0, 1, 2))
  close(statistics['BatchNorm_0']['mean'], wanted)


def test_padding_rows_change_no_real_row_and_no_statistic():
  case = a_case('resnet18 batch')
  real = np.array([True, False, True, True])
  results = []
  for filler in (0, 255):
    inputs = np.where(real.reshape(4, 1, 1, 1), case.inputs, filler)
    output, statistics = case.train(
      case.variables, inputs.astype(np.uint8), jax.random.key(3), real=real
    )
    results.append((output.predictions[real], statistics))
  close(*results)
  output, statistics = case.network.train(
    case.variables, case.inputs[real], jax.random.key(3)
  )
  # Another program, whose rounding 17 normalised layers enlarge.
  close((output.predictions, statistics), results[0], atol=1e-3)


def test_a_batch_of_padding_leaves_the_statistics_and_is_finite():
  case = a_case('resnet18 batch')
  output, statistics = case.train(
    case.variables,
    np.zeros_like(case.inputs),
    jax.random.key(3),
    real=np.zeros(4, bool),
  )
  assert jnp.all(jnp.isfinite(output.predictions))
  jax.tree.map(
    np.testing.assert_array_equal, statistics, case.variables['statistics']
  )


def test_evaluation_depends_on_no_other_row(case):
  alone = case.network.apply(case.variables, case.inputs[1:2]).predictions
  among = case.apply(case.variables, case.inputs).predictions
  close(alone, among[1:2], atol=1e-4)


def dense(inputs, outputs):
  return (inputs + 1) * outputs


def resnet18_size(width, classes, channels):
  """Two numbers of BatchNorm per channel; convolutions without bias."""

  def convolution(size, inputs, outputs):
    return size * size * inputs * outputs + 2 * outputs

  total = convolution(3, channels, width)
  inputs = width
  for stage in range(4):
    outputs = width * 2**stage
    total += convolution(3, inputs, outputs) + 3 * convolution(
      3, outputs, outputs
    )
    total += convolution(1, inputs, outputs) if inputs != outputs else 0
    inputs = outputs
  return total + dense(inputs, classes)


def vgg_size(widths, norm, classes, channels):
  total = 0
  for outputs in widths:
    total += 9 * channels * outputs + outputs
    total += 2 * outputs if norm else 0
    channels = outputs
  return total + dense(512, classes)


def cnn13_size(width, classes):
  """Bias and gain of every output, and two numbers of BatchNorm."""
  total, inputs = 0, 3
  for size, times in [(3, 1)] * 3 + [(3, 2)] * 3 + [(3, 4), (1, 2), (1, 1)]:
    outputs = times * width
    total += size * size * inputs * outputs + 4 * outputs
    inputs = outputs
  return total + dense(width, classes) + classes


VGG11 = (64, 128, 256, 256, 512, 512, 512, 512)
VGG16 = (64, 64, 128, 128) + 3 * (256,) + 6 * (512,)
MLP_SIZE = dense(784, 256) + dense(256, 256) + dense(256, 10)
CNN_SIZE = 16 * 32 + 32 + 16 * 32 * 32 + 32 + dense(3872, 128) + dense(128, 10)


@pytest.mark.parametrize(
  ('name', 'options', 'shape', 'size'),
  [
    ('mlp', {}, (28, 28, 1), MLP_SIZE),
    ('mlp', {'widths': ()}, (8, 8), dense(64, 10)),
    ('mnist_cnn', {}, (28, 28, 1), CNN_SIZE),
    # LeNet-5 without its scaling of pools, and all maps of `conv_2` seen.
    ('lenet', {}, (32, 32, 1), 61_706),
    ('resnet18', {}, (32, 32, 3), 11_173_962),
    ('resnet18', {'width': 16}, (32, 32, 3), resnet18_size(16, 10, 3)),
    ('resnet18', {'norm': 'group'}, (28, 28, 1), resnet18_size(64, 10, 1)),
    # PyTorch's count of the authors' network, whose second head is unused.
    ('cnn13', {}, (32, 32, 3), 3_125_908),
    ('cnn13', {'width': 32}, (28, 28, 1), cnn13_size(32, 10)),
    ('cnn13', {'norm': 'group'}, (32, 32, 3), cnn13_size(128, 10)),
    ('vgg11', {}, (32, 32, 3), vgg_size(VGG11, True, 10, 3)),
    ('vgg16', {'norm': 'none'}, (64, 48, 3), vgg_size(VGG16, False, 10, 3)),
  ],
)
def test_parameters_are_as_many_as_published(name, options, shape, size):
  network = models.build(name, facts_of(shape, classes=10), **options)
  variables = jax.eval_shape(network.init, jax.random.key(0))
  assert sum(leaf.size for leaf in jax.tree.leaves(variables['params'])) == size


@pytest.mark.parametrize(
  ('name', 'shape', 'width'),
  [
    ('cnn13', (28, 28, 1), 128),
    ('resnet18', (32, 32, 3), 512),
    ('vgg16', (64, 48, 3), 512),
  ],
)
def test_big_networks_embed_into_their_width(name, shape, width):
  network = models.build(name, facts_of(shape))
  variables = jax.eval_shape(network.init, jax.random.key(0))
  inputs = jax.ShapeDtypeStruct((2, *shape), jnp.uint8)
  output = jax.eval_shape(network.apply, variables, inputs)
  assert output.embedding.shape == (2, width)
  assert output.predictions.shape == (2, CLASSES)


def test_deep_networks_start_as_he_et_al_say():
  kernel = a_case('vgg11').variables['params']['Conv_7']['kernel']
  np.testing.assert_allclose(jnp.std(kernel), (2 / (9 * 512)) ** 0.5, rtol=0.01)


def test_an_mlp_may_start_as_in_torch_and_without_a_bias_of_the_head():
  options = {'widths': (50, 400), 'init': 'torch', 'head_bias': False}
  network = models.build('mlp', facts_of((2, 50)), **options)
  params = network.init(jax.random.key(0))['params']
  assert set(params['head']) == {'kernel'}
  for name, inputs in (('hidden_1', 100), ('hidden_2', 50), ('head', 400)):
    for leaf in params[name].values():
      bound = inputs**-0.5
      assert 0.9 * bound < jnp.max(jnp.abs(leaf)) <= bound
      # Of a uniform draw.
      np.testing.assert_allclose(jnp.std(leaf), bound / 3**0.5, rtol=0.2)


def test_mean_and_std_may_be_of_one_example():
  shape = (4, 3)
  facts = facts_of(shape)._replace(
    mean=np.arange(12.0).reshape(shape), std=np.full(shape, 2.0)
  )
  network = models.build('mlp', facts, widths=())
  variables = network.init(jax.random.key(0))
  inputs = np.arange(12, dtype=np.uint8).reshape(1, *shape)
  np.testing.assert_array_equal(
    network.apply(variables, inputs).embedding, np.zeros((1, 12))
  )


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('resnet81', {}, "Did you mean 'resnet18'"),
    ('mlp', {'width': (8,)}, "Did you mean 'widths'"),
    ('mlp', {'widths': (8, 0)}, 'a width in widths is 0'),
    ('mlp', {'dropout': 1.0}, r'dropout is 1\.0; .* at least 0 and below 1'),
    ('mlp', {'norm': 'group'}, 'Known: batch, none'),
    ('mlp', {'unit_embedding': 1}, 'unit_embedding is 1; it must be True'),
    ('mlp', {'init': 'torhc'}, "Did you mean 'torch'.*: lecun_normal, torch"),
    ('mlp', {'head_bias': 0}, 'head_bias is 0; it must be True or False'),
    ('mnist_cnn', {'dense_dropout': -0.1}, 'dense_dropout.*-0.1'),
    ('resnet18', {'norm': 'batchh'}, "Did you mean 'batch'"),
    ('resnet18', {'norm': 'none'}, 'Known: batch, group'),
    ('resnet18', {'width': 12}, 'multiple of 8; got 12'),
    ('resnet18', {'dropout': 1}, 'dropout is 1; .* at least 0 and below 1'),
    ('lenet', {'dropout': -1}, 'dropout is -1; .* at least 0 and below 1'),
    ('vgg11', {'norm': 'layer'}, 'Known: batch, group, none'),
    ('cnn13', {'norm': 'none'}, "norm 'none' is not known.*: batch, group"),
    ('cnn13', {'width': 12}, 'multiple of 8; got 12'),
    ('cnn13', {'width': 0.25}, r'width is 0\.25; .* whole number'),
    ('cnn13', {'dropout': 1}, 'dropout is 1; .* at least 0 and below 1'),
  ],
)
def test_a_bad_option_is_named_with_what_is_allowed(name, options, message):
  with pytest.raises(ValueError, match=message):
    models.build(name, facts_of((32, 32, 3)), **options)


@pytest.mark.parametrize(
  ('name', 'shape', 'smallest'),
  [
    ('mnist_cnn', (7, 8, 1), 8),
    ('mnist_cnn', (64,), 8),
    ('cnn13', (7, 32, 3), 8),
    ('cnn13', (32, 32), 8),
    ('lenet', (15, 32, 1), 16),
    ('resnet18', (16,), 8),
    ('resnet18', (28, 28), 8),
    ('vgg11', (28, 28, 1), 32),
    ('vgg16', (32, 31, 3), 32),
  ],
)
def test_inputs_that_do_not_fit_are_refused(name, shape, smallest):
  message = f'inputs of shape .*{shape[0]}.* at least {smallest} x {smallest}'
  with pytest.raises(ValueError, match=message):
    models.build(name, facts_of(shape))


@pytest.mark.parametrize('kind', CASES)
def test_heads_are_those_of_the_task(kind):
  name, options, shape = CASES[kind]
  facts = facts_of(shape)
  parts = {'class': facts.task, 'box': tasks.Box(scale=8)}
  network = models.build(
    name, facts._replace(task=tasks.Mixed(parts)), **options
  )

  def built_and_applied():
    variables = network.init(jax.random.key(0))
    inputs = jnp.zeros((2, *shape), jnp.uint8)
    return variables, network.apply(variables, inputs).predictions

  variables, predictions = jax.eval_shape(built_and_applied)
  assert {name: of.shape for name, of in predictions.items()} == {
    'class': (2, CLASSES),
    'box': (2, 4),
  }
  heads = {name for name in variables['params'] if name.startswith('head')}
  assert heads == {'head_class', 'head_box'}


def test_inputs_of_several_modalities_are_refused():
  facts = facts_of((4,))
  facts = facts._replace(example={'text': facts.example})
  with pytest.raises(ValueError, match=r"one array.*'text'"):
    models.build('mlp', facts)


def test_a_batch_of_another_shape_is_refused():
  case = a_case('mlp')
  with pytest.raises(ValueError, match=r'\(2, 3, 4\).*\(B, 4, 3\)'):
    case.network.apply(case.variables, np.zeros((2, 3, 4), np.uint8))

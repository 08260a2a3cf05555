"""The PyTorch side of the speed comparison is the same network."""

import jax
import numpy as np
import pytest

from al_jax import models, tasks
from al_jax.interfaces import Facts
from al_jax.models import generative

torch = pytest.importorskip('torch', reason='needs the extra benchmark')
reference = pytest.importorskip('experiments.benchmarks.torch_reference')


def of_torch(weight):
  """The weights of a layer in Flax's order of axes."""
  values = weight.detach().numpy()
  return values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T


@pytest.mark.parametrize(
  ('name', 'layers'),
  [
    ('mlp', ['hidden_1', 'hidden_2', 'head']),
    ('mnist_cnn', ['conv_1', 'conv_2', 'dense', 'head']),
  ],
)
def test_the_same_weights_give_the_same_logits(rng, name, layers):
  shape = (28, 28, 1)
  example = jax.ShapeDtypeStruct(shape, np.float32)
  facts = Facts(100, tasks.numbered(10), 10, example, 0.0, 1.0)
  network = models.build(name, facts)
  theirs = getattr(reference, name)().eval()
  weights = iter(theirs.parameters())
  params = {
    layer: {'kernel': of_torch(next(weights)), 'bias': of_torch(next(weights))}
    for layer in layers
  }
  if name == 'mnist_cnn':
    # PyTorch flattens channels first.
    kernel = params['dense']['kernel'].reshape(32, 11, 11, 128)
    params['dense']['kernel'] = kernel.transpose(1, 2, 0, 3).reshape(-1, 128)
  images = rng.normal(size=(3, *shape)).astype(np.float32)
  ours = jax.jit(network.apply)({'params': params}, images).predictions
  with torch.no_grad():
    logits = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2)))
  np.testing.assert_allclose(ours, logits.numpy(), atol=1e-5)


def test_the_step_learns(rng):
  inputs = torch.from_numpy(rng.normal(size=(16, 784)).astype(np.float32))
  targets = torch.arange(16) % 10
  step = reference.train_step(reference.mlp(), learning_rate=1e-2)
  losses = [float(step(inputs, targets)[0]) for _ in range(20)]
  assert losses[-1] < 0.5 * losses[0]
  assert int(step(inputs, targets)[1]) > 8


def test_the_autoencoder_is_the_same_network(rng):
  adversarial = pytest.importorskip('experiments.benchmarks.adversarial')
  shape = (28, 28, 1)
  example = jax.ShapeDtypeStruct(shape, np.float32)
  facts = Facts(100, tasks.numbered(10), 10, example, 0.0, 1.0)
  options = {'channels': (4, 8), 'latent': 3}
  ours = generative.autoencoder(facts, **options)
  theirs = adversarial.Autoencoder(shape, (4, 8), 3)
  found = jax.eval_shape(ours.init, jax.random.key(0))['params']
  assert sum(leaf.size for leaf in jax.tree.leaves(found)) == sum(
    weights.numel() for weights in theirs.parameters()
  )
  images = rng.normal(size=(3, *shape)).astype(np.float32)
  made = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2)))
  assert [tuple(of.shape) for of in made] == [(3, 3), (3, 3), (3, 1, 28, 28)]


def test_the_networks_of_bgadl_are_the_same():
  bgadl = pytest.importorskip('experiments.benchmarks.bgadl')
  shape, sizes = (28, 28, 1), ((4, 8), (8,), 3)
  example = jax.ShapeDtypeStruct(shape, np.uint8)
  facts = Facts(100, tasks.numbered(10), 10, example, 0.0, 1.0)
  nets = generative.acgan(
    facts, channels=sizes[0], widths=sizes[1], latent=sizes[2]
  )
  pairs = (
    (nets.encoder, bgadl.Encoder(shape, *sizes)),
    (nets.generator, bgadl.Generator(shape, *sizes)),
    (nets.discriminator, bgadl.Discriminator(shape, *sizes[:2])),
    (models.build('lenet', facts), bgadl.lenet(shape)),
  )
  for ours, theirs in pairs:
    found = jax.eval_shape(ours.init, jax.random.key(0))['params']
    assert sum(leaf.size for leaf in jax.tree.leaves(found)) == sum(
      weights.numel() for weights in theirs.parameters()
    )

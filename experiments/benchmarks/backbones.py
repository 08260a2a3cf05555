"""Compares published networks with PyTorch's: predictions and speed.

Run as `python -m experiments.benchmark backbones`. Needs PyTorch and
`pip install --no-deps torchvision efficientnet-lite-pytorch`.

Each network gets the random weights of PyTorch's. Before anything is timed, the
predictions of both must agree to 1e-4 of the largest prediction.
"""

import functools
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from al_jax import tasks
from al_jax.interfaces import Facts, ModelFns, PyTree
from al_jax.loop.stopwatch import Stopwatch
from al_jax.models.backbones import ARCHITECTURES
from al_jax.models.backbones.backbone import backbone
from al_jax.models.weights import fitting
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import in_turns

# Target, as a multiple of PyTorch's time, and the difference allowed.
_AT_MOST, _DIFFERENCE = 1.3, 1e-4
_BATCH, _CLASSES = 32, 1000


def measure() -> Iterator[Row]:
  """Times a forward pass and a step of each network."""
  for name in (
    *('alexnet', 'vgg16', 'resnet18', 'resnet50', 'densenet121'),
    *('googlenet', 'inception_v3', 'squeezenet1_1', 'tf_efficientnet_lite0'),
  ):
    yield from beside_torch(name)


def beside_torch(name: str, *, repeats: int = 3) -> Iterator[Row]:
  """Times a forward pass and a step in both frameworks.

  Args:
    name: name of the architecture.
    repeats: number of pairs of measurements.

  Yields:
    Rows; their seconds are those of 32 images.
  """
  torch.manual_seed(0)
  theirs = with_statistics(in_torch(name)).eval()
  size = ARCHITECTURES[name].size
  fns, variables = with_weights_of(name, theirs.state_dict())
  images = np.random.default_rng(0).normal(size=(_BATCH, size, size, 3))
  images = images.astype(np.float32)
  tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

  @jax.jit
  def forward(variables, images):
    return fns.apply(variables, images).predictions

  @torch.no_grad()
  def predicted():
    return theirs(tensor).numpy()

  difference = relative(np.asarray(forward(variables, images)), predicted())
  if difference > _DIFFERENCE:
    raise ValueError(f'{name} differs from PyTorch by {difference:.1e}.')

  def ours():
    clock = Stopwatch()
    forward(variables, images).block_until_ready()
    return clock.lap()

  def in_turn():
    clock = Stopwatch()
    predicted()
    return clock.lap()

  yield _row(
    f'{name}: forward; equal to {difference:.0e}', ours, in_turn, repeats
  )
  yield _row(
    f'{name}: a step of SGD',
    _our_step(fns, variables, images),
    _torch_step(theirs.train(), tensor),
    repeats,
  )


def _row(what, ours, theirs, repeats):
  first, seconds, against, ratio = in_turns(ours, theirs, repeats)
  return Row(
    what,
    seconds,
    against,
    "PyTorch's",
    ratio,
    compiling=first - seconds,
    at_most=_AT_MOST,
  )


def in_torch(name: str) -> nn.Module:
  """Makes PyTorch's network of that name, without auxiliary heads."""
  if name == 'tf_efficientnet_lite0':
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name('efficientnet-lite0')
  _declare_operators()
  from torchvision import models

  options = {}
  if name in ('googlenet', 'inception_v3'):
    options = {'aux_logits': False, 'init_weights': False}
  return getattr(models, name)(weights=None, **options)


@functools.cache
def _declare_operators():
  """Declares operators that torchvision lacks without its dependencies.

  No network here uses these operators.

  Returns:
    The library, which keeps them declared as long as it lives.
  """
  library = torch.library.Library('torchvision', 'DEF')
  for operator in ('nms', 'qnms'):
    library.define(
      f'{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor'
    )
  return library


def with_statistics(network: nn.Module) -> nn.Module:
  """Draws the parameters of normalisation, so that their errors would show."""
  with torch.no_grad():
    for layer in network.modules():
      if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.normal_(0, 0.1)
        layer.running_var.uniform_(0.5, 1.5)
        layer.weight.uniform_(0.5, 1.5)
        layer.bias.normal_(0, 0.1)
  return network


def with_weights_of(
  name: str, tensors: Mapping[str, torch.Tensor]
) -> tuple[ModelFns, PyTree]:
  """Returns al_jax's network, and PyTorch's weights for it."""
  size = ARCHITECTURES[name].size
  facts = Facts(
    num_examples=_BATCH,
    task=tasks.numbered(_CLASSES),
    label_budget=1,
    example=jax.ShapeDtypeStruct((size, size, 3), jnp.float32),
    mean=np.float32(0),
    std=np.float32(1),
  )
  fns = backbone(facts, architecture=name, mean=(0, 0, 0), std=(1, 1, 1))
  found = fitting.fitted(
    jax.eval_shape(fns.init, jax.random.key(0)),
    {key: tensor.numpy() for key, tensor in tensors.items()},
    ARCHITECTURES[name],
    called=name,
    where='PyTorch',
    keep_head=True,
  )
  return fns, jax.device_put(found.variables)


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
  """Returns the largest difference, as a share of the largest value."""
  return float(np.max(np.abs(found - wanted)) / np.max(np.abs(wanted)))


def _our_step(fns, variables, images):
  targets = jnp.arange(_BATCH)

  @jax.jit
  def step(variables, images, key):
    def loss(params):
      output, statistics = fns.train(
        {**variables, 'params': params}, images, key
      )
      log_probs = jax.nn.log_softmax(output.predictions)
      return -jnp.mean(log_probs[targets, targets]), statistics

    gradients, statistics = jax.grad(loss, has_aux=True)(variables['params'])
    params = jax.tree.map(
      lambda of, gradient: of - 1e-6 * gradient, variables['params'], gradients
    )
    return {'params': params, 'statistics': statistics}

  def timed():
    clock = Stopwatch()
    jax.block_until_ready(step(variables, images, jax.random.key(0)))
    return clock.lap()

  return timed


def _torch_step(network, tensor) -> Callable[[], float]:
  sgd = torch.optim.SGD(network.parameters(), lr=1e-6)
  targets = torch.arange(_BATCH)

  def timed():
    clock = Stopwatch()
    sgd.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(network(tensor), targets).backward()
    sgd.step()
    return clock.lap()

  return timed

"""A published network as a model: its trunk, and a head for the task."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from al_jax import errors
from al_jax.interfaces import Facts, ModelFns, ModelOutput
from al_jax.models import checks, common
from al_jax.models.backbones import ARCHITECTURES, layers
from al_jax.models.weights import files, fitting, hub

# How a trunk is trained.
TRUNKS = ('tuned', 'fixed')
# What pools and strides leave a pixel or more of, in all architectures.
_SMALLEST = 64
_LARGEST = 1024
_TRUNK = 'trunk'


class _PooledHead(nn.Module):
  """A 1x1 convolution with ReLU, and the mean of what it finds."""

  size: int

  @nn.compact
  def __call__(self, maps: jax.Array) -> jax.Array:
    return layers.pooled(nn.relu(nn.Dense(self.size, name='each')(maps)))


class Backbone(nn.Module):
  """The trunk of a published network, and the heads of a task.

  Attributes:
    trunk: see `Architecture`.
    outputs: numbers per example, see `Task.outputs`.
    size: height and width that images are resized to.
    dropout: share of the features that are dropped before the head.
    pools: see `Architecture`.
    is_fixed: the trunk is as in evaluation also in training.
  """

  trunk: nn.Module
  outputs: common.Outputs
  size: int
  dropout: float
  pools: bool
  is_fixed: bool

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> ModelOutput:
    """Normalised float32 [B, height, width, 1 or 3] to predictions."""
    images = _resized(images, self.size)
    features, extras = self.trunk(
      images, common.EVALUATION if self.is_fixed else how
    )
    if self.is_fixed:
      features = jax.lax.stop_gradient(features)
    embedding = layers.pooled(features) if self.pools else features
    layer = _PooledHead if self.pools else nn.Dense
    predictions = common.heads(
      self.outputs, common.dropout(features, self.dropout, how), layer
    )
    return ModelOutput(predictions, embedding, extras)


def backbone(
  facts: Facts,
  *,
  architecture: str,
  weights: str | None = None,
  trunk: str = 'tuned',
  dropout: float | None = None,
  size: int | None = None,
  mean: Sequence[float] | None = None,
  std: Sequence[float] | None = None,
  keep_head: bool = False,
) -> ModelFns:
  """A published network with a head for the task, from published weights.

  Images are resized to `size` and normalised as the weights expect, whatever
  the data set's own constants are.

  Args:
    facts: of the task: images of 1 or 3 channels, uint8, or float32 in 0 to 1.
    architecture: a name in `backbones.ARCHITECTURES`: `'resnet50'`,
      `'tf_efficientnet_lite0'`.
    weights: path of a `.safetensors`, an `.npz` or a PyTorch state dict, or
      `'hub:OWNER/NAME'`, see `weights.hub`; `'elsewhere'` if other weights
      replace those of the network in any case. If None, weights are drawn.
    trunk: `'tuned'`: all weights are trained; `'fixed'`: those of the head.
    dropout: share of the features that are dropped before the head; if None,
      as published.
    size: height and width of the images; if None, as published.
    mean: of the channels of images in 0 to 1; if None, as published.
    std: likewise.
    keep_head: begin with the published head, of as many classes as the task
      has, and not with one that is drawn.

  Returns:
    ModelFns. Extras: `stage_1`, ..., feature maps [B, height, width, channels].
    The embedding is what goes into the head, before dropout; that of
    `'squeezenet1_1'`, whose head comes before a mean, is a mean as well, so
    that gradient embeddings are not the gradients of its head.

  Raises:
    ValueError: a value that is not allowed, images of another kind, or weights
      of another network.
  """
  errors.check_name('architecture', architecture, ARCHITECTURES)
  errors.check_name('trunk', trunk, TRUNKS)
  errors.check_flag('keep_head', keep_head)
  published = ARCHITECTURES[architecture]
  size = published.size if size is None else size
  errors.check_number('size', size, int, least=_SMALLEST, most=_LARGEST)
  rate = published.dropout if dropout is None else dropout
  checks.check_rate('dropout', rate)
  if weights is None and (keep_head or trunk == 'fixed'):
    option = 'keep_head is True' if keep_head else "trunk is 'fixed'"
    raise ValueError(
      f'{option}, and there are no weights: set `weights` to a file.'
    )
  if keep_head and not isinstance(facts.task.outputs, int):
    raise ValueError(
      f'keep_head is True, and the task is {facts.task.describe()}: a '
      'published head is of classes alone.'
    )
  facts = _with_moments(facts, published, mean, std)
  made = Backbone(
    published.trunk(rate),
    facts.task.outputs,
    size,
    rate,
    published.pools,
    trunk == 'fixed',
  )
  fns = common.model_fns(made, facts)
  if weights not in (None, hub.ELSEWHERE):
    fns = _beginning_with(fns, published, architecture, weights, keep_head)
  return _with_fixed_trunk(fns) if trunk == 'fixed' else fns


def _resized(images: jax.Array, size: int) -> jax.Array:
  """Resizes images by linear interpolation."""
  batch, _, _, channels = images.shape
  images = jax.image.resize(
    images, (batch, size, size, channels), 'linear', antialias=True
  )
  # Grey ones have three channels once they are normalised by three constants,
  # and one when the weights are drawn.
  return jnp.repeat(images, 3, axis=-1) if channels == 1 else images


def _with_moments(facts, published, mean, std):
  """The facts, with the constants that the weights expect, in raw units."""
  checks.check_image('backbone', facts, smallest=1)
  channels = facts.example.shape[-1]
  if channels not in (1, 3):
    raise ValueError(
      f"model 'backbone' takes images of 1 or 3 channels, not of {channels}."
    )
  largest = 255.0 if facts.example.dtype == jnp.uint8 else 1.0
  found = np.asarray(facts.mean)
  if found.min() < 0 or found.max() > largest:
    raise ValueError(
      "model 'backbone' takes images of uint8, or of float32 from 0 to 1; the "
      f'mean of these is {found.mean():.4g}.'
    )
  published_mean, published_std = published.moments
  mean = _of_channels('mean', published_mean if mean is None else mean)
  std = _of_channels('std', published_std if std is None else std)
  if std.min() <= 0:
    raise ValueError(f'std is {std.tolist()}; it must be above 0.')
  if mean.min() < 0 or mean.max() > 1:
    raise ValueError(
      f'mean is {mean.tolist()}; it must be of images from 0 to 1.'
    )
  return facts._replace(mean=mean * largest, std=std * largest)


def _of_channels(name, values):
  """float32[3]."""
  try:
    found = np.asarray(values)
  except ValueError:
    found = np.zeros(())
  if found.shape != (3,) or found.dtype.kind not in 'fiu':
    raise ValueError(
      f'{name} is {values!r}; it must be three numbers, one for each channel.'
    )
  if not np.all(np.isfinite(found)):
    raise ValueError(f'{name} is {values!r}; it must be finite.')
  return found.astype(np.float32)


def _beginning_with(fns, published, architecture, where, keep_head):
  """The model, with the weights of a file in place of those drawn."""
  path = hub.locate(where)
  found = fitting.fitted(
    jax.eval_shape(fns.init, jax.random.key(0)),
    files.read(path),
    published,
    called=architecture,
    where=where,
    keep_head=keep_head,
  )
  logging.info(
    '%s: %d tensors of %s; left out: %s',
    *(where, len(found.used), architecture, found.summary or 'none'),
  )
  shapes = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), found.variables
  )

  def init(key):
    drawn = fns.init(key)
    # A call of the host, and not constants, which would be compiled: 7 s and
    # 2 GB for the weights of VGG-16.
    read = jax.pure_callback(lambda: found.variables, shapes)
    params = {**drawn['params'], **read['params']}
    return {**drawn, **read, 'params': params}

  return fns._replace(init=init)


def _with_fixed_trunk(fns):
  """The model, whose trunk no optimizer sees."""

  def init(key):
    variables = fns.init(key)
    trunk = {**variables, 'params': variables['params'][_TRUNK]}
    heads = {
      name: of for name, of in variables['params'].items() if name != _TRUNK
    }
    return {'params': heads, _TRUNK: trunk}

  def whole(variables):
    trunk = variables[_TRUNK]
    params = {**variables['params'], _TRUNK: trunk['params']}
    return {**trunk, 'params': params}

  def apply(variables, inputs, *, key=None):
    return fns.apply(whole(variables), inputs, key=key)

  def train(variables, inputs, key, *, real=None):
    output, _ = fns.train(whole(variables), inputs, key, real=real)
    return output, {}

  return ModelFns(init=init, apply=apply, train=train)

"""A published network as a model: its trunk and a head for the task."""

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

# Whether the trunk is trained.
TRUNKS = ('tuned', 'fixed')
# Large enough for the pools and strides of every architecture.
_SMALLEST = 64
_LARGEST = 1024
_TRUNK = 'trunk'


class _PooledHead(nn.Module):
  """A 1x1 convolution with ReLU, then a mean over pixels."""

  size: int

  @nn.compact
  def __call__(self, maps: jax.Array) -> jax.Array:
    return layers.pooled(nn.relu(nn.Dense(self.size, name='each')(maps)))


class Backbone(nn.Module):
  """The trunk of a published network and the heads of a task.

  Attributes:
    trunk: see `Architecture`.
    outputs: number of outputs per example, see `Task.outputs`.
    size: height and width that images are resized to.
    dropout: share of the features that is dropped before the head.
    pools: see `Architecture`.
    is_fixed: whether the trunk runs in evaluation mode even in training.
  """

  trunk: nn.Module
  outputs: common.Outputs
  size: int
  dropout: float
  pools: bool
  is_fixed: bool

  @nn.compact
  def __call__(self, images: jax.Array, how: common.Pass) -> ModelOutput:
    """Maps normalised float32 [B, height, width, 1 or 3] to predictions."""
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
  """Builds a published network with a head for the task.

  Images are resized to `size` and normalised as the weights expect; the data
  set's own constants are ignored.

  Args:
    facts: facts of the task; images of 1 or 3 channels, uint8, or float32 from
      0 to 1.
    architecture: name in `backbones.ARCHITECTURES`, for example `'resnet50'` or
      `'tf_efficientnet_lite0'`.
    weights: path of a `.safetensors`, an `.npz` or a PyTorch state dict, or
      `'hub:OWNER/NAME'`, see `weights.hub`; or `'elsewhere'` if the caller
      replaces the weights. If None, weights are drawn.
    trunk: `'tuned'` to train all weights, or `'fixed'` to train only the head.
    dropout: share of the features that is dropped before the head. If None, as
      published.
    size: height and width of the images. If None, as published.
    mean: means of the three channels of images from 0 to 1. If None, as
      published.
    std: standard deviations of the three channels. If None, as published.
    keep_head: whether to start from the published head, which must have as many
      classes as the task, instead of a drawn one.

  Returns:
    The ModelFns. Extras: `stage_1`, ..., feature maps
    [B, height, width, channels]. The embedding is the input of the head before
    dropout. The head of `'squeezenet1_1'` takes a mean after its convolution;
    there the embedding is the mean of the maps, so gradient embeddings are not
    the gradients of the head.

  Raises:
    ValueError: If a value is not allowed, the images are of another kind, or
      the weights are of another network.
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
      f'{option}, but there are no weights: set `weights` to a file.'
    )
  if keep_head and not isinstance(facts.task.outputs, int):
    raise ValueError(
      f'keep_head is True, but the task is {facts.task.describe()}; a '
      'published head can only predict classes.'
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
  # Normalisation by three constants already gives grey images three channels,
  # but they have one when weights are drawn.
  return jnp.repeat(images, 3, axis=-1) if channels == 1 else images


def _with_moments(facts, published, mean, std):
  """Returns the facts with the constants that the weights expect, raw units."""
  checks.check_image('backbone', facts, smallest=1)
  channels = facts.example.shape[-1]
  if channels not in (1, 3):
    raise ValueError(
      f"model 'backbone' takes images of 1 or 3 channels, not {channels}."
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
      f'mean is {mean.tolist()}; its values must be from 0 to 1.'
    )
  return facts._replace(mean=mean * largest, std=std * largest)


def _of_channels(name, values):
  """Returns three values as float32[3]."""
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
  """Returns the model with weights from a file in place of drawn ones."""
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
    # A host callback, because compiling the weights as constants would take 7 s
    # and 2 GB for VGG-16.
    read = jax.pure_callback(lambda: found.variables, shapes)
    params = {**drawn['params'], **read['params']}
    return {**drawn, **read, 'params': params}

  return fns._replace(init=init)


def _with_fixed_trunk(fns):
  """Returns the model with its trunk outside `params`, so it is not trained."""

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

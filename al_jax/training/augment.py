"""Random changes to training images, on device, with a key per example.

Each is `(key, image [H, W, channels]) -> image`. The key comes from the step
and the example, so a batch may be cut or padded in any way.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import PyTree


def flip(key: jax.Array, image: jax.Array) -> jax.Array:
  """Mirrors left and right, one time in two."""
  return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def shift(key: jax.Array, image: jax.Array, *, pixels: int = 4) -> jax.Array:
  """Moves by up to `pixels` in each direction; the border is reflected."""
  return _moved(key, image, pixels, mode='reflect')


def crop(key: jax.Array, image: jax.Array, *, pixels: int = 4) -> jax.Array:
  """Cuts the original size out of the image padded with `pixels` zeros."""
  return _moved(key, image, pixels, mode='constant')


def _moved(key, image, pixels, *, mode):
  border = ((pixels, pixels), (pixels, pixels), (0, 0))
  padded = jnp.pad(image, border, mode=mode)
  row, column = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
  return jax.lax.dynamic_slice(padded, (row, column, 0), image.shape)


AUGMENTATIONS = {'flip': flip, 'shift': shift, 'crop': crop}


def build(
  specs: Sequence[str | Mapping[str, Any]], example: PyTree
) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
  """Chains augmentations.

  Args:
    specs: names, or mappings with a `name` and its options, in order:
      `('flip', {'name': 'shift', 'pixels': 2})`.
    example: shape of one input, to check that it is an image; modalities are
      none, and take no augmentation.

  Returns:
    `(key, index int32[B], images [B, H, W, channels]) -> images`.

  Raises:
    ValueError: an unknown name, or inputs that are not images.
  """
  is_list = isinstance(specs, Sequence) and not isinstance(specs, str)
  if not is_list or not all(isinstance(spec, str | Mapping) for spec in specs):
    raise ValueError(
      f'augment is {specs!r}; it must be a list of names and mappings.'
    )
  steps = [_resolve(spec) for spec in specs]
  shape = getattr(example, 'shape', None)
  if steps and isinstance(example, dict):
    raise ValueError(
      'augmentation needs images [height, width, channels]; the inputs here '
      f'are modalities, {", ".join(sorted(example))}: augment must be (), not '
      f'{specs!r}.'
    )
  if steps and (shape is None or len(shape) != 3):
    raise ValueError(
      'augmentation needs images [height, width, channels]; '
      f'an example here has shape {shape}.'
    )
  for augmentation in steps:
    if augmentation.func is not flip:
      errors.check_number(
        f'augmentation pixels, for images of shape {shape},',
        augmentation.keywords.get('pixels', 4),
        int,
        least=1,
        below=min(shape[:2]),
      )

  def augment_one(key, image):
    for number, augmentation in enumerate(steps):
      image = augmentation(jax.random.fold_in(key, number), image)
    return image

  def augment(key, index, images):
    if not steps:
      return images
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(index)
    return jax.vmap(augment_one)(keys, images)

  return augment


def _resolve(spec):
  options = {'name': spec} if isinstance(spec, str) else dict(spec)
  name = options.pop('name', None)
  errors.check_name('augmentation', name, AUGMENTATIONS)
  allowed = () if name == 'flip' else ('pixels',)
  for option in options:
    if option not in allowed:
      raise errors.unknown_option(f'augmentation {name!r}', option, allowed)
  return functools.partial(AUGMENTATIONS[name], **options)

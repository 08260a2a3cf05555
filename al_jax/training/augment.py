"""Random changes to training images, on device, with a key per example.

Each is `(key, image [H, W, channels]) -> image`. The key comes from the step
and the example, so results do not depend on how a batch is split or padded.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from al_jax import errors, parts
from al_jax.interfaces import PyTree


def flip(key: jax.Array, image: jax.Array) -> jax.Array:
  """Mirrors left and right with probability one half."""
  return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def shift(key: jax.Array, image: jax.Array, *, pixels: int = 4) -> jax.Array:
  """Shifts by up to `pixels` in each direction; the border is reflected."""
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

# A name, a dotted path, a function, or a mapping with one of these as its
# `name`, and options.
Spec = str | Mapping[str, Any] | Callable[..., PyTree]


def build(
  specs: Sequence[Spec], example: PyTree
) -> Callable[[jax.Array, jax.Array, PyTree], PyTree]:
  """Chains augmentations.

  Args:
    specs: names, dotted paths, functions `(key, input) -> input`, or mappings
      with one of these as `name` and its options, in the order of application:
      `('flip', {'name': 'shift', 'pixels': 2}, my_function)`.
    example: shape of one raw input. The augmentations of this file accept
      images only; your functions may accept other inputs.

  Returns:
    `(key, index int32[B], inputs [B, ...]) -> inputs`.

  Raises:
    ValueError: a name or an option is unknown, the inputs are not images, or a
      function changes a shape or dtype.
  """
  is_list = isinstance(specs, Sequence) and not isinstance(specs, str)
  if not is_list or not all(
    isinstance(spec, str | Mapping) or callable(spec) for spec in specs
  ):
    raise ValueError(
      f'augment is {specs!r}; it must be a list of names, functions and '
      'mappings.'
    )
  steps = [_resolve(spec) for spec in specs]
  if any(step.func in AUGMENTATIONS.values() for _, step in steps):
    _check_image(specs, example)
  for called, step in steps:
    if step.func in (shift, crop):
      errors.check_number(
        f'augmentation pixels, for images of shape {example.shape},',
        step.keywords.get('pixels', 4),
        int,
        least=1,
        below=min(example.shape[:2]),
      )
    if step.func not in AUGMENTATIONS.values():
      _check_own(called, step, example)

  def augment_one(key, image):
    for number, (_, step) in enumerate(steps):
      image = step(jax.random.fold_in(key, number), image)
    return image

  def augment(key, index, images):
    if not steps:
      return images
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(index)
    return jax.vmap(augment_one)(keys, images)

  return augment


def _resolve(spec):
  """Returns the name of an augmentation, and its function with options."""
  options = dict(spec) if isinstance(spec, Mapping) else {'name': spec}
  name = options.pop('name', None)
  function = parts.find('augmentation', name, AUGMENTATIONS)
  called = parts.name_of(name)
  errors.check_options(f'augmentation {called!r}', function, options)
  return called, functools.partial(function, **options)


def _check_image(specs, example):
  """Raises ValueError unless an example is an image."""
  if isinstance(example, dict):
    raise ValueError(
      'augmentation needs images [height, width, channels]; the inputs here '
      f'are modalities, {", ".join(sorted(example))}: augment must be (), not '
      f'{specs!r}.'
    )
  shape = getattr(example, 'shape', None)
  if shape is None or len(shape) != 3:
    raise ValueError(
      'augmentation needs images [height, width, channels]; '
      f'an example here has shape {shape}.'
    )


def _check_own(called, step, example):
  """Raises ValueError for a function that changes a shape or dtype."""
  try:
    found = jax.eval_shape(step, jax.random.key(0), example)
  except Exception as error:  # User code may raise anything.
    raise ValueError(
      f'augmentation {called!r} fails for an input {_spelled(example)} with '
      f'{type(error).__name__}: {errors.clause(error)}.'
    ) from error
  if _spelled(found) != _spelled(example):
    raise ValueError(
      f'augmentation {called!r} makes {_spelled(found)} of an input '
      f'{_spelled(example)}; it must keep shape and dtype. Inputs are still '
      'raw here, and are normalised later.'
    )


def _spelled(example):
  return jax.tree.map(lambda leaf: f'{leaf.dtype}{list(leaf.shape)}', example)

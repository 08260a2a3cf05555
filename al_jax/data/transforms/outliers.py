"""Adds pictures of pure noise, not worth a query, to the pool."""

import copy

import numpy as np

from al_jax.data.dataset import RawData, Split
from al_jax.data.transforms.subsets import (
  OUTLIER,
  are_outliers,
  check_whole,
  generator_of,
  known_classes,
)

# Upper bound that catches typos.
_MOST_PER_PICTURE = 100
# Pixels drawn at once.
_BLOCK = 1 << 20


def outliers(raw: RawData, *, seed: int = 0, number: int) -> RawData:
  """Adds pictures of noise to the training split.

  Each channel of each pixel is drawn from the same channel of all training
  pictures, so that neither the mean nor the spread gives outliers away. A
  simulated oracle gives no label for an outlier, but the query costs budget.

  Args:
    raw: the data set, of pictures with classes.
    seed: seed of the noise.
    number: number of outliers, at most 100 times the pool.

  Returns:
    The data set with the outliers last; all ids become text. Outliers have the
    classes of examples drawn at random, so that class frequencies do not
    change.
  """
  check_whole('outliers: number', number, least=1)
  _, targets = known_classes(raw, 'outliers')
  if not raw.is_image:
    raise ValueError(
      f'outliers: {raw.name} has no pictures; inputs must be images.'
    )
  train = raw.train
  if number > _MOST_PER_PICTURE * len(train):
    raise ValueError(
      f'outliers: number is {number:,}; it must be at most '
      f'{_MOST_PER_PICTURE} times the pool of {len(train):,} pictures.'
    )
  generator = generator_of('outliers', seed, int(number))
  inputs = _with_noise(generator, train.inputs, int(number))
  drawn = generator.integers(0, len(targets), number)
  first = np.count_nonzero(are_outliers(train.ids))
  serials = range(first, first + number)
  ids = np.concatenate(
    [train.ids.astype(str), [f'{OUTLIER}{serial}' for serial in serials]]
  )
  return raw._replace(
    train=Split(
      inputs,
      np.concatenate([targets, targets[drawn]]),
      ids,
    )
  )


def _with_noise(
  generator: np.random.Generator, images: np.ndarray, number: int
) -> np.ndarray:
  """Returns the pictures with `number` pictures of noise after them.

  Draws the picture of every pixel, then every height, then every width. Works
  in blocks, so that memory holds the positions of one block only.
  """
  size, *shape = images.shape
  found = np.empty((size + number, *shape), images.dtype)
  found[:size] = images
  at_once = max(_BLOCK // int(np.prod(shape)), 1)
  counts = [min(at_once, number - begin) for begin in range(0, number, at_once)]

  def draws(source, limit):
    return (source.integers(0, limit, (count, *shape)) for count in counts)

  places = []
  for limit in images.shape[:3]:
    places.append(draws(copy.deepcopy(generator), limit))
    for _ in draws(generator, limit):
      pass  # advances the generator to the next axis
  channels, end = np.arange(shape[-1]), size
  for count, *place in zip(counts, *places, strict=True):
    found[end : end + count] = images[*place, channels]
    end += count
  return found

"""Pictures of nothing among those of the pool, not worth a query."""

import numpy as np

from al_jax.data.dataset import RawData, Split
from al_jax.data.transforms.subsets import (
  OUTLIER,
  are_outliers,
  check_whole,
  generator_of,
  known_classes,
)


def outliers(raw: RawData, *, seed: int = 0, number: int) -> RawData:
  """Adds pictures of noise to the training split.

  Each pixel is drawn from those of all training pictures, channel by channel,
  so that neither the mean nor the spread gives them away. A simulated oracle
  does not answer about them: a query is paid for, and labels nothing.

  Args:
    raw: the data set, of pictures with classes.
    seed: of the noise.
    number: how many.

  Returns:
    The data set; the ids of the others become text. New ones come last; they
    have the classes of examples drawn at random, so that classes are as
    frequent as before.
  """
  check_whole('outliers: number', number, least=1)
  _, targets = known_classes(raw, 'outliers')
  if not raw.is_image:
    raise ValueError(
      f'outliers: {raw.name} has no pictures; inputs must be images.'
    )
  train = raw.train
  generator = generator_of('outliers', seed, int(number))
  shape = (number, *train.inputs.shape[1:])
  rows, down, right = (
    generator.integers(0, size, shape) for size in train.inputs.shape[:3]
  )
  channels = np.arange(shape[-1])
  noise = np.asarray(train.inputs[rows, down, right, channels])
  drawn = generator.integers(0, len(targets), number)
  first = np.count_nonzero(are_outliers(train.ids))
  serials = range(first, first + number)
  ids = np.concatenate(
    [train.ids.astype(str), [f'{OUTLIER}{serial}' for serial in serials]]
  )
  return raw._replace(
    train=Split(
      np.concatenate([np.asarray(train.inputs), noise]),
      np.concatenate([targets, targets[drawn]]),
      ids,
    )
  )

"""scikit-learn's diabetes data: numbers to predict, no download."""

import numpy as np

from al_jax.data.dataset import RawData, Split
from al_jax.data.sources import tables
from al_jax.tasks import Vector

_NUM_TEST = 88
_SEED = 0
_SCALE = 100.0


def read(location: str = '') -> RawData:
  """Reads the 442 patients and holds out a fixed fifth for testing.

  The ten inputs (age, sex, body mass index, blood pressure, six blood serum
  measurements) are unscaled. The target is a score of the disease a year later,
  from 25 to 346. Its scale of 100 is a round number for a score of three
  digits, not a statistic of the targets.

  Source: Efron et al. 2004, "Least Angle Regression".

  Args:
    location: must be empty; there is only one such set.

  Returns:
    RawData with inputs float32[N, 10] and the task `Vector(1, scale=100.0)`.
    Ids are the row numbers in scikit-learn's arrays. Both splits are sorted by
    id.
  """
  if location:
    raise ValueError(f"'diabetes' takes no name after it, got {location!r}.")
  from sklearn import datasets  # Takes a second.

  inputs, targets = datasets.load_diabetes(return_X_y=True, scaled=False)
  rows = np.arange(len(targets), dtype=np.int64)
  everything = Split(
    inputs=tables.as_float32(inputs, 'diabetes: the inputs'),
    targets=tables.as_float32(targets[:, None], 'diabetes: the targets'),
    ids=rows,
  )
  shuffled = np.random.default_rng(_SEED).permutation(rows)
  return RawData(
    name='diabetes',
    train=everything.take(np.sort(shuffled[_NUM_TEST:])),
    test=everything.take(np.sort(shuffled[:_NUM_TEST])),
    task=Vector(1, scale=_SCALE),
    is_image=False,
  )

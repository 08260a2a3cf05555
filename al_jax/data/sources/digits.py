"""scikit-learn's handwritten digits: 8 x 8 pixels, no download."""

import numpy as np

from al_jax.data.dataset import RawData, Split
from al_jax.tasks import Classes

_TEST_FRACTION = 0.2
_SEED = 0


def _test_rows(targets: np.ndarray) -> np.ndarray:
  """Returns a mask of the same fifth of each class at every call, bool[N]."""
  generator = np.random.default_rng(_SEED)
  is_test = np.zeros(len(targets), bool)
  for number in range(10):
    rows = generator.permutation(np.flatnonzero(targets == number))
    is_test[rows[: round(_TEST_FRACTION * len(rows))]] = True
  return is_test


def read(location: str = '') -> RawData:
  """Reads the 1,797 digits and holds out a fixed fifth of each class.

  Pixels are uint8 from 0 to 255, as in other pictures. The source has whole
  numbers from 0 to 16; scaling by 255 / 16 and rounding keeps them distinct.

  Args:
    location: must be empty; there is only one such set.

  Returns:
    RawData with inputs uint8[N, 8, 8, 1]. Ids are the row numbers in
    scikit-learn's arrays. Both splits are sorted by id.
  """
  if location:
    raise ValueError(f"'digits' takes no name after it, got {location!r}.")
  from sklearn import datasets  # Takes a second.

  source = datasets.load_digits()
  targets = source.target.astype(np.int32)
  everything = Split(
    inputs=np.round(source.images * 255 / 16).astype(np.uint8)[..., None],
    targets=targets,
    ids=np.arange(len(targets), dtype=np.int64),
  )
  is_test = _test_rows(targets)
  return RawData(
    name='digits',
    train=everything.take(np.flatnonzero(~is_test)),
    test=everything.take(np.flatnonzero(is_test)),
    task=Classes(source.target_names),
    is_image=True,
  )

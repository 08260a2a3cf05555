"""Changes that make a data set realistic: composable, seeded, pure."""

from al_jax.data.transforms.apply import (
  TRANSFORMS,
  apply_transforms,
  check_transforms,
  label_noise,
  redundancy,
)
from al_jax.data.transforms.drift import drift
from al_jax.data.transforms.outliers import outliers
from al_jax.data.transforms.subsets import (
  are_outliers,
  cap,
  imbalance,
  validation_split,
)

__all__ = [
  'TRANSFORMS',
  'apply_transforms',
  'are_outliers',
  'cap',
  'check_transforms',
  'drift',
  'imbalance',
  'label_noise',
  'outliers',
  'redundancy',
  'validation_split',
]

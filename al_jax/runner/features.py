"""Reads features for a first set from a user's file."""

import hashlib

import numpy as np

from al_jax import errors
from al_jax.loop.protocol import Protocol

# A field of `config.protocol` that is not an attribute of Protocol.
FIELD = 'first_features'
_FROM_TEXT = "np.save('x.npy', np.loadtxt('x.csv', delimiter=','))"


def load(
  path: object, proceeding: Protocol, num_examples: int
) -> np.ndarray | None:
  """Reads and checks features.

  Args:
    path: path of a `.npy` file. If None, there are no features.
    proceeding: the protocol.
    num_examples: size of the pool after its transforms, N.

  Returns:
    float32[N, D]; None if there are none.

  Raises:
    ValueError: the file does not exist, or has no valid features.
  """
  if path is None:
    return None
  if not isinstance(path, str):
    raise ValueError(
      f'protocol.{FIELD} is {path!r}; it must be the path of a .npy file.'
    )
  try:
    found = np.load(path, allow_pickle=False)
  except (EOFError, OSError, ValueError) as error:
    is_there = not isinstance(error, OSError)
    hint = f' Numbers in text: {_FROM_TEXT}.' if is_there else ''
    raise ValueError(
      f'protocol.{FIELD} is {path!r}, which cannot be read as a .npy file: '
      f'{errors.in_one_line(error)}{hint}'
    ) from error
  try:
    return proceeding.checked_features(found, num_examples)
  except ValueError as error:
    raise ValueError(f'protocol.{FIELD} is {path!r}: {error}') from error


def fingerprint(features: np.ndarray) -> str:
  """Returns a digest of features, 32 hexadecimal digits."""
  content = np.ascontiguousarray(features)
  return hashlib.blake2b(content, digest_size=16).hexdigest()

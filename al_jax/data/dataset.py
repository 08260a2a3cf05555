"""A Dataset: arrays, and the facts that a learner may know of them."""

import dataclasses
import hashlib
from typing import Any, NamedTuple

import numpy as np

from al_jax.data import named
from al_jax.tasks import Task

# One array, or a dict of named modalities, with a common leading axis.
Inputs = Any


@dataclasses.dataclass(frozen=True)
class Split:
  """Examples in a fixed order: what is at position i stays there.

  Attributes:
    inputs: uint8 or float32 [N, ...], maybe memory-mapped; or a dict of such
      arrays, the modalities (see `al_jax.data.named`).
    targets: int32[N], class numbers from 0.
    ids: [N], int64 or str: names that stay with an example whatever subset or
      order it comes in.
  """

  inputs: Inputs
  targets: np.ndarray
  ids: np.ndarray

  def __len__(self) -> int:
    return len(self.targets)

  def __repr__(self) -> str:
    shapes = ', '.join(
      f'{name} {part.dtype}{list(part.shape)}'.strip()
      for name, part in named.arrays(self.inputs).items()
    )
    return f'Split({shapes})'

  def take(self, indices: np.ndarray) -> 'Split':
    """The examples at `indices`, in that order, copied into memory."""
    inputs = named.mapped(
      lambda _, part: np.asarray(part[indices]), self.inputs
    )
    return Split(inputs, self.targets[indices], self.ids[indices])


class RawData(NamedTuple):
  """What a source gives: NumPy arrays in host memory, not yet checked.

  Attributes:
    name: what a log line calls it.
    train: raw inputs, uint8 or float32; int32 targets; ids.
    test: likewise. A source without a test split of its own makes one.
    task: what is predicted.
    is_image: inputs are [N, height, width, channels] pictures; modalities are
      not, whatever they are of.
    validation: a third split, where the source or a transform has one.
    remarks: sentences on what the source left out, which every load logs.
  """

  name: str
  train: Split
  test: Split
  task: Task
  is_image: bool
  validation: Split | None = None
  remarks: tuple[str, ...] = ()

  def parts(self) -> dict[str, Split]:
    """The splits there are, by name."""
    named = {
      'train': self.train,
      'test': self.test,
      'validation': self.validation,
    }
    return {name: split for name, split in named.items() if split is not None}


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A data set, whole.

  Attributes:
    name: what a log line calls it.
    train: the pool.
    test: never trained on.
    validation: for stop rules and choices; None if there is none.
    task: what is predicted.
    mean: what normalises the inputs, in raw units, broadcast against one
      example: `(x - mean) / std`. Of modalities a dict.
    std: likewise; never zero.
    fingerprint: hexadecimal digest of the content of all splits.
    is_image: inputs are [N, height, width, channels] pictures; modalities are
      not, whatever they are of.
    normalize: what mean and std are of, see `moments.constants`: `'channel'`,
      `'feature'` or `'none'`.
  """

  name: str
  train: Split
  test: Split
  validation: Split | None
  task: Task
  mean: np.ndarray | dict[str, np.ndarray]
  std: np.ndarray | dict[str, np.ndarray]
  fingerprint: str
  is_image: bool
  normalize: str


def fingerprint(raw: RawData) -> str:
  """Hexadecimal digest of the content of all splits.

  The same content gives the same digest, wherever it came from, whether or not
  it is memory-mapped, and in whatever order modalities are named. The name of
  the set is not part of it.
  """
  digest = hashlib.blake2b(digest_size=16)
  digest.update(repr((raw.task.names, raw.is_image)).encode())
  for name, split in raw.parts().items():
    ids = '\n'.join(str(name) for name in split.ids.tolist())
    for modality, part in named.arrays(split.inputs).items():
      inputs = np.ascontiguousarray(part)
      called = f'{name} {modality}' if modality else name
      digest.update(f'{called} {inputs.dtype} {inputs.shape}'.encode())
      digest.update(inputs.data)
    digest.update(np.ascontiguousarray(split.targets).data)
    digest.update(ids.encode())
  return digest.hexdigest()

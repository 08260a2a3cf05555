"""A Dataset: arrays, and the facts that a learner may know of them."""

import dataclasses
import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import tasks
from al_jax.data import named
from al_jax.tasks.base import Targets, Task

# One array, or a dict of named modalities, with a common leading axis.
Inputs = Any


@dataclasses.dataclass(frozen=True)
class Split:
  """Examples in a fixed order: what is at position i stays there.

  Attributes:
    inputs: uint8 or float32 [N, ...], maybe memory-mapped; or a dict of such
      arrays, the modalities (see `al_jax.data.named`).
    targets: what the task predicts: int32[N], class numbers from 0; float32
      [N, D]; a dict of these. If None, nobody has labelled the examples: a
      pool that people label.
    ids: [N], int64 or str: names that stay with an example whatever subset or
      order it comes in.
  """

  inputs: Inputs
  targets: Targets | None
  ids: np.ndarray

  def __len__(self) -> int:
    return len(self.ids)

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
    targets = jax.tree.map(lambda part: part[indices], self.targets)
    return Split(inputs, targets, self.ids[indices])

  def classes(self, task: Task) -> np.ndarray | None:
    """Returns the class number of each example; None without such numbers.

    Args:
      task: what the targets are of.
    """
    return None if self.targets is None else task.strata(self.targets)


class RawData(NamedTuple):
  """What a source gives: NumPy arrays in host memory, not yet checked.

  Attributes:
    name: what a log line calls it.
    train: the pool: raw inputs, uint8 or float32; targets or None; ids.
    task: what is predicted.
    is_image: inputs are [N, height, width, channels] pictures; modalities are
      not, whatever they are of.
    test: likewise, with targets. If None, nothing is measured on a test split.
    validation: likewise, where the source or a transform has one.
    remarks: sentences on what the source left out, which every load logs.
  """

  name: str
  train: Split
  task: Task
  is_image: bool
  test: Split | None = None
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
    train: the pool; its targets are None if people are to label it.
    test: never trained on; None if there is none.
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
  test: Split | None
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
  task = tasks.to_json(raw.task)
  has_classes = task['kind'] == 'classes'
  # Classes count by their names and numbers alone, so that data sets have the
  # fingerprints that they had before there were other tasks.
  said = raw.task.class_names if has_classes else task
  digest.update(repr((said, raw.is_image)).encode())
  for name, split in raw.parts().items():
    ids = '\n'.join(str(name) for name in split.ids.tolist())
    for modality, part in named.arrays(split.inputs).items():
      inputs = np.ascontiguousarray(part)
      called = f'{name} {modality}' if modality else name
      digest.update(f'{called} {inputs.dtype} {inputs.shape}'.encode())
      digest.update(inputs.data)
    if split.targets is None:
      digest.update(f'{name} without targets'.encode())
    for target, part in named.arrays(split.targets).items():
      if not has_classes:
        digest.update(f'{name} {target} {part.dtype} {part.shape}'.encode())
      digest.update(np.ascontiguousarray(part).data)
    digest.update(ids.encode())
  return digest.hexdigest()

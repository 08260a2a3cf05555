"""A Dataset: arrays, and the facts that a learner may know of them."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
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
    normalize: see `moments.constants`. If None, the kind of data decides.
    pictures: of the examples of the pool, where inputs are features of these;
      with their ids. If None, inputs are what galleries show.
  """

  name: str
  train: Split
  task: Task
  is_image: bool
  test: Split | None = None
  validation: Split | None = None
  remarks: tuple[str, ...] = ()
  normalize: str | None = None
  pictures: Split | None = None

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
    pictures: see `RawData`.
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
  pictures: Split | None = None

  @classmethod
  def from_arrays(
    cls,
    x: Any,
    y: Any = None,
    *,
    task: Task | None = None,
    scale: float | None = None,
    test: Any = 0.1,
    validation: Any = None,
    ids: Any = None,
    features: Sequence[str | int] | None = None,
    missing: Any = None,
    categories: Any = None,
    max_train: int | None = None,
    seed: int = 0,
    transforms: Sequence[Mapping[str, Any]] = (),
    normalize: str | None = None,
    name: str = 'arrays',
  ) -> 'Dataset':
    """Makes a data set of arrays or of a data frame in memory.

    Arrays are of NumPy, JAX, PyTorch, or anything that NumPy or DLPack reads.

    Args:
      x: the inputs. [N, D] is a table; [N, H, W] and [N, H, W, channels] with
        1, 3 or 4 channels are pictures; a dict of these has modalities; a frame
        of pandas or polars is a table, whose index is not read. uint8 stays
        uint8, all other numbers become float32.
      y: the labels: [N] of numbers or text; or the name of a column of x, which
        is then no input; with `scale` numbers [N] or [N, D], or a list of
        columns; a dict of these by the parts of a `tasks.Mixed`. If None,
        nobody has labelled x, and `task` says what people are asked.
      task: what is predicted. If None, classes by the sorted names of the
        labels, or numbers if there is a scale.
      scale: the unit of numbers to predict, see `tasks.Vector`: a known one,
        and no statistic of y. If None, y has classes.
      test: the share of the examples to hold out, or their number; or a test
        split of its own, `(x, y)`, or a frame that has the column y. If None,
        there is none; nor is there one to draw if y is None.
      validation: as test, taken from what is left to train on; None: none.
      ids: [N], names of the examples; or the name of a column of x. Every
        example has an id that no other has, in all splits together. Whole
        numbers become int64 if it holds them, all other ids text. If None, row
        numbers; those of `test` and `validation` of their own go on.
      features: the columns of a frame to use; None: all others.
      missing: what becomes of gaps in a table, see `columns.Declared`.
      categories: what becomes of text in a table, see `columns.Declared`.
      max_train: the most examples to train on beside a test split that is
        drawn; None: all.
      seed: of the splits and of what is drawn into gaps.
      transforms: see `transforms.apply_transforms`.
      normalize: `'channel'`, `'feature'` or `'none'`, see `al_jax.load`.
      name: what a log line calls the data set.

    Returns:
      A Dataset.

    Raises:
      ValueError: something cannot be learnt from, with the place.
    """
    from al_jax.data import memory
    from al_jax.data.load import finished

    raw = memory.read(
      x,
      y,
      task=task,
      scale=scale,
      test=test,
      validation=validation,
      ids=ids,
      features=features,
      missing=missing,
      categories=categories,
      max_train=max_train,
      seed=seed,
      name=name,
    )
    return finished(name, raw, transforms=transforms, normalize=normalize)

  def as_raw(self) -> RawData:
    """Returns it as a source gives data; `normalize` stays as it is."""
    return RawData(
      name=self.name,
      train=self.train,
      task=self.task,
      is_image=self.is_image,
      test=self.test,
      validation=self.validation,
      normalize=self.normalize,
      pictures=self.pictures,
    )

  @property
  def has_pictures(self) -> bool:
    """Whether there is a picture of each example of the pool."""
    return self.is_image or self.pictures is not None

  def pictures_at(self, indices: np.ndarray) -> list[np.ndarray]:
    """Returns the pictures of some examples of the pool.

    Args:
      indices: positions in the pool.
    """
    shown, positions = self.train, np.asarray(indices)
    if self.pictures is not None:
      shown = self.pictures
      where = {name: at for at, name in enumerate(shown.ids.tolist())}
      names = self.train.ids[positions].tolist()
      positions = np.array([where[name] for name in names], int)
    return list(shown.take(positions).inputs)


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

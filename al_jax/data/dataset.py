"""A Dataset: arrays, and the facts about them that a learner may use."""

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
  """Examples in a fixed order: the example at position i stays there.

  Attributes:
    inputs: uint8 or float32 [N, ...], maybe memory-mapped; or a dict of such
      arrays, one per modality (see `al_jax.data.named`).
    targets: values that the task predicts: class numbers from 0, int32[N];
      numbers, float32[N, D]; or a dict of these. If None, the examples are
      unlabelled: a pool for people to label.
    ids: [N], int64 or str: names that stay with the examples in every subset
      and order.
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
    """Returns a copy, in memory, of the examples at `indices`, in order."""
    inputs = named.mapped(
      lambda _, part: np.asarray(part[indices]), self.inputs
    )
    targets = jax.tree.map(lambda part: part[indices], self.targets)
    return Split(inputs, targets, self.ids[indices])

  def classes(self, task: Task) -> np.ndarray | None:
    """Returns the class number of each example, or None if there are none.

    Args:
      task: Task of the targets.
    """
    return None if self.targets is None else task.strata(self.targets)


class RawData(NamedTuple):
  """Output of a source: NumPy arrays in host memory, not yet checked.

  Attributes:
    name: name of the data set in log lines.
    train: the pool: raw inputs, uint8 or float32; targets or None; ids.
    task: the task that the targets belong to.
    is_image: whether inputs are [N, height, width, channels] pictures. False
      for a dict of modalities, even if some are pictures.
    test: test split, with targets. If None, there are no test metrics.
    validation: validation split, with targets, if the source or a transform
      makes one.
    remarks: sentences on data that the source left out; every load logs them.
    normalize: see `moments.constants`. If None, the kind of data decides.
    pictures: pictures and ids of the pool's examples, if the inputs are
      features of these pictures. If None, galleries show the inputs.
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
    """Returns the existing splits by name."""
    named = {
      'train': self.train,
      'test': self.test,
      'validation': self.validation,
    }
    return {name: split for name, split in named.items() if split is not None}


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A complete data set.

  Attributes:
    name: name of the data set in log lines.
    train: the pool; its targets are None if people are to label it.
    test: test split, never trained on, or None.
    validation: split for stop rules and model choices, or None.
    task: the task that the targets belong to.
    mean: mean that normalises the inputs, `(x - mean) / std`, in raw units,
      broadcast against one example; a dict if the inputs are modalities.
    std: standard deviation in the same form; never zero.
    fingerprint: hexadecimal digest of the content of all splits.
    is_image: whether inputs are [N, height, width, channels] pictures. False
      for a dict of modalities, even if some are pictures.
    normalize: how mean and std are pooled: `'channel'`, `'feature'` or
      `'none'` (see `moments.constants`).
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
    """Makes a data set from arrays or a data frame in memory.

    Accepts arrays from NumPy, JAX and PyTorch, and anything that NumPy or
    DLPack reads.

    Args:
      x: the inputs. [N, D] is a table. [N, H, W], and [N, H, W, channels] with
        1, 3 or 4 channels, are pictures. A dict of these holds modalities. A
        pandas or polars frame is a table, whose index is ignored. uint8 stays
        uint8; all other numbers become float32.
      y: the labels: [N], numbers or text; or the name of a column of x, which
        is then not an input. With `scale`, numbers [N] or [N, D], or a list of
        columns. For a `tasks.Mixed`, a dict of these by part. If None, x is
        unlabelled, and `task` is the task that people label for.
      task: the task of the labels. If None, numbers if `scale` is given, else
        classes in the sorted order of their names.
      scale: known unit of the numbers to predict (see `tasks.Vector`), not a
        statistic of y. If None, y holds classes.
      test: share or number of examples to hold out; or a separate test split,
        `(x, y)` or a frame with the column y. If None, there is no test split.
        If y is None, none is drawn.
      validation: share, number or split as for `test`; drawn from the examples
        left to train on. If None, there is no validation split.
      ids: names of the examples, [N], or the name of a column of x. An id must
        be unique across all splits. Whole numbers that fit become int64; all
        other ids become text. If None, row numbers, which continue through
        separate `test` and `validation` splits.
      features: columns of a frame to use. If None, all that are not y or ids.
      missing: treatment of gaps in a table, see `columns.Declared`.
      categories: treatment of text in a table, see `columns.Declared`.
      max_train: upper bound on training examples when a test split is drawn.
        If None, there is no bound.
      seed: seed for drawing splits and values for gaps.
      transforms: see `transforms.apply_transforms`.
      normalize: `'channel'`, `'feature'` or `'none'`, see `al_jax.load`.
      name: name of the data set in log lines.

    Returns:
      A Dataset.

    Raises:
      ValueError: If the data cannot be learnt from; the message names the
        place.
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
    """Returns the splits as RawData; keeps `normalize`."""
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
    """Whether each example of the pool has a picture."""
    return self.is_image or self.pictures is not None

  def pictures_at(self, indices: np.ndarray) -> list[np.ndarray]:
    """Returns the pictures of some examples of the pool.

    Args:
      indices: pool indices.
    """
    shown, positions = self.train, np.asarray(indices)
    if self.pictures is not None:
      shown = self.pictures
      where = {name: at for at, name in enumerate(shown.ids.tolist())}
      names = self.train.ids[positions].tolist()
      positions = np.array([where[name] for name in names], int)
    return list(shown.take(positions).inputs)


def fingerprint(raw: RawData) -> str:
  """Returns a hexadecimal digest of the content of all splits.

  Equal content gives an equal digest, whatever its source, memory-mapped or
  not, and in any order of modalities. The name of the set does not count.
  """
  digest = hashlib.blake2b(digest_size=16)
  task = tasks.to_json(raw.task)
  has_classes = task['kind'] == 'classes'
  # For classes only names and numbers are hashed, so that fingerprints from
  # before there were other tasks stay valid.
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

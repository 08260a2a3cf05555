"""The only holder of answers that have not been paid for.

Nothing else in the library has the targets of the pool: a learner, a strategy
or the loop gets an answer by asking for it, and asking is counted.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors
from al_jax import pool as pool_lib


class Answers(NamedTuple):
  """What the oracle says of K examples, padded as the question was.

  Attributes:
    targets: int32[K], class numbers; a filler where there is no answer.
    annotator: int8[K], `pool.ORACLE` or `pool.ABSTAINED`; `pool.NOBODY` in
      padding.
  """

  targets: np.ndarray
  annotator: np.ndarray


class Oracle:
  """Answers from the labels of a data set, at a price of one each.

  An example's answer depends on the key of the run and on nothing else: not on
  when it is asked, nor with what others.
  """

  def __init__(
    self,
    targets: np.ndarray,
    num_classes: int,
    *,
    noise: float = 0.0,
    abstain: float = 0.0,
  ):
    """Takes the answers in.

    Args:
      targets: int[N], the truth: class numbers from 0.
      num_classes: C.
      noise: the share of answers that are another class, uniformly.
      abstain: the share of questions answered with "I don't know": they cost
        and label nothing.

    Raises:
      ValueError: a rate or a number of classes that is none, or targets that
        are no class numbers.
    """
    errors.check_number('num_classes', num_classes, int, least=1)
    errors.check_number('oracle.noise', noise, least=0, below=1)
    errors.check_number('oracle.abstain', abstain, least=0, below=1)
    targets = _checked_targets(targets, num_classes)
    if noise and num_classes < 2:
      raise ValueError('oracle.noise needs a second class to confuse with.')
    self._targets = targets
    self._num_classes = num_classes
    self._noise = noise
    self._abstain = abstain

  @property
  def num_examples(self) -> int:
    """N, how many answers it holds."""
    return len(self._targets)

  @property
  def num_classes(self) -> int:
    """C, from how many classes it answers."""
    return self._num_classes

  def ask(self, key: jax.Array, paid: int, indices) -> tuple[int, Answers]:
    """Answers questions, and charges for every one of them.

    Args:
      key: of the run, the same in every round.
      paid: how many questions were paid for before.
      indices: int32[K], positions in the pool; -1 pads.

    Returns:
      How many have been paid for now, and the Answers.
    """
    indices = np.asarray(indices)
    real = indices >= 0
    truth = np.where(real, self._targets[np.where(real, indices, 0)], 0)
    lies, offset, silent = self._draws(key, indices)
    wrong = (truth + offset) % self._num_classes
    targets = np.where(lies, wrong, truth)
    annotator = np.where(silent, pool_lib.ABSTAINED, pool_lib.ORACLE)
    annotator = np.where(real, annotator, pool_lib.NOBODY)
    targets = np.where(annotator == pool_lib.ORACLE, targets, 0)
    answers = Answers(targets.astype(np.int32), annotator.astype(np.int8))
    return paid + int(real.sum()), answers

  def balanced_first_set(self, key: jax.Array, k: int) -> np.ndarray:
    """K examples, as many of each class as of any other (give or take one).

    Only the oracle can draw it: it needs the answers. The questions are to be
    asked, and paid for, like any others.

    Args:
      key: draws the examples, and the classes that get one more.
      k: how many.

    Returns:
      int32[k], class after class in turn.

    Raises:
      ValueError: a class has too few examples.
    """
    seed = np.asarray(jax.random.key_data(key)).tolist()
    rng = np.random.default_rng(seed)
    share, extra = divmod(k, self._num_classes)
    sizes = np.full(self._num_classes, share)
    sizes[rng.permutation(self._num_classes)[:extra]] += 1
    order = rng.permutation(len(self._targets))
    rank_and_index = []
    for label, size in enumerate(sizes):
      members = order[self._targets[order] == label]
      if len(members) < size:
        raise ValueError(
          f'a balanced first set of {k} needs {size} examples of class '
          f'{label}; the pool has {len(members)}.'
        )
      rank_and_index += enumerate(members[:size])
    rank_and_index.sort(key=lambda pair: pair[0])
    return np.array([index for _, index in rank_and_index], np.int32)

  def share_right(self, labels: np.ndarray) -> float:
    """How many of the labels that a machine gave are right.

    Args:
      labels: int[N], class numbers; -1 where there is none.

    Returns:
      From 0 to 1; NaN if there is no label. For the record: nothing may be
      decided by it.
    """
    given = np.asarray(labels) >= 0
    if not np.any(given):
      return math.nan
    return float(np.mean(np.asarray(labels)[given] == self._targets[given]))

  def _draws(self, key, indices):
    """Per question: lie or not, by how many classes, and silent or not."""
    if not (self._noise or self._abstain):
      return False, 0, False
    return jax.device_get(
      _draw(
        key,
        indices.astype(np.int32),
        self._num_classes,
        self._noise,
        self._abstain,
      )
    )


def _checked_targets(targets, num_classes):
  """int32[N] of what must be class numbers."""
  targets = np.asarray(targets)
  if targets.ndim != 1 or targets.dtype.kind not in 'iu':
    raise ValueError(
      'targets must be whole numbers of shape [N]; got '
      f'{targets.dtype}{list(targets.shape)}.'
    )
  wrong = (targets < 0) | (targets >= num_classes)
  if wrong.any():
    first = int(np.argmax(wrong))
    raise ValueError(
      f'targets[{first}] is {targets[first]}; with num_classes={num_classes} '
      f'it must be from 0 to {num_classes - 1}.'
    )
  return targets.astype(np.int32)


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0, None, None, None))
def _draw(key, index, num_classes, noise, abstain):
  """Whether an answer is wrong, by how many classes, and whether it is one."""
  lie_key, offset_key, silence_key = jax.random.split(
    jax.random.fold_in(key, index), 3
  )
  offset = jax.random.randint(
    offset_key, (), 1, jnp.maximum(num_classes, 2), jnp.int32
  )
  return (
    jax.random.bernoulli(lie_key, noise),
    offset,
    jax.random.bernoulli(silence_key, abstain),
  )

"""Checks of queries and of answers, before anything is paid for or saved."""

import jax
import numpy as np

from al_jax import pool as pool_lib
from al_jax.interfaces import Answers, Facts
from al_jax.pool import PoolState

_ANNOTATORS = {
  'ORACLE': pool_lib.ORACLE,
  'MACHINE': pool_lib.MACHINE,
  'ABSTAINED': pool_lib.ABSTAINED,
}


def check_queries(pool: PoolState, picks: np.ndarray, room: int) -> None:
  """Refuses queries that cannot be asked.

  Args:
    pool: the labelled set.
    picks: int[K], pool indices; those of made examples begin at N.
    room: the most queries that can be pending.

  Raises:
    ValueError: more than there is room for, an example that is not there, one
      that was asked about before, or one twice.
  """
  picks = np.asarray(picks)
  if len(picks) > room:
    raise ValueError(
      f'{len(picks)} queries are to be pending; there is room for {room}, the '
      'label budget.'
    )
  asked = ~np.asarray(pool_lib.eligible(pool))
  if pool.made is not None:
    written = int(pool.made.count)
    of_made = ~np.asarray(pool_lib.eligible(pool.made.answers))
    asked = np.concatenate([asked, of_made[:written]])
  absent = picks[(picks < 0) | (picks >= len(asked))]
  if len(absent):
    raise ValueError(
      f'example {absent[0]} is to be queried; there are {len(asked)}, from 0 '
      'on, those that were made included.'
    )
  again = picks[asked[picks]]
  if len(again):
    raise ValueError(f'example {again[0]} was asked about before.')
  _check_once(picks, 'queried')


def checked(
  facts: Facts, pending: np.ndarray, indices: np.ndarray, answers: Answers
) -> tuple[np.ndarray, Answers]:
  """Returns answers in the types that the pool has, if they can be taken.

  Args:
    facts: of the task.
    pending: int32[label budget], -1 pads.
    indices: int[K], the queries that are answered.
    answers: to these, in the same order.

  Returns:
    int32[K], and the Answers as arrays of NumPy.

  Raises:
    ValueError: an index that is not pending, or twice; another number of
      answers; an annotator that there is none; or a target that is none of the
      task.
  """
  indices = np.asarray(indices)
  if indices.ndim != 1 or indices.dtype.kind not in 'iu':
    raise ValueError(
      f'indices are {indices.dtype}{list(indices.shape)}; they must be whole '
      'numbers, int[K].'
    )
  unasked = indices[(indices < 0) | ~np.isin(indices, pending)]
  if len(unasked):
    raise ValueError(
      f'example {unasked[0]} is answered, and no query for it is pending.'
    )
  _check_once(indices, 'answered')
  if not len(indices):
    return indices.astype(np.int32), answers
  annotator = _checked_annotator(np.asarray(answers.annotator), indices)
  labelled = annotator != pool_lib.ABSTAINED
  targets = _as_targets(facts, answers.targets, labelled)
  if labelled.any():
    facts.task.check(
      jax.tree.map(lambda leaf: leaf[labelled], targets),
      'the answers',
      indices[labelled],
    )
  # Whole numbers may have been wider until they were known to be in range.
  wanted = facts.task.empty(1)
  targets = jax.tree.map(
    lambda leaf, like: leaf.astype(like.dtype), targets, wanted
  )
  return indices.astype(np.int32), Answers(targets, annotator)


def check_capacity(facts: Facts, pool: PoolState) -> None:
  """Refuses more labels than the buffers of a learner have room for.

  Args:
    facts: of the task.
    pool: with the answers written.

  Raises:
    ValueError: labels beyond the budget, which would be dropped in silence.
  """
  count = int(pool_lib.num_trainable(pool))
  if count > facts.label_budget:
    raise ValueError(
      f'there are {count} labels to train on; the system was built for a label '
      f'budget of {facts.label_budget}.'
    )


def _check_once(indices, what):
  values, counts = np.unique(indices, return_counts=True)
  if np.any(counts > 1):
    raise ValueError(f'example {values[counts > 1][0]} is {what} twice.')


def _checked_annotator(annotator, indices):
  """int8[K], each of those who may answer."""
  allowed = ', '.join(f'{name} {of}' for name, of in _ANNOTATORS.items())
  if annotator.shape != indices.shape:
    raise ValueError(
      f'annotator has shape {list(annotator.shape)} for {len(indices)} '
      f'answers; there must be one for each: {allowed}.'
    )
  wrong = ~np.isin(annotator, list(_ANNOTATORS.values()))
  if wrong.any():
    at = int(np.argmax(wrong))
    raise ValueError(
      f'the annotator of example {indices[at]} is {annotator[at]}; it must be '
      f'one of {allowed}.'
    )
  return annotator.astype(np.int8)


def _as_targets(facts, targets, labelled):
  """Arrays of NumPy with a row for each answer; zeros where there is none."""
  wanted = facts.task.empty(1)
  given = jax.tree.structure(targets, is_leaf=_is_array_like)
  if given != jax.tree.structure(wanted):
    raise ValueError(
      f'targets are {given}; the task has {jax.tree.structure(wanted)}.'
    )

  def of_part(leaf, like):
    leaf = np.asarray(leaf)
    if leaf.shape[:1] != labelled.shape:
      raise ValueError(
        f'targets have shape {list(leaf.shape)} for {len(labelled)} answers; '
        'each needs one.'
      )
    if leaf.shape[1:] != like.shape[1:]:
      raise ValueError(
        f'targets have shape {list(leaf.shape)}; the task has '
        f'{list(like.shape[1:])} for each example.'
      )
    if np.issubdtype(like.dtype, np.floating) and leaf.dtype.kind in 'fiu':
      with np.errstate(over='ignore'):
        leaf = leaf.astype(np.float32)
    column = labelled.reshape(-1, *[1] * (leaf.ndim - 1))
    return np.where(column, leaf, np.zeros_like(leaf))

  return jax.tree.map(of_part, targets, wanted, is_leaf=_is_array_like)


def _is_array_like(node):
  return isinstance(node, list) or hasattr(node, 'shape')

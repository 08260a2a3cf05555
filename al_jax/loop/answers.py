"""Checks queries and answers before anything is paid for or saved."""

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
  """Rejects invalid queries.

  Args:
    pool: the labelled set.
    picks: int[K], pool indices; those of made examples start at N.
    room: maximum number of pending queries.

  Raises:
    ValueError: there are more queries than room, or one of them does not exist,
      was queried before, or occurs twice.
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
      f'example {absent[0]} is to be queried; there are {len(asked)} examples, '
      'made ones included, numbered from 0.'
    )
  again = picks[asked[picks]]
  if len(again):
    raise ValueError(f'example {again[0]} was queried before.')
  _check_once(picks, 'queried')


def checked(
  facts: Facts, pending: np.ndarray, indices: np.ndarray, answers: Answers
) -> tuple[np.ndarray, Answers]:
  """Converts answers to the types of the pool, if they are valid.

  Args:
    facts: facts of the task.
    pending: int32[label budget], the pending queries, padded with -1.
    indices: int[K], the answered queries.
    answers: the answers, in the same order.

  Returns:
    The indices as int32[K], and the Answers as NumPy arrays.

  Raises:
    ValueError: an index is not pending or occurs twice, the number of answers
      differs from that of the indices, an annotator is unknown, or a target is
      invalid for the task.
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
      f'example {unasked[0]} is answered, but no query for it is pending.'
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
  # Integers keep their width until the task has checked their range.
  wanted = facts.task.empty(1)
  targets = jax.tree.map(
    lambda leaf, like: leaf.astype(like.dtype), targets, wanted
  )
  return indices.astype(np.int32), Answers(targets, annotator)


def check_capacity(facts: Facts, pool: PoolState) -> None:
  """Rejects more labels than the buffers of a learner have room for.

  Args:
    facts: facts of the task.
    pool: the pool with the answers written.

  Raises:
    ValueError: there are labels beyond the budget, which would be dropped
      silently.
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
  """Returns the annotators as int8[K], or raises ValueError."""
  allowed = ', '.join(f'{name} {of}' for name, of in _ANNOTATORS.items())
  if annotator.shape != indices.shape:
    raise ValueError(
      f'annotator has shape {list(annotator.shape)} for {len(indices)} '
      f'answers; each answer needs one of {allowed}.'
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
  """Returns NumPy arrays with a row per answer, zeros where unlabelled."""
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
        'each answer needs one row.'
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

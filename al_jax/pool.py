"""The labelled set as fixed-shape arrays, and the functions that change it.

Shapes never change, so nothing recompiles when the labelled set grows. Masks
come from `acquired_round` and `annotator`, never from `targets`: a target that
has not been revealed is a filler value that must not be read.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from al_jax.interfaces import Facts, PyTree
from al_jax.kernels import _padding
from al_jax.tasks import Task

# Values of PoolState.annotator.
NOBODY = 0
ORACLE = 1
MACHINE = 2  # a model that replaces the oracle, by choice of the experiment
ABSTAINED = 3  # the oracle did not know: paid for, but not a label

NEVER = -1  # in acquired_round and acquired_order


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PoolState:
  """The labelled set: queries so far, and their answers.

  Attributes:
    acquired_round: int32[N], the round whose training is the first to see the
      answer (0 for the initial set); -1 if not queried.
    acquired_order: int32[N], serial number of the query; -1 if not queried.
    targets: pytree of [N, ...], revealed answers; fillers elsewhere.
    annotator: int8[N], one of the values above; 0 if there is no answer.
    made: buffer of examples that are not in the pool, to be queried. If None,
      there is no room for any.
  """

  acquired_round: jax.Array
  acquired_order: jax.Array
  targets: PyTree
  annotator: jax.Array
  made: 'Made | None' = None

  @property
  def num_examples(self) -> int:
    """Returns N, the number of examples in the pool."""
    return self.acquired_round.shape[-1]

  def replace(self, **changes: Any) -> 'PoolState':
    """Returns the state with new values in some fields."""
    return dataclasses.replace(self, **changes)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Made:
  """Buffer of fixed size for examples that are not in the pool.

  Example j is at position N + j, after those of the pool. See `al_jax.made`.

  Attributes:
    inputs: pytree of [M, ...], raw inputs; unused rows are zero.
    answers: PoolState of M examples.
    count: int32, number of rows in use.
  """

  inputs: PyTree
  answers: PoolState
  count: jax.Array


def of(facts: Facts) -> PoolState:
  """Creates the labelled set of a run before its first query.

  Args:
    facts: facts of the task.

  Returns:
    A PoolState with room for `facts.made_capacity` made examples.
  """
  pool = create(facts.num_examples, facts.task)
  if not facts.made_capacity:
    return pool
  inputs = jax.tree.map(
    lambda one: jnp.zeros((facts.made_capacity, *one.shape), one.dtype),
    facts.example,
  )
  answers = create(facts.made_capacity, facts.task)
  return pool.replace(made=Made(inputs, answers, jnp.zeros((), jnp.int32)))


def create(num_examples: int, task: Task | None = None) -> PoolState:
  """Creates a labelled set over N examples, none of them queried.

  Args:
    num_examples: N, the number of examples.
    task: task of the targets. If None, targets are class numbers, without a
      known number of classes.

  Returns:
    A PoolState whose targets are all fillers.
  """
  if task is None:
    targets = jnp.zeros(num_examples, jnp.int32)
  else:
    targets = task.empty(num_examples)
  return PoolState(
    acquired_round=jnp.full(num_examples, NEVER, jnp.int32),
    acquired_order=jnp.full(num_examples, NEVER, jnp.int32),
    targets=targets,
    annotator=jnp.full(num_examples, NOBODY, jnp.int8),
  )


def fully_labelled(targets: PyTree) -> PoolState:
  """Creates a set with all answers known, for a validation or test split.

  Args:
    targets: the answers, pytree of [N, ...].

  Returns:
    A PoolState in which example i is query i.
  """
  targets = jax.tree.map(jnp.asarray, targets)
  num_examples = len(jax.tree.leaves(targets)[0])
  pool = create(num_examples).replace(targets=jax.tree.map(_filler, targets))
  return reveal(pool, jnp.arange(num_examples), targets, ORACLE, round=0)


def eligible(pool: PoolState) -> jax.Array:
  """Returns bool[N], the mask of examples that have never been queried."""
  return pool.acquired_round == NEVER


def trainable(pool: PoolState) -> jax.Array:
  """Returns bool[N], the mask of examples whose target is an answer."""
  return (pool.annotator == ORACLE) | (pool.annotator == MACHINE)


def num_asked(pool: PoolState) -> jax.Array:
  """Returns int32, the number of queries so far, abstentions included."""
  asked = jnp.sum(~eligible(pool), dtype=jnp.int32)
  return asked if pool.made is None else asked + num_asked(pool.made.answers)


def num_trainable(pool: PoolState) -> jax.Array:
  """Returns int32, the number of examples to train on."""
  count = jnp.sum(trainable(pool), dtype=jnp.int32)
  if pool.made is None:
    return count
  return count + num_trainable(pool.made.answers)


def reveal(
  pool: PoolState,
  indices: jax.Array,
  targets: PyTree,
  annotator: jax.Array | int,
  *,
  round: jax.Array | int,
) -> PoolState:
  """Writes the answers to a batch of queries into the labelled set.

  Args:
    pool: the labelled set before.
    indices: int32[K], distinct positions in the order of the queries; those of
      made examples begin at N. Padding with -1 is at the end.
    targets: pytree of [K, ...], the answers; ignored where `annotator` is
      ABSTAINED or the index is -1.
    annotator: int8[K], or one value for all.
    round: the round whose training is the first to see these answers.

  Returns:
    The labelled set after. An ABSTAINED example is no longer eligible, but its
    target remains a filler.

  Raises:
    ValueError: the targets have another form than those of the pool, or are
      floats where the pool has class numbers.
  """
  _check_form(pool.targets, targets)
  serial = num_asked(pool) + jnp.arange(len(indices), dtype=jnp.int32)
  annotator = jnp.broadcast_to(jnp.asarray(annotator, jnp.int8), indices.shape)
  answers = serial, targets, annotator, round
  if pool.made is None:
    return _written(pool, indices, *answers)
  beyond = jnp.where(indices >= pool.num_examples, indices, -1)
  made = _written(
    pool.made.answers, jnp.maximum(beyond - pool.num_examples, -1), *answers
  )
  within = jnp.where(indices < pool.num_examples, indices, -1)
  return _written(pool, within, *answers).replace(
    made=dataclasses.replace(pool.made, answers=made)
  )


def _written(pool, indices, serial, targets, annotator, round):
  """Writes answers to some positions, and drops those of index -1."""
  num_examples = pool.num_examples
  asked = _padding.past_end(indices, num_examples)
  answered = jnp.where(annotator == ABSTAINED, num_examples, asked)
  return pool.replace(
    acquired_round=pool.acquired_round.at[asked].set(
      jnp.asarray(round, jnp.int32), mode='drop'
    ),
    acquired_order=pool.acquired_order.at[asked].set(serial, mode='drop'),
    targets=jax.tree.map(
      lambda old, new: old.at[answered].set(new, mode='drop'),
      pool.targets,
      targets,
    ),
    annotator=pool.annotator.at[asked].set(annotator, mode='drop'),
  )


def labelled_indices(
  pool: PoolState, capacity: int
) -> tuple[jax.Array, jax.Array]:
  """Lists the trainable examples in a buffer of fixed size.

  Args:
    pool: the labelled set.
    capacity: size of the buffer. The caller must check that all examples fit;
      others are dropped silently.

  Returns:
    int32[capacity], positions in increasing order, then -1; and int32, the
    number of trainable examples.
  """
  return positions(trainable(pool), capacity)


def unlabelled_indices(pool: PoolState) -> tuple[jax.Array, jax.Array]:
  """Lists the examples without a target to train on, queried or not.

  Args:
    pool: the labelled set.

  Returns:
    int32[N], positions in increasing order, then -1; and int32, the number of
    these examples.
  """
  return positions(~trainable(pool), pool.num_examples)


def positions(mask: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
  """Lists the positions at which a mask is true, in a buffer of fixed size.

  Args:
    mask: bool[N].
    capacity: size of the buffer; positions that do not fit are dropped
      silently.

  Returns:
    int32[capacity], positions in increasing order, then -1; and int32, the
    number of true entries in the mask.
  """
  (indices,) = jnp.nonzero(mask, size=capacity, fill_value=-1)
  return indices.astype(jnp.int32), jnp.sum(mask, dtype=jnp.int32)


def take(pool: PoolState, indices: jax.Array) -> PoolState:
  """Takes the state of some examples.

  Args:
    pool: the labelled set.
    indices: int32[M], pool indices; -1 gives an example that was not queried.

  Returns:
    A PoolState of M examples, without made ones.
  """
  pool = pool.replace(made=None)
  fillers = create(1).replace(
    targets=jax.tree.map(lambda leaf: _filler(leaf[:1]), pool.targets)
  )
  return jax.tree.map(
    lambda leaf, filler: jnp.concatenate([leaf, filler])[indices],
    pool,
    fillers,
  )


def _filler(targets):
  """Returns zeros of the targets' shape, int32 for class numbers."""
  is_number = jnp.issubdtype(targets.dtype, jnp.floating)
  return jnp.zeros(targets.shape, jnp.float32 if is_number else jnp.int32)


def _check_form(wanted, given):
  """Raises ValueError if targets differ in structure or would be truncated."""
  if jax.tree.structure(wanted) != jax.tree.structure(given):
    raise ValueError(
      f'targets are {jax.tree.structure(given)}; those of the pool are '
      f'{jax.tree.structure(wanted)}.'
    )
  for old, new in zip(
    jax.tree.leaves(wanted), jax.tree.leaves(given), strict=True
  ):
    dtype = jnp.result_type(new)
    if jnp.issubdtype(dtype, jnp.floating) and old.dtype.kind in 'iu':
      raise ValueError(
        f'targets are {dtype}, which would be truncated to whole numbers; the '
        f'pool has class numbers, {old.dtype}.'
      )
    if jnp.shape(new)[1:] != old.shape[1:]:
      raise ValueError(
        f'targets have shape {list(jnp.shape(new))}; the pool has '
        f'{list(old.shape[1:])} for each example.'
      )

"""The labelled set as fixed-shape arrays, and the functions that change it.

Shapes never change, so nothing recompiles when the labelled set grows. Masks
come from `acquired_round` and `annotator`, never from `targets`: where nothing
has been revealed a target is a filler that nobody reads.
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
MACHINE = 2  # in the oracle's place, by decision of the experiment
ABSTAINED = 3  # an oracle that could not say: paid for, but not a label

NEVER = -1  # of acquired_round and acquired_order


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PoolState:
  """Who has been asked what, and what they said.

  Attributes:
    acquired_round: int32[N], the round whose training is the first to see the
      answer (0 for the initial set); -1: never asked.
    acquired_order: int32[N], serial number of the question; -1.
    targets: pytree of [N, ...], the revealed answer; a filler elsewhere.
    annotator: int8[N], NOBODY, ORACLE, MACHINE or ABSTAINED.
    made: examples that are not in the pool and that somebody is asked about;
      None if there is no room for any.
  """

  acquired_round: jax.Array
  acquired_order: jax.Array
  targets: PyTree
  annotator: jax.Array
  made: 'Made | None' = None

  @property
  def num_examples(self) -> int:
    """N."""
    return self.acquired_round.shape[-1]

  def replace(self, **changes: Any) -> 'PoolState':
    """Returns the same state with other values in some fields."""
    return dataclasses.replace(self, **changes)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Made:
  """Examples that are not in the pool, in a buffer of fixed size.

  Example j is at position N + j, after those of the pool. See `al_jax.made`.

  Attributes:
    inputs: pytree of [M, ...], raw; zeros where nothing was written.
    answers: PoolState of M examples.
    count: int32, how many were written.
  """

  inputs: PyTree
  answers: PoolState
  count: jax.Array


def of(facts: Facts) -> PoolState:
  """The pool of a run before its first question.

  Args:
    facts: of the task.

  Returns:
    A PoolState, with room for as many made examples as the facts say.
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
  """A pool of N examples of which none has been asked about.

  Args:
    num_examples: N.
    task: what is predicted. If None, some class of any number.

  Returns:
    A PoolState whose targets are all filler.
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
  """A pool all of whose answers are known: a validation or a test split.

  Args:
    targets: pytree of [N, ...].

  Returns:
    A PoolState in which example i was question i.
  """
  targets = jax.tree.map(jnp.asarray, targets)
  num_examples = len(jax.tree.leaves(targets)[0])
  pool = create(num_examples).replace(targets=jax.tree.map(_filler, targets))
  return reveal(pool, jnp.arange(num_examples), targets, ORACLE, round=0)


def eligible(pool: PoolState) -> jax.Array:
  """bool[N]: the examples that have never been asked about."""
  return pool.acquired_round == NEVER


def trainable(pool: PoolState) -> jax.Array:
  """bool[N]: the examples whose target is an answer."""
  return (pool.annotator == ORACLE) | (pool.annotator == MACHINE)


def num_asked(pool: PoolState) -> jax.Array:
  """int32: how many questions were asked, abstentions included."""
  asked = jnp.sum(~eligible(pool), dtype=jnp.int32)
  return asked if pool.made is None else asked + num_asked(pool.made.answers)


def num_trainable(pool: PoolState) -> jax.Array:
  """int32: how many examples there are to train on."""
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
  """Writes the answers to a batch of questions into the pool.

  Args:
    pool: the state before.
    indices: int32[K], distinct positions in the order of asking; those of made
      examples begin at N; -1 pads, at the end.
    targets: pytree of [K, ...], the answers; not read where `annotator` is
      ABSTAINED or the index is -1.
    annotator: int8[K] or one for all.
    round: the round whose training is the first to see these answers.

  Returns:
    The state after. An ABSTAINED example is no longer eligible, but keeps its
    filler for a target.

  Raises:
    ValueError: targets of another form than those of the pool, or numbers where
      the pool has class numbers.
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
  """A state with these answers at some of its positions; -1 is nowhere."""
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
  """The trainable examples in a buffer of fixed size.

  Args:
    pool: the labelled set.
    capacity: the size of the buffer. The caller has checked that as many fit:
      what does not would be dropped in silence.

  Returns:
    int32[capacity], positions in increasing order, then -1; and int32, how
    many there are.
  """
  return positions(trainable(pool), capacity)


def unlabelled_indices(pool: PoolState) -> tuple[jax.Array, jax.Array]:
  """The examples without a target to train on, asked about or not.

  Args:
    pool: the labelled set.

  Returns:
    int32[N], positions in increasing order, then -1; and int32, how many there
    are.
  """
  return positions(~trainable(pool), pool.num_examples)


def positions(mask: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
  """Where a mask is true, in a buffer of fixed size.

  Args:
    mask: bool[N].
    capacity: the size of the buffer; what does not fit is dropped in silence.

  Returns:
    int32[capacity], positions in increasing order, then -1; and int32, how
    many there are.
  """
  (indices,) = jnp.nonzero(mask, size=capacity, fill_value=-1)
  return indices.astype(jnp.int32), jnp.sum(mask, dtype=jnp.int32)


def take(pool: PoolState, indices: jax.Array) -> PoolState:
  """The state of some examples.

  Args:
    pool: the labelled set.
    indices: int32[M], positions; -1 gives an example that nobody asked about.

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
  """Zeros in the place of targets; class numbers are int32."""
  is_number = jnp.issubdtype(targets.dtype, jnp.floating)
  return jnp.zeros(targets.shape, jnp.float32 if is_number else jnp.int32)


def _check_form(wanted, given):
  """Raises if targets would be cut off, or are of another structure."""
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
        f'targets are {dtype}; the pool has class numbers, {old.dtype}: they '
        'would be cut to whole numbers.'
      )
    if jnp.shape(new)[1:] != old.shape[1:]:
      raise ValueError(
        f'targets have shape {list(jnp.shape(new))}; the pool has '
        f'{list(old.shape[1:])} for each example.'
      )

"""The labelled set as fixed-shape arrays, and the functions that change it.

Shapes never change, so nothing recompiles when the labelled set grows. Masks
come from `acquired_round` and `annotator`, never from `targets`: where nothing
has been revealed a target is a filler that nobody reads.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from al_jax.interfaces import PyTree
from al_jax.kernels import _padding

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
  """

  acquired_round: jax.Array
  acquired_order: jax.Array
  targets: PyTree
  annotator: jax.Array

  @property
  def num_examples(self) -> int:
    """N."""
    return self.acquired_round.shape[-1]

  def replace(self, **changes: Any) -> 'PoolState':
    """Returns the same state with other values in some fields."""
    return dataclasses.replace(self, **changes)


def create(num_examples: int) -> PoolState:
  """A pool of N examples of which none has been asked about.

  Args:
    num_examples: N.

  Returns:
    A PoolState whose targets, int32[N] class numbers, are all filler.
  """
  return PoolState(
    acquired_round=jnp.full(num_examples, NEVER, jnp.int32),
    acquired_order=jnp.full(num_examples, NEVER, jnp.int32),
    targets=jnp.zeros(num_examples, jnp.int32),
    annotator=jnp.full(num_examples, NOBODY, jnp.int8),
  )


def fully_labelled(targets: jax.Array) -> PoolState:
  """A pool all of whose answers are known: a validation or a test split.

  Args:
    targets: int32[N].

  Returns:
    A PoolState in which example i was question i.
  """
  return reveal(
    create(len(targets)), jnp.arange(len(targets)), targets, ORACLE, round=0
  )


def eligible(pool: PoolState) -> jax.Array:
  """bool[N]: the examples that have never been asked about."""
  return pool.acquired_round == NEVER


def trainable(pool: PoolState) -> jax.Array:
  """bool[N]: the examples whose target is an answer."""
  return (pool.annotator == ORACLE) | (pool.annotator == MACHINE)


def num_asked(pool: PoolState) -> jax.Array:
  """int32: how many questions were asked, abstentions included."""
  return jnp.sum(~eligible(pool), dtype=jnp.int32)


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
    indices: int32[K], distinct positions in the order of asking; -1 pads, at
      the end.
    targets: pytree of [K, ...], the answers; not read where `annotator` is
      ABSTAINED or the index is -1.
    annotator: int8[K] or one for all.
    round: the round whose training is the first to see these answers.

  Returns:
    The state after. An ABSTAINED example is no longer eligible, but keeps its
    filler for a target.
  """
  num_examples = pool.num_examples
  serial = num_asked(pool) + jnp.arange(len(indices), dtype=jnp.int32)
  annotator = jnp.broadcast_to(jnp.asarray(annotator, jnp.int8), indices.shape)
  asked = _padding.past_end(indices, num_examples)
  answered = jnp.where(annotator == ABSTAINED, num_examples, asked)
  return PoolState(
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
    A PoolState of M examples.
  """
  nothing = create(1)
  fillers = nothing.replace(
    targets=jax.tree.map(
      lambda leaf: jnp.zeros((1, *leaf.shape[1:]), leaf.dtype), pool.targets
    )
  )
  return jax.tree.map(
    lambda leaf, filler: jnp.concatenate([leaf, filler])[indices],
    pool,
    fillers,
  )

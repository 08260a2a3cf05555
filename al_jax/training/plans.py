"""Which examples the next step takes: epochs over a growing labelled set.

The labelled positions sit in a buffer of fixed size with their count beside
them, so that nothing recompiles when the set grows; the *number* of steps
follows the count.
"""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Epochs:
  """Passes over a set of examples in a new order each time.

  Attributes:
    order: int32[capacity + batch_size], the members in the order of this
      epoch, then -1: a slice at any position is a whole batch.
    count: int32, how many members there are.
    position: int32, how many of them this epoch has taken.
    epoch: int32, how many epochs are over.
  """

  order: jax.Array
  count: jax.Array
  position: jax.Array
  epoch: jax.Array


def empty(capacity: int, batch_size: int) -> Epochs:
  """An Epochs over nothing, of full size."""
  return Epochs(
    order=jnp.full(capacity + batch_size, -1, jnp.int32),
    count=jnp.zeros((), jnp.int32),
    position=jnp.zeros((), jnp.int32),
    epoch=jnp.zeros((), jnp.int32),
  )


def begin(
  key: jax.Array, members: jax.Array, count: jax.Array, batch_size: int
) -> Epochs:
  """The first epoch over a set.

  Args:
    key: shuffles the epoch.
    members: int32[capacity], positions in the pool, then -1.
    count: int32, how many of them are real.
    batch_size: of the batches to come.

  Returns:
    Epochs in which nothing has been taken.
  """
  padding = jnp.full(batch_size, -1, jnp.int32)
  return Epochs(
    order=jnp.concatenate([_shuffled(key, members), padding]),
    count=count.astype(jnp.int32),
    position=jnp.zeros((), jnp.int32),
    epoch=jnp.zeros((), jnp.int32),
  )


def next_batch(epochs: Epochs, batch_size: int) -> jax.Array:
  """int32[batch_size]: the members that come next; -1 pads the last batch."""
  return jax.lax.dynamic_slice(epochs.order, (epochs.position,), (batch_size,))


def full_batch(epochs: Epochs, batch_size: int) -> jax.Array:
  """int32[batch_size]: the members that come next, then from the first again.

  A batch of more than there are has some or all of them several times.

  Args:
    epochs: advanced by `batch_size` after each batch.
    batch_size: of the batch.

  Returns:
    Without padding, unless there are no members.
  """
  place = epochs.position + jnp.arange(batch_size)
  return epochs.order[place % jnp.maximum(epochs.count, 1)]


def ends_epoch(epochs: Epochs, batch_size: int) -> jax.Array:
  """bool: the next batch is the last of its epoch."""
  return epochs.position + batch_size >= epochs.count


def advance(key: jax.Array, epochs: Epochs, batch_size: int) -> Epochs:
  """Takes the next batch, and shuffles anew when that ends the epoch.

  Args:
    key: of this step; consumed only at the end of an epoch.
    epochs: the state before.
    batch_size: the size of the batch.

  Returns:
    The state after.
  """
  ends = ends_epoch(epochs, batch_size)
  # The sort is worth a branch: it would cost more than a small step.
  order = jax.lax.cond(
    ends, lambda: _shuffled(key, epochs.order), lambda: epochs.order
  )
  return epochs.replace(
    order=order,
    position=jnp.where(ends, 0, epochs.position + batch_size),
    epoch=epochs.epoch + ends.astype(jnp.int32),
  )


def steps_per_epoch(epochs: Epochs, batch_size: int) -> jax.Array:
  """int32: how many batches an epoch has."""
  return (epochs.count + batch_size - 1) // batch_size


def _shuffled(key, members):
  """A uniform order of what is not -1; the -1 stay at the end."""
  priority = jax.random.uniform(key, members.shape)
  # Members sort by a random number below 1, padding behind all of them.
  priority = jnp.where(members < 0, 2.0, priority)
  return jax.lax.sort((priority, members), num_keys=1)[1]

"""Plans the examples of each step: epochs over a growing labelled set.

The pool indices of the labelled set sit in a buffer of fixed size, with their
count. So nothing recompiles when the set grows: only the number of steps
depends on the count.
"""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Epochs:
  """Passes over a set of examples, each in a new order.

  Attributes:
    order: int32[capacity + batch_size], the members in the order of this
      epoch, then -1. The padding makes a slice at any position a full batch.
    count: int32, number of members.
    position: int32, number of members that this epoch has taken.
    epoch: int32, number of epochs that are over.
  """

  order: jax.Array
  count: jax.Array
  position: jax.Array
  epoch: jax.Array


def empty(capacity: int, batch_size: int) -> Epochs:
  """Makes a full-size Epochs without members."""
  return Epochs(
    order=jnp.full(capacity + batch_size, -1, jnp.int32),
    count=jnp.zeros((), jnp.int32),
    position=jnp.zeros((), jnp.int32),
    epoch=jnp.zeros((), jnp.int32),
  )


def begin(
  key: jax.Array, members: jax.Array, count: jax.Array, batch_size: int
) -> Epochs:
  """Begins the first epoch over a set.

  Args:
    key: key that shuffles the epoch.
    members: int32[capacity], pool indices, then -1.
    count: int32, number of members that are not -1.
    batch_size: number of examples per batch.

  Returns:
    Epochs at the beginning of the first.
  """
  padding = jnp.full(batch_size, -1, jnp.int32)
  return Epochs(
    order=jnp.concatenate([_shuffled(key, members), padding]),
    count=count.astype(jnp.int32),
    position=jnp.zeros((), jnp.int32),
    epoch=jnp.zeros((), jnp.int32),
  )


def next_batch(epochs: Epochs, batch_size: int) -> jax.Array:
  """Returns the next members: int32[batch_size]; -1 pads the last batch."""
  return jax.lax.dynamic_slice(epochs.order, (epochs.position,), (batch_size,))


def full_batch(epochs: Epochs, batch_size: int) -> jax.Array:
  """Returns the next members, starting over from the first at the end.

  If a batch has more rows than there are members, members repeat.

  Args:
    epochs: epochs that advance by `batch_size` after each batch.
    batch_size: number of examples per batch.

  Returns:
    int32[batch_size], without padding unless there are no members.
  """
  place = epochs.position + jnp.arange(batch_size)
  return epochs.order[place % jnp.maximum(epochs.count, 1)]


def ends_epoch(epochs: Epochs, batch_size: int) -> jax.Array:
  """Tells whether the next batch is the last of its epoch: bool."""
  return epochs.position + batch_size >= epochs.count


def advance(key: jax.Array, epochs: Epochs, batch_size: int) -> Epochs:
  """Takes the next batch, and shuffles anew if that ends the epoch.

  Args:
    key: key of this step; consumed only at the end of an epoch.
    epochs: state before the step.
    batch_size: number of examples per batch.

  Returns:
    The state after the step.
  """
  ends = ends_epoch(epochs, batch_size)
  # A branch, since the sort would cost more than a small step.
  order = jax.lax.cond(
    ends, lambda: _shuffled(key, epochs.order), lambda: epochs.order
  )
  return epochs.replace(
    order=order,
    position=jnp.where(ends, 0, epochs.position + batch_size),
    epoch=epochs.epoch + ends.astype(jnp.int32),
  )


def steps_per_epoch(epochs: Epochs, batch_size: int) -> jax.Array:
  """Returns the number of batches in an epoch: int32."""
  return (epochs.count + batch_size - 1) // batch_size


def _shuffled(key, members):
  """Shuffles the members uniformly; the -1 stay at the end."""
  priority = jax.random.uniform(key, members.shape)
  # Members sort by a random number below 1; padding sorts after them.
  priority = jnp.where(members < 0, 2.0, priority)
  return jax.lax.sort((priority, members), num_keys=1)[1]

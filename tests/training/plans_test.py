import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.training import plans

CAPACITY = 12
KEY = jax.random.key(5)

begin = jax.jit(plans.begin, static_argnames='batch_size')
next_batch = jax.jit(plans.next_batch, static_argnames='batch_size')
advance = jax.jit(plans.advance, static_argnames='batch_size')


def a_set(count):
  """Positions 10, 13, 16, ... in a buffer, and how many they are."""
  members = np.full(CAPACITY, -1, np.int32)
  members[:count] = 10 + 3 * np.arange(count)
  return jnp.asarray(members), jnp.int32(count)


def batches_of(epochs, batch_size, number):
  """The next batches, and the state after them."""
  batches = []
  for _ in range(number):
    batches.append(np.asarray(next_batch(epochs, batch_size)))
    key = jax.random.fold_in(KEY, 100 * int(epochs.epoch) + len(batches))
    epochs = advance(key, epochs, batch_size)
  return batches, epochs


@pytest.mark.parametrize('batch_size', [1, 4])
@pytest.mark.parametrize('count', [1, 3, 4, 10, CAPACITY])
def test_every_epoch_takes_every_member_exactly_once(count, batch_size):
  members, number = a_set(count)
  epochs = begin(KEY, members, number, batch_size)
  per_epoch = int(plans.steps_per_epoch(epochs, batch_size))
  assert per_epoch == -(-count // batch_size)
  for epoch in range(3):
    assert (int(epochs.epoch), int(epochs.position)) == (epoch, 0)
    batches, epochs = batches_of(epochs, batch_size, per_epoch)
    taken = np.concatenate(batches)
    # Only the last batch is short, and its padding is at its end.
    np.testing.assert_array_equal(sorted(taken[:count]), members[:count])
    np.testing.assert_array_equal(taken[count:], -1)


def test_the_end_of_an_epoch_is_known_before_its_last_batch():
  epochs = begin(KEY, *a_set(10), 4)
  ends = []
  for _ in range(6):
    ends.append(bool(plans.ends_epoch(epochs, 4)))
    epochs = advance(KEY, epochs, 4)
  assert ends == [False, False, True] * 2


def test_fewer_members_than_a_batch_are_one_short_batch_each_epoch():
  epochs = begin(KEY, *a_set(3), 8)
  batches, epochs = batches_of(epochs, 8, 4)
  for batch in batches:
    np.testing.assert_array_equal(sorted(batch[:3]), [10, 13, 16])
    np.testing.assert_array_equal(batch[3:], [-1] * 5)
  assert int(epochs.epoch) == 4


@pytest.mark.parametrize('make', [begin, None])
def test_an_empty_set_gives_padding_and_nothing_else(make):
  epochs = make(KEY, *a_set(0), 4) if make else plans.empty(CAPACITY, 4)
  assert int(plans.steps_per_epoch(epochs, 4)) == 0
  batches, after = batches_of(epochs, 4, 2)
  np.testing.assert_array_equal(batches, np.full((2, 4), -1))
  np.testing.assert_array_equal(after.order, np.full(CAPACITY + 4, -1))


def test_an_empty_plan_has_the_shapes_and_types_of_a_full_one():
  full = begin(KEY, *a_set(10), 4)
  for other in (plans.empty(CAPACITY, 4), advance(KEY, full, 4)):
    same = jax.tree.map(
      lambda a, b: (
        (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
      ),
      full,
      other,
    )
    assert all(jax.tree.leaves(same))


def test_the_order_changes_from_epoch_to_epoch_and_with_the_key():
  epochs = begin(KEY, *a_set(CAPACITY), 4)
  orders = []
  for _ in range(4):
    batches, epochs = batches_of(epochs, 4, 3)
    orders.append(tuple(np.concatenate(batches)))
  other = begin(jax.random.key(6), *a_set(CAPACITY), 4)
  orders.append(tuple(np.asarray(other.order[:CAPACITY])))
  assert len(set(orders)) == 5


def test_the_order_stays_within_an_epoch_whatever_the_key():
  epochs = begin(KEY, *a_set(10), 4)
  after = advance(jax.random.key(9), epochs, 4)
  np.testing.assert_array_equal(after.order, epochs.order)


def test_every_order_is_as_likely_as_any_other():
  members, count = a_set(3)
  keys = jax.random.split(KEY, 1200)
  orders = jax.vmap(lambda key: begin(key, members, count, 1).order[:3])(keys)
  _, counts = np.unique(orders, axis=0, return_counts=True)
  assert len(counts) == 6
  assert np.sum((counts - 200) ** 2 / 200) < 20.5  # chi-squared, 5: p = 0.001


def test_compiled_and_plain_plans_agree():
  members, count = a_set(10)
  compiled = begin(KEY, members, count, 4)
  plain = plans.begin(KEY, members, count, 4)
  for step in range(4):
    chex.assert_trees_all_equal(compiled, plain)
    key = jax.random.fold_in(KEY, step)
    compiled, plain = advance(key, compiled, 4), plans.advance(key, plain, 4)


def test_a_set_that_grows_compiles_nothing():
  traced = jax.jit(chex.assert_max_traces(_an_epoch_in_fours, n=1))
  for count in (0, 3, 9, CAPACITY):
    taken = traced(KEY, *a_set(count))
    taken = taken[taken >= 0]
    np.testing.assert_array_equal(np.sort(taken), 10 + 3 * np.arange(count))


def _an_epoch_in_fours(key, members, count):
  """Every batch of one epoch, by a loop of traced length."""
  epochs = plans.begin(key, members, count, 4)
  rows = jnp.full((CAPACITY, 4), -1, jnp.int32)

  def body(step, carry):
    epochs, rows = carry
    rows = rows.at[step].set(plans.next_batch(epochs, 4))
    return plans.advance(jax.random.fold_in(key, step), epochs, 4), rows

  steps = plans.steps_per_epoch(epochs, 4)
  return jax.lax.fori_loop(0, steps, body, (epochs, rows))[1]

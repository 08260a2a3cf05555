"""ALBL: learns during the run which of several strategies to follow.

Hsu and Lin 2015, "Active Learning by Learning": the strategies are arms of a
bandit (EXP4.P). The reward is the accuracy on the queried examples, each
weighted by the inverse of the probability of its query. The reward of a round
is known only after the network has trained, so the next `select` applies it.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy, StrategyState
from al_jax.kernels import _padding
from al_jax.strategies import needs

VERSIONS = ('batch', 'query')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bandit:
  """State of ALBL between rounds.

  Attributes:
    log_weights: float32[A], logarithms of the arms' weights.
    importance: float32[N], inverse probability of each query that the arms
      made; 0 for other examples.
    credit: float32[A], each arm's share of the last round's reward.
    bonus: float32[A], 1 / probability of each arm that the last round updates;
      0 for the others.
    num_queries: float32, number of queries in the whole run.
    arms: states of the arms.
  """

  log_weights: jax.Array
  importance: jax.Array
  credit: jax.Array
  bonus: jax.Array
  num_queries: jax.Array
  arms: tuple[StrategyState, ...]

  def replace(self, **changes: Any) -> 'Bandit':
    """Returns a copy with some fields changed."""
    return dataclasses.replace(self, **changes)


def albl(
  *,
  arms: Sequence[Strategy],
  version: str = 'batch',
  delta: float = 0.1,
  num_queries: int | None = None,
) -> Strategy:
  """Learns with a bandit which of several strategies to follow.

  Both versions follow arm a with probability

    p_a = (1 - A p_min) w_a / sum w + p_min

  and multiply its weight after the reward r by

    exp(p_min / 2 (credit_a r + bonus_a sqrt(log(A / delta) / T))).

  `'query'`, the paper's version (section 3), draws every query x anew from

    q(x) = sum_a p_a psi_a(x),

  where psi_a is 1 at the arm's next suggestion and 0 elsewhere; a `uniform` arm
  has the same psi_a for all eligible examples. T is A times the number of
  queries, p_min = sqrt(log A / T), credit_a the mean of psi_a(x) / q(x) over
  the round's queries, bonus_a = 1 / p_a, and

    r = sum over the queries so far of [x predicted right] / q(x)
        / (N num_queries).

  With a `uniform` arm r estimates the accuracy on the pool, times the share of
  the queries that have been made. Without one most of the pool can never be
  queried, and r is at most 1 / (N p_min).

  `'batch'`, from the code of BADGE (Ash et al. 2020), draws one arm for the
  whole round and updates that arm alone. T is A, p_min = 1 / (10 A), credit_a =
  1, bonus_a = 1 / p_a, and r is the mean over the labelled set of [x predicted
  right] / the probability of the arm that queried x.

  Args:
    arms: two or more strategies without `where` and `prefilter`.
    version: one of `VERSIONS`.
    delta: probability with which the bound on the regret may fail, in (0, 1).
    num_queries: number of queries in the whole run, for `'query'`. If None, the
      label budget.

  Returns:
    A Strategy whose state is a Bandit. It measures the arms' measurements and
    the predicted class.
  """
  _check(arms, version, delta, num_queries)
  num_arms = len(arms)
  is_uniform = np.array([arm.uniform for arm in arms])

  def init(facts):
    queries = num_queries or facts.label_budget
    if version == 'query':
      _check_enough(queries, num_arms)
    return _bandit(arms, facts, queries)

  def measure(key, apply, batch):
    keys = jax.random.split(key, num_arms)
    of_arms = tuple(
      () if arm.measure is None else arm.measure(arm_key, apply, batch)
      for arm, arm_key in zip(arms, keys, strict=True)
    )
    predicted = jnp.argmax(apply(batch.inputs).predictions, axis=-1)
    return of_arms, predicted.astype(jnp.int32)

  def select(key, bandit, measured, seen, pool, k):
    of_arms, predicted = measured
    draw_key, *keys = jax.random.split(key, num_arms + 1)
    bandit, probs = _rewarded(
      bandit, predicted, seen, pool, version=version, delta=delta
    )
    states = list(bandit.arms)
    num_open = jnp.sum(pool_lib.eligible(pool))

    def suggestions(arm):
      states[arm], selection = arms[arm].select(
        keys[arm], states[arm], of_arms[arm], seen, pool, k
      )
      return selection

    if version == 'batch':
      arm = int(jax.random.categorical(draw_key, jnp.log(probs)))
      selection = suggestions(arm)
      bandit = _followed_one(bandit, selection.indices, probs, arm)
    else:
      all_indices = jnp.stack(
        [suggestions(arm).indices for arm in range(num_arms)]
      )
      bandit, selection = _followed_many(
        draw_key, bandit, all_indices, probs, is_uniform, num_open
      )
    return bandit.replace(arms=tuple(states)), selection

  return Strategy(init, measure, select, needs=_needs(arms))


def _check(arms, version, delta, num_queries):
  if len(arms) < 2:
    raise ValueError(
      f'arms has {len(arms)} strategies; it must have 2 or more.'
    )
  if any(arm.where is not None or arm.prefilter is not None for arm in arms):
    raise ValueError(
      'an arm has `where` or `prefilter`; give it to the whole strategy.'
    )
  if version not in VERSIONS:
    raise errors.unknown_name('version', version, VERSIONS)
  if not 0 < delta < 1:
    raise ValueError(f'delta is {delta}; it must be in (0, 1).')
  if num_queries is not None and num_queries < 1:
    raise ValueError(f'num_queries is {num_queries}; it must be at least 1.')


def _needs(arms):
  needed = {need: why for arm in arms for need, why in needs.of(arm).items()}
  return {
    **needed,
    needs.CLASSES: 'its reward is an accuracy',
    needs.ANSWERS: 'it learns from them which arm to follow',
  }


def _check_enough(num_queries, num_arms):
  fewest = int(np.ceil(num_arms * np.log(num_arms)))
  if num_queries < fewest:
    raise ValueError(
      f'num_queries is {num_queries}; with {num_arms} arms it must be at least '
      f'{fewest}.'
    )


def _bandit(arms, facts, num_queries):
  """Returns the state before the first query."""
  zeros = jnp.zeros(len(arms), jnp.float32)
  return Bandit(
    log_weights=zeros,
    importance=jnp.zeros(facts.num_examples, jnp.float32),
    credit=zeros,
    bonus=zeros,
    num_queries=jnp.asarray(num_queries, jnp.float32),
    arms=tuple(arm.init(facts) for arm in arms),
  )


@functools.partial(jax.jit, static_argnames=('version', 'delta'))
def _rewarded(bandit, predicted, seen, pool, *, version, delta):
  """Applies the last round's reward; also returns the arms' probabilities."""
  num_arms = len(bandit.log_weights)
  labelled = pool_lib.trainable(pool)
  is_right = labelled & seen & (predicted == pool.targets)
  if version == 'batch':
    length, least = num_arms, 1 / (10 * num_arms)
    # No arm queried the first set: it has weight 1.
    importance = jnp.where(bandit.importance > 0, bandit.importance, 1)
    reward = jnp.sum(is_right * importance) / jnp.maximum(jnp.sum(labelled), 1)
  else:
    length = num_arms * bandit.num_queries
    least = jnp.sqrt(jnp.log(num_arms) / length)
    reward = jnp.sum(is_right * bandit.importance) / (
      pool.num_examples * bandit.num_queries
    )
  bound = jnp.sqrt(jnp.log(num_arms / delta) / length)
  growth = least / 2 * (bandit.credit * reward + bandit.bonus * bound)
  # Weights grow without bound: keep logarithms relative to the largest.
  log_weights = bandit.log_weights + growth
  log_weights -= jnp.max(log_weights)
  shares = jax.nn.softmax(log_weights)
  probs = (1 - num_arms * least) * shares + least
  return bandit.replace(log_weights=log_weights), probs


@jax.jit
def _followed_one(bandit, indices, probs, arm):
  """Records that one arm chose the whole batch."""
  share = probs[arm]
  indices = _padding.past_end(indices, len(bandit.importance))
  is_arm = jnp.arange(len(probs)) == arm
  return bandit.replace(
    importance=bandit.importance.at[indices].set(1 / share, mode='drop'),
    credit=is_arm.astype(jnp.float32),
    bonus=jnp.where(is_arm, 1 / share, 0),
  )


@jax.jit
def _followed_many(key, bandit, all_indices, probs, is_uniform, num_open):
  """Draws queries one by one from the arms' next suggestions, [A, K].

  A uniform arm might have suggested any of the `num_open` eligible examples.
  """
  num_arms, k = all_indices.shape
  num_points = len(bandit.importance)

  def draw(taken, key_and_number):
    key, number = key_and_number
    is_open = (all_indices >= 0) & ~taken[all_indices]
    has_one = jnp.any(is_open, axis=1)
    suggested = all_indices[jnp.arange(num_arms), jnp.argmax(is_open, axis=1)]
    of_arm = jnp.where(has_one, probs, 0)
    of_arm /= jnp.maximum(jnp.sum(of_arm), jnp.finfo(probs.dtype).tiny)
    asked = suggested[jax.random.categorical(key, jnp.log(of_arm))]
    of_asked = jnp.where(
      is_uniform, 1 / (num_open - number), suggested == asked
    )
    of_asked = jnp.where(has_one, of_asked, 0)
    is_there = jnp.any(has_one)
    chance = jnp.where(is_there, jnp.sum(of_arm * of_asked), 1)
    asked = jnp.where(is_there, asked, -1)
    row = jnp.where(is_there, asked, num_points)
    taken = taken.at[row].set(True, mode='drop')
    return taken, (asked, 1 / chance, of_asked / chance)

  taken = jnp.zeros(num_points, jnp.bool_)
  questions = (jax.random.split(key, k), jnp.arange(k))
  _, (asked, inverse, credit) = jax.lax.scan(draw, taken, questions)
  number = jnp.maximum(jnp.sum(asked >= 0), 1)
  rows = _padding.past_end(asked, num_points)
  bandit = bandit.replace(
    importance=bandit.importance.at[rows].set(inverse, mode='drop'),
    credit=jnp.sum(credit, axis=0) / number,
    bonus=1 / probs,
  )
  return bandit, kernels.Selection(
    asked, jnp.where(asked < 0, -jnp.inf, inverse)
  )

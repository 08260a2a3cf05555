"""BatchBALD: the batch whose labels tell most about the network together.

Most candidates never meet the full table of configurations of the labels chosen
so far. Rows with similar beliefs are averaged into groups. Entropy is concave,
so a gain against the groups is an upper bound of the gain against the rows.
Only candidates whose bound reaches the best gain are evaluated. The picks equal
those of evaluating every candidate.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import (
  _checks,
  _joint_labels,
  _xla,
  selection,
  uncertainty,
)
from al_jax.kernels.selection import Selection

# More groups give tighter bounds and cost more. At N 5,000, S 100, C 10, k 10
# and 10,000 rows, 128, 256 and 512 groups took 3.6, 1.7 and 1.7 s of CPU for
# unrelated samples, and 0.6, 0.7 and 1.1 s for samples of linear models.
_NUM_GROUPS = 256
# Gains this close count as equal: they differ by the rounding of a sum.
_ROUNDING = 2e-6


class _Plan(NamedTuple):
  """Static sizes of a run.

  Attributes:
    k: Number of picks.
    num_listed: Number of picks that see every configuration of earlier labels.
    num_drawn: Number of configurations that the other picks see.
    chunk: Number of candidates processed at a time.
  """

  k: int
  num_listed: int
  num_drawn: int
  chunk: int


class _Candidates(NamedTuple):
  """Candidates, in whole chunks.

  Attributes:
    probs: Probabilities, [N, C, S].
    entropies: Entropies of the samples' predictions, [N, S].
  """

  probs: jax.Array
  entropies: jax.Array


def batch_bald(
  key: jax.Array,
  mc_logits: jax.Array,
  k: int,
  *,
  eligible: jax.Array | None = None,
  num_samples: int = 10_000,
  chunk: int = 64,
) -> Selection:
  """Picks greedily the k points whose labels tell most about the network.

  The top k of `bald` may be k copies of one point. Here the worth of a pick is
  the information that its label adds to the labels y_B of the batch so far:

    gain(i) = I(y_i; w | y_B)
            = E_{y_B} [ H(y_i | y_B) - E_{w | y_B} H(y_i | w) ].

  The expectation is over all configurations of y_B while there are at most
  `num_samples`, and over a random draw of them after. Both terms use the
  beliefs of the same rows, so that no drawn gain is below 0.

  Kirsch, van Amersfoort and Gal 2019, "BatchBALD: Efficient and Diverse Batch
  Acquisition for Deep Bayesian Active Learning", section 3.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> votes = jnp.array([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])
  >>> mc_logits = 9.0 * jax.nn.one_hot(votes, 2)
  >>> picks = kernels.batch_bald(jax.random.key(0), mc_logits, 2)
  >>> picks.indices  # not 1, which asks what 0 asked
  Array([0, 2], dtype=int32)

  Args:
    key: Random key that draws configurations; no effect if all are kept.
    mc_logits: float [S, N, C], S >= 1 samples that the whole pool shares.
    k: Number of picks, at least 1; static.
    eligible: Points that may be picked, bool[N]. If None, all.
    num_samples: Maximum number of configurations; static. Draws keep
      `num_samples // S` for each sample.
    chunk: Number of candidates that meet the table at a time; static. It
      changes speed and memory only. Extra memory is a copy of the pool's
      probabilities, a few tables [num_samples, S + 256], and [1000, chunk * C].

  Returns:
    A Selection whose values are the gains; their running sum is the mutual
    information between the batch's labels and the network. Ties go to the
    lowest index. A point with an invalid prediction is never picked. If fewer
    than k points can be picked, the remaining indices are -1 and values -inf.

  Raises:
    ValueError: If k, num_samples or chunk is below 1, there is no sample, or
      num_samples is below S where configurations have to be drawn.
  """
  k = _checks.count('k', k)
  num_samples = _checks.count('num_samples', num_samples)
  chunk = _checks.count('chunk', chunk)
  key = _checks.key(key)
  mc_logits = _checks.logits('mc_logits', mc_logits, 'S, N, C')
  num_networks, num_points, num_classes = mc_logits.shape
  hint = ''
  if eligible is not None and jnp.shape(eligible) == (num_networks,):
    hint = 'mc_logits seem to be [N, S, C]: pass jnp.swapaxes(mc_logits, 0, 1).'
  eligible = _checks.mask('eligible', eligible, num_points, hint=hint)
  num_listed = _num_listed_picks(k, num_classes, num_samples)
  num_drawn = num_samples // num_networks * num_networks
  if num_listed < k and not num_drawn:
    raise ValueError(
      f'num_samples is {num_samples}; after {num_listed} picks of '
      f'{num_classes} classes configurations are drawn for each of the '
      f'{num_networks} samples, so that it must be at least {num_networks}.'
    )
  return _batch_bald(
    key=key,
    mc_logits=mc_logits,
    k=k,
    eligible=eligible,
    num_listed=num_listed,
    num_drawn=num_drawn,
    chunk=chunk,
  )


@_xla.compiled
def _batch_bald(*, key, mc_logits, k, eligible, num_listed, num_drawn, chunk):
  pool, pickable = _prepare(mc_logits, eligible, chunk)
  plan = _Plan(k, num_listed, num_drawn, min(chunk, len(pickable)))
  return _pick_all(key, pool, pickable, plan)


def _prepare(mc_logits, eligible, chunk):
  """Pads the pool to whole chunks, and finds the pickable points, bool[N]."""
  log_probs = uncertainty.log_softmax(mc_logits)
  _, num_points, num_classes = log_probs.shape
  entropies = uncertainty.entropy_of(mc_logits).T
  pickable = jnp.all(jnp.isfinite(entropies), axis=1)
  pickable = _checks.among(pickable, eligible)
  probs = jnp.exp(log_probs).transpose(1, 2, 0)
  # Points that are never picked must not turn sums into NaN.
  probs = jnp.where(pickable[:, None, None], probs, 1 / num_classes)
  entropies = jnp.where(pickable[:, None], entropies, 0.0)
  # At least one row, so that there is always a last row.
  chunk = min(chunk, max(num_points, 1))
  missing = max(chunk, -(-num_points // chunk) * chunk) - num_points
  pool = _Candidates(
    jnp.pad(probs, ((0, missing), (0, 0), (0, 0))),
    jnp.pad(entropies, ((0, missing), (0, 0))),
  )
  return pool, jnp.pad(pickable, (0, missing))


def _pick_all(key, pool, pickable, plan):
  """Picks k points, first by listed configurations, then by drawn ones."""
  _, num_classes, num_networks = pool.probs.shape

  def log_probs_of(indices):
    return jnp.log(pool.probs[indices])

  def pick(position, table, pickable, picks):
    index, gain = _best(pool, table, pickable, plan.chunk)
    indices = picks.indices.at[position].set(index)
    values = picks.values.at[position].set(gain)
    # Once nothing is left, index -1 hits the last row, which is not pickable.
    return pickable.at[index].set(False), Selection(indices, values)

  def pick_and_list(position, state):
    table, pickable, picks = state
    pickable, picks = pick(position, table, pickable, picks)
    longer = _joint_labels.listed(table, log_probs_of(picks.indices[position]))
    # After the last listed pick the table has no room for one more point.
    has_room = position + 1 < plan.num_listed
    table = jax.tree.map(lambda a, b: jnp.where(has_room, a, b), longer, table)
    return table, pickable, picks

  def draw_and_pick(position, state):
    table, pickable, picks = state
    log_probs = log_probs_of(picks.indices[position - 1])
    draw_key = jax.random.fold_in(key, position)
    table = _joint_labels.drawn(draw_key, table, log_probs, plan.num_drawn)
    return table, *pick(position, table, pickable, picks)

  table = _joint_labels.nothing_chosen(
    num_classes ** (plan.num_listed - 1), num_networks, pool.probs.dtype
  )
  picks = selection.nothing(plan.k, pool.probs.dtype)
  state = (table, pickable, picks)
  state = lax.fori_loop(0, plan.num_listed, pick_and_list, state)
  if plan.num_listed < plan.k:
    table, pickable, picks = state
    listed = log_probs_of(picks.indices[: plan.num_listed - 1])
    table = _joint_labels.drawn_from_list(key, table, listed, plan.num_drawn)
    state = (table, pickable, picks)
    state = lax.fori_loop(plan.num_listed, plan.k, draw_and_pick, state)
  return state[-1]


def _num_listed_picks(k, num_classes, num_samples):
  """Returns how many picks see every configuration of earlier labels."""
  num_listed = 1
  while num_listed < k and num_classes**num_listed <= num_samples:
    num_listed += 1
  return num_listed


def _best(pool, table, pickable, chunk):
  """Finds the candidate with the largest gain, and that gain; -1 if none."""
  beliefs = jnp.exp(table.log_beliefs)
  groups = _grouped(table.weights, beliefs)
  in_chunks = jax.tree.map(
    lambda leaf: leaf.reshape(-1, chunk, *leaf.shape[1:]), pool
  )
  bounds = lax.map(lambda some: _gains(some, *groups), in_chunks).reshape(-1)
  # -inf: never evaluated, or evaluated already.
  bounds = jnp.where(pickable, bounds, -jnp.inf)

  def may_be_beaten(state):
    bounds, gains = state
    highest = jnp.max(bounds)
    # >=, so that the lowest index wins a tie.
    beaten = highest >= jnp.max(gains) - _ROUNDING
    return beaten & (highest > -jnp.inf)

  def evaluate_next(state):
    bounds, gains = state
    highest, indices = _xla.top_k(bounds, chunk)
    some = jax.tree.map(lambda leaf: leaf[indices], pool)
    evaluated = _gains(some, table.weights, beliefs)
    evaluated = jnp.where(highest > -jnp.inf, evaluated, gains[indices])
    return bounds.at[indices].set(-jnp.inf), gains.at[indices].set(evaluated)

  none = jnp.full_like(bounds, -jnp.inf)
  _, gains = lax.while_loop(may_be_beaten, evaluate_next, (bounds, none))
  index = jnp.argmax(gains).astype(jnp.int32)
  return jnp.where(gains[index] > -jnp.inf, index, -1), gains[index]


def _gains(candidates, weights, beliefs):
  """Computes what each candidate's label adds to the rows' labels, [B].

  The gain is the entropy of each row's prediction less the mean entropy of its
  samples.
  """
  num_candidates, num_classes, num_networks = candidates.probs.shape
  probs = candidates.probs.reshape(-1, num_networks)
  tile = min(_joint_labels.TILE, len(weights))

  def add_tile(number, total):
    rows = lax.dynamic_slice_in_dim(beliefs, number * tile, tile)
    row_weights = lax.dynamic_slice_in_dim(weights, number * tile, tile)
    mixed = jnp.matmul(rows, probs.T, precision=lax.Precision.HIGHEST)
    # p log p is 0 for p = 0, and for subnormal p.
    normal = jnp.maximum(mixed, jnp.finfo(mixed.dtype).tiny)
    return total - row_weights @ (mixed * jnp.log(normal))

  last_row = jnp.max(jnp.where(weights > 0, jnp.arange(len(weights)), 0))
  total = jnp.zeros(len(probs), probs.dtype)
  total = lax.fori_loop(0, last_row // tile + 1, add_tile, total)
  mixed_entropies = jnp.sum(total.reshape(num_candidates, num_classes), axis=1)
  return mixed_entropies - candidates.entropies @ (weights @ beliefs)


def _grouped(weights, beliefs):
  """Averages rows with similar beliefs into fewer rows.

  Leaders are spaced evenly by weight; each row joins its nearest leader.
  """
  num_groups = min(_NUM_GROUPS, len(weights))
  cumulative = jnp.cumsum(weights)
  places = (jnp.arange(num_groups) + 0.5) / num_groups * cumulative[-1]
  leaders = beliefs[jnp.searchsorted(cumulative, places)]
  products = jnp.matmul(beliefs, leaders.T, precision=lax.Precision.HIGHEST)
  # Omits the row's own norm, which is the same for all leaders.
  sq_dists = jnp.sum(jnp.square(leaders), axis=1)[None] - 2 * products
  group = jnp.argmin(sq_dists, axis=1)
  member = group[:, None] == jnp.arange(num_groups)[None]
  shares = jnp.where(member, weights[:, None], 0.0)
  group_weights = jnp.sum(shares, axis=0)
  sums = jnp.matmul(shares.T, beliefs, precision=lax.Precision.HIGHEST)
  nonempty = jnp.where(group_weights > 0, group_weights, 1.0)
  return group_weights, sums / nonempty[:, None]

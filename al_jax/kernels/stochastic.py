"""Batches drawn at random by score: diverse at the cost of a ranking."""

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _xla, selection
from al_jax.kernels.selection import Selection

_KINDS = ('power', 'softmax', 'softrank')
# Noise divided by a smaller coldness might overflow. Draws are uniform well
# above this value already.
_LEAST_COLDNESS = 1e-30


def stochastic_top_k(
  key: jax.Array,
  scores: jax.Array,
  k: int,
  *,
  kind: str = 'power',
  coldness: float = 1.0,
  eligible: jax.Array | None = None,
) -> Selection:
  """Draws k points one by one without replacement, favouring high scores.

  Picks the best k of scores with noise, G_i ~ Gumbel(0, 1):

    kind      ranked quantity         first draw proportional to
    power     log s_i + G_i / beta    s_i^beta
    softmax   s_i + G_i / beta        exp(beta s_i)
    softrank  -log r_i + G_i / beta   r_i^-beta,  r_i = 1 for the best score

  Each further draw follows the same rule among the remaining points. Power does
  not depend on the scale of the scores, and softrank only on their order.

  Kirsch et al. 2023, "Stochastic Batch Acquisition: A Simple Baseline for Deep
  Active Learning", section 3.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> scores = jnp.array([0.0, 0.5, jnp.nan, 0.25])
  >>> picks = kernels.stochastic_top_k(jax.random.key(0), scores, 4).indices
  >>> sorted(picks[:2].tolist()), picks[2:].tolist()
  ([1, 3], [0, -1])

  Args:
    key: Random key; consumed.
    scores: float [N]. A point whose score is not finite is never picked.
    k: Number of picks, at least 1; static.
    kind: Ranked quantity; static.
    coldness: beta, above 0; below 1e-30 it counts as 1e-30. Near 0 all draws
      are uniform; as it grows, they become `top_k`.
    eligible: Points that may be picked, bool[N]. If None, all.

  Returns:
    A Selection whose values are the ranked quantity. Under power, scores below
    float32's least normal number, 1.2e-38, are never drawn before larger ones.
    If fewer than k scores are larger, the others fill up the batch uniformly,
    at a value of -inf. If fewer than k points can be picked, the remaining
    indices are -1 and values -inf.

  Raises:
    ValueError: If kind is unknown, k is below 1, or coldness is not above 0.
  """
  if kind not in _KINDS:
    raise ValueError(
      f'kind is {kind!r}; it must be one of {", ".join(_KINDS)}.'
    )
  _checks.number(
    'coldness',
    coldness,
    'above 0 and finite',
    lambda value: 0 < value < float('inf'),
  )
  k, key = _checks.count('k', k), _checks.key(key)
  scores = _checks.floats('scores', scores, 'N')
  eligible = _checks.mask('eligible', eligible, len(scores))
  return _stochastic_top_k(
    key=key,
    scores=scores,
    k=k,
    kind=kind,
    coldness=coldness,
    eligible=eligible,
  )


@_xla.compiled
def _stochastic_top_k(*, key, scores, k, kind, coldness, eligible):
  scores = _checks.at_least_float32(scores)
  pickable = _checks.among(jnp.isfinite(scores), eligible)
  noise_key, other_key = jax.random.split(key)
  # The default mode has 23 bits, so that large pools would have ties.
  noise = jax.random.gumbel(noise_key, scores.shape, scores.dtype, mode='high')
  noise = noise / jnp.maximum(coldness, _LEAST_COLDNESS)
  if kind == 'softmax':
    return selection.top_k(scores + noise, k, eligible=pickable)
  if kind == 'softrank':
    return _by_rank(other_key, scores, pickable, noise, k)
  # The logarithm of a subnormal number may be -inf.
  positive = pickable & (scores >= jnp.finfo(scores.dtype).tiny)
  log_scores = jnp.log(jnp.where(positive, scores, 1.0))
  drawn = selection.top_k(log_scores + noise, k, eligible=positive)
  others = pickable & ~positive
  # Scores above 0 nearly always suffice.
  rest = lax.cond(
    jnp.sum(positive) < k,
    lambda: selection.uniform(other_key, others, k).indices,
    lambda: jnp.full(k, -1, jnp.int32),
  )
  # The rest begins where the drawn picks end.
  place = jnp.arange(k) - jnp.sum(drawn.indices >= 0)
  fill = jnp.where(place >= 0, rest[jnp.maximum(place, 0)], -1)
  return drawn._replace(indices=jnp.where(place < 0, drawn.indices, fill))


def _by_rank(key, scores, pickable, noise, k):
  """Picks the best k by rank and noise; equal scores are ranked at random.

  The noise belongs to the place in the ranking, independent of everything else.
  """
  num_points = len(scores)
  # inf: sorted behind every point that can be picked.
  descending = jnp.where(pickable, -scores, jnp.inf)
  tie_breakers = jax.random.bits(key, (num_points,), jnp.uint32)
  index = jnp.arange(num_points, dtype=jnp.int32)
  *_, by_rank = lax.sort((descending, tie_breakers, index), num_keys=2)
  ranks = jnp.arange(1, num_points + 1, dtype=scores.dtype)
  best = selection.top_k(noise - jnp.log(ranks), k, eligible=pickable[by_rank])
  # The index -1 of a missing pick reads the last entry, which is -1 again.
  by_rank = jnp.append(by_rank, jnp.int32(-1))
  return best._replace(indices=by_rank[best.indices])

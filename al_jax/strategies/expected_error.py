"""Asks about the labels that should leave the least uncertainty in the pool.

Roy and McCallum 2001, "Toward Optimal Active Learning through Sampling
Estimation of Error Reduction". To train on every example under every label is
out of the question; here the last layer takes one step of Newton's method.
"""

import functools

import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies.measured import among_measured
from al_jax.strategies.scored import select_top, stateless

# Examples whose labels are tried at a time: each looks at the whole pool.
_BLOCK = 8


def expected_error_reduction(*, ridge: float = 1.0) -> Strategy:
  """The smallest expected entropy of the pool after a label.

  With embeddings h (a 1 appended), logits f and probabilities p, a label y of x
  moves the logits of all others by

    f_j += h_j' A^-1 h_x / (1 + h_x' A^-1 h_x / 2) (e_y - p_x),
    A = ridge I + 1/2 sum over the labelled of h h'

  a Newton step under the bound 1/2 (I - 1 1'/C) on the softmax's curvature
  (Boehning 1992). The score of x is minus sum_y p_xy sum_j H(f_j). It costs
  N^2 (D + 10 C^2) operations for N examples that are looked at: of a large
  pool, look at a subset.

  Args:
    ridge: of the last layer's weights, above 0.

  Returns:
    A Strategy that measures embeddings [N, D] and logits [N, C].
  """
  errors.check_number('ridge', ridge, above=0)
  select = functools.partial(_select, ridge=ridge)
  return Strategy(init=stateless, measure=_measure, select=select)


def _measure(key, apply, batch):
  del key
  output = apply(batch.inputs)
  return output.embedding, output.predictions


@among_measured
@functools.partial(jax.jit, static_argnames=('k', 'ridge'))
def _select(key, state, measured, pool, k, *, ridge):
  embeddings, logits = measured
  expected = expected_entropy(
    embeddings,
    logits,
    ridge=ridge,
    eligible=pool_lib.eligible(pool),
    labeled=pool_lib.trainable(pool),
  )
  return select_top(key, state, -expected, pool, k)


def _is_measured(embeddings, logits):
  finite = jnp.all(jnp.isfinite(embeddings), axis=1)
  return finite & jnp.all(jnp.isfinite(logits), axis=1)


def expected_entropy(
  embeddings: jax.Array,
  logits: jax.Array,
  *,
  ridge: float,
  eligible: jax.Array,
  labeled: jax.Array,
) -> jax.Array:
  """The mean entropy of the eligible pool expected after each label.

  Args:
    embeddings: float32[N, D].
    logits: float32[N, C].
    ridge: see `expected_error_reduction`.
    eligible: bool[N], whose labels are tried, and whose entropy counts.
    labeled: bool[N], what the last layer was trained on.

  Returns:
    float32[N]; NaN where an embedding or logit is not finite.
  """
  finite = _is_measured(embeddings, logits)
  counted = finite & eligible
  points = jnp.pad(embeddings, ((0, 0), (0, 1)), constant_values=1)
  points = jnp.where(finite[:, None], points, 0)
  logits = jnp.where(finite[:, None], logits, 0)
  probs = jax.nn.softmax(logits)
  known = jnp.where((labeled & finite)[:, None], points, 0)
  whitened = _whitened(points, known, ridge)

  def of_one(row):
    steps = jnp.matmul(
      whitened, whitened[row], precision=jax.lax.Precision.HIGHEST
    )
    steps /= 1 + steps[row] / 2
    moves = jnp.eye(logits.shape[1]) - probs[row][None, :]

    def under_label(move):
      entropies = kernels.entropy(logits + steps[:, None] * move[None, :])
      return jnp.sum(jnp.where(counted, entropies, 0))

    return jnp.sum(probs[row] * jax.lax.map(under_label, moves))

  rows = jnp.arange(len(points))
  totals = jax.lax.map(of_one, rows, batch_size=_BLOCK)
  means = totals / jnp.maximum(jnp.sum(counted), 1)
  return jnp.where(finite, means, jnp.nan)


def _whitened(points, known, ridge):
  """The points [N, D] as z with z_i' z_j = h_i' A^-1 h_j.

  A is R'R for the R of a QR decomposition. Its products are never added up:
  the squares of long embeddings would leave nothing of the ridge in float32.
  """
  root = jnp.sqrt(ridge) * jnp.eye(points.shape[1])
  factor = jnp.linalg.qr(
    jnp.concatenate([root, known / jnp.sqrt(2.0)]), mode='r'
  )
  return jax.scipy.linalg.solve_triangular(factor, points.T, trans='T').T

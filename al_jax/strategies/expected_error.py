"""Queries the examples expected to leave the least uncertainty in the pool.

Roy and McCallum 2001, "Toward Optimal Active Learning through Sampling
Estimation of Error Reduction". Training on every example under every label is
infeasible; here only the last layer is trained, to second order.
"""

import functools

import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.measured import among_measured
from al_jax.strategies.scored import select_top, stateless

# Examples whose labels are tried at a time; each needs the whole pool.
_BLOCK = 8
# Most last-layer weights for which the full Fisher matrix is kept: 64 MiB, and
# four times that during inversion.
_MOST_WEIGHTS = 4096
# float32 cannot tell a smaller curvature from 0; curvatures are at most 1.
_LEAST_CURVATURE = 1e-6
# Newton usually takes about five steps; the limit is for divergence.
_MOST_STEPS, _TOLERANCE = 20, 1e-5


def expected_error_reduction(*, ridge: float = 1.0) -> Strategy:
  """Queries the examples whose label leaves the least expected entropy.

  With embeddings h (a 1 appended), logits f and probabilities p, a label y of x
  moves the logits of all examples by

    u_j = (h_j x I)' K (h_x x I) a,      K^-1 = ridge I + sum_i h_i h_i' x S_i,
    a = e_y - softmax(f_x + u_x),        S = diag(p) - p p',

  where i runs over the labelled set and x between matrices is the Kronecker
  product. K^-1 is the Fisher matrix of the last layer at its fitted
  probabilities: the labelled set is treated to second order, the new label
  exactly. The score of x is minus

    sum_y p_xy (mean_j H(f_j + u_j) - sum_i k_i(u_i, u_i, g_i) / 2),

  with g_i = (h_i x I)' K d/dw mean_j H(f_j) and the third cumulant

    k_i(u, u, g) = sum_c p_ic (u_c - p_i'u)^2 (g_c - p_i'g).

  The second term comes from the third derivative of the labelled set's loss.
  The first order has expectation 0, so this term matters as much as the
  entropy. docs/bayesian.md compares the scores with retraining.

  It costs N^2 C^2 (D + 20) operations for N measured examples, and (C D)^3 for
  K: use a subset of a large pool. If C (D + 1) is above 4,096, K^-1 keeps only
  its diagonal block per class, with p_c (1 - p_c) in place of S; it then costs
  N^2 C (D + 20 C) and C D^3.

  Args:
    ridge: ridge penalty on the last layer's weights, above 0.

  Returns:
    A Strategy that measures embeddings [N, D] and logits [N, C].
  """
  errors.check_number('ridge', ridge, above=0)
  select = functools.partial(_select, ridge=ridge)
  needed = {needs.CLASSES: '', needs.EMBEDDING: ''}
  return Strategy(
    stateless,
    _measure,
    select,
    needs=needed,
    score='minus the entropy of the pool expected after the label',
  )


def _measure(key, apply, batch):
  del key
  output = apply(batch.inputs)
  return output.embedding, output.predictions


@among_measured
@functools.partial(jax.jit, static_argnames=('k', 'ridge'))
def _select(key, state, measured, seen, pool, k, *, ridge):
  # Unmeasured rows have weight 0, but 0 * NaN is NaN.
  embeddings, logits = (jnp.where(seen[:, None], rows, 0) for rows in measured)
  expected = expected_entropy(
    embeddings,
    logits,
    ridge=ridge,
    eligible=pool_lib.eligible(pool) & seen,
    labeled=pool_lib.trainable(pool) & seen,
  )
  return select_top(key, state, -expected, seen, pool, k)


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
  """Returns the expected mean entropy of the eligible pool after each label.

  Args:
    embeddings: float32[N, D].
    logits: float32[N, C].
    ridge: see `expected_error_reduction`.
    eligible: bool[N], examples whose labels are tried and whose entropy counts.
    labeled: bool[N], examples that the last layer was trained on.

  Returns:
    float32[N]; NaN where an embedding or logit is not finite.
  """
  finite = _is_measured(embeddings, logits)
  counted, known = finite & eligible, finite & labeled
  points = jnp.pad(embeddings, ((0, 0), (0, 1)), constant_values=1)
  points = jnp.where(finite[:, None], points, 0)
  logits = jnp.where(finite[:, None], logits, 0)
  log_probs = jax.nn.log_softmax(logits)
  probs = jnp.exp(log_probs)
  points, held = _whitened(points, known, ridge)
  inverse = _inverse_fisher(points, log_probs, known, held)

  share = counted / jnp.maximum(jnp.sum(counted), 1)
  slopes = share[:, None] * _entropy_slopes(log_probs)
  slopes = _product(points, _solved(inverse, _product(points.T, slopes)))
  bends = jnp.where(known[:, None], probs * _centred(slopes, probs), 0) / 2

  def of_one(row):
    influence = _influence(inverse, points, row)
    answers = _answers(influence[row], logits[row])

    def under_answer(answer):
      moves = _through(influence, answer)
      entropies = kernels.entropy(logits + moves)
      bent = jnp.sum(bends * jnp.square(_centred(moves, probs)))
      return jnp.sum(share * entropies) - bent

    return jnp.sum(probs[row] * jax.lax.map(under_answer, answers))

  rows = jnp.arange(len(points))
  expected = jax.lax.map(of_one, rows, batch_size=_BLOCK)
  return jnp.where(finite, expected, jnp.nan)


def _product(left, right):
  return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _centred(values, probs):
  """Subtracts from values [N, C] their means under probs.

  The mean is a dot product because jaxlib 0.10.2 on CPU, given blocks of
  examples, fuses the difference and a sum over classes to wrong numbers.
  """
  means = jnp.einsum(
    'nc,nc->n', probs, values, precision=jax.lax.Precision.HIGHEST
  )
  return values - means[:, None]


def _entropy_slopes(log_probs):
  """Returns the gradients [N, C] of the entropies by the logits."""
  probs = jnp.exp(log_probs)
  surprise = jnp.where(probs > 0, -log_probs, 0)
  return probs * _centred(surprise, probs)


def _whitened(points, known, ridge):
  """Whitens the points [N, D] and the ridge so that z_i' z_j = h_i' A^-1 h_j.

  A = ridge I + 1/2 sum over the labelled set of h h' bounds the Fisher matrix,
  whose eigenvalues after whitening are at most 1. A QR decomposition gives R
  with A = R'R, because summing A in float32 would lose the ridge beside the
  squares of long embeddings.
  """
  root = jnp.sqrt(ridge) * jnp.eye(points.shape[1])
  rows = jnp.where(known[:, None], points, 0) / jnp.sqrt(2.0)
  factor = jnp.linalg.qr(jnp.concatenate([root, rows]), mode='r')
  whiten = functools.partial(
    jax.scipy.linalg.solve_triangular, factor, trans='T'
  )
  roots = whiten(root)
  return whiten(points.T).T, _product(roots, roots.T)


def _inverse_fisher(points, log_probs, known, held):
  """Returns K [D, C, D, C], or its blocks per class [C, D, D] if too large."""
  size, num_classes = points.shape[1], log_probs.shape[1]
  points = jnp.where(known[:, None], points, 0)
  probs = jnp.exp(log_probs)
  # p (1 - p) without rounding 1 - p.
  variances = -probs * jnp.expm1(log_probs)
  held = held + _LEAST_CURVATURE * jnp.eye(size)

  def of_class(weights):
    return held + _product(points.T, weights[:, None] * points)

  within = jax.lax.map(of_class, variances.T)
  if size * num_classes > _MOST_WEIGHTS:
    return _inverse(within)
  weighted = points[:, :, None] * probs[:, None, :]
  weighted = weighted.reshape(len(points), size * num_classes)
  across = -_product(weighted.T, weighted)
  across = across.reshape(size, num_classes, size, num_classes)
  is_within = jnp.eye(num_classes, dtype=bool)[None, :, None, :]
  blocks = jnp.moveaxis(within, 0, 1)[:, :, :, None]
  fisher = jnp.where(is_within, blocks, across)
  square = fisher.reshape(size * num_classes, size * num_classes)
  return _inverse(square).reshape(fisher.shape)


def _inverse(matrix):
  """Inverts symmetric positive definite matrices [..., D, D]."""
  lower = jnp.linalg.cholesky(matrix)
  identity = jnp.broadcast_to(jnp.eye(matrix.shape[-1]), matrix.shape)
  root = jax.scipy.linalg.solve_triangular(lower, identity, lower=True)
  return _product(jnp.swapaxes(root, -1, -2), root)


def _solved(inverse, gradient):
  """Multiplies K by a gradient [D, C]."""
  if inverse.ndim == 4:
    size = gradient.size
    flat = _product(inverse.reshape(size, size), gradient.reshape(size))
    return flat.reshape(gradient.shape)
  return _product(inverse, gradient.T[:, :, None])[:, :, 0].T


def _influence(inverse, points, row):
  """Returns the effect [N, C, C] of one example's residual [C] on all logits.

  If K keeps only blocks per class, returns the diagonal, [N, C].
  """
  if inverse.ndim == 4:
    pulled = jnp.einsum(
      'dcef,e->dcf',
      inverse,
      points[row],
      precision=jax.lax.Precision.HIGHEST,
    )
    flat = _product(points, pulled.reshape(len(pulled), -1))
    return flat.reshape(len(points), *pulled.shape[1:])
  return _product(points, _product(inverse, points[row]).T)


def _through(influence, answer):
  """Returns the changes [N, C] of all logits under one example's answer [C]."""
  if influence.ndim == 3:
    return _product(influence, answer)
  return influence * answer[None, :]


def _answers(response, logits):
  """Solves a = e_y - softmax(f + G a) for every label y: [C, C].

  Each a minimises a' G a / 2 - log softmax(f + G a)_y. Newton steps are damped
  by log(1 + b) / b, where b is the range of the change of the logits; they
  always converge (Sun and Tran-Dinh 2019, "Generalized Self-Concordant
  Functions").

  Args:
    response: G, the effect of the example's residual on its own logits, [C, C],
      or its diagonal [C].
    logits: f [C].
  """
  identity = jnp.eye(len(logits))
  if response.ndim == 1:
    response = jnp.diag(response)

  def of_label(target):
    def residual_and_probs(answer):
      probs = jax.nn.softmax(logits + _product(response, answer))
      return answer - target + probs, probs

    def step(carry):
      answer, residual, probs, count = carry
      curvature = jnp.diag(probs) - jnp.outer(probs, probs)
      newton = jnp.linalg.solve(
        identity + _product(curvature, response), residual
      )
      change = _product(response, newton)
      reach = jnp.maximum(jnp.max(change) - jnp.min(change), 1e-6)
      answer = answer - jnp.log1p(reach) / reach * newton
      return answer, *residual_and_probs(answer), count + 1

    def is_open(carry):
      _, residual, _, count = carry
      wrong = jnp.max(jnp.abs(residual)) > _TOLERANCE
      return wrong & (count < _MOST_STEPS)

    start = jnp.zeros_like(logits)
    begun = start, *residual_and_probs(start), jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(is_open, step, begun)[0]

  return jax.vmap(of_label)(identity)

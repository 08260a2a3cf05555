"""Uncertainty of one predictive distribution: `[..., C] -> [...]`.

Larger means more informative. Logits and log-probabilities both work, since
`log_softmax` leaves the latter unchanged. With two classes all three scores
give the same ranking. With any number of classes a uniform prediction scores
highest and a certain one lowest.

An invalid prediction (its logits contain NaN or +inf, or are all -inf) scores
NaN, which no kernel ever picks.
"""

import jax
import jax.numpy as jnp

from al_jax.kernels import _checks


def log_softmax(logits: jax.Array) -> jax.Array:
  """Computes log-probabilities in at least float32, for logits of any type.

  Args:
    logits: float [..., C], C >= 1.

  Returns:
    [..., C]; float64 for float64 logits, else float32.
  """
  return jax.nn.log_softmax(_checks.at_least_float32(logits))


def entropy(logits: jax.Array) -> jax.Array:
  """Computes the entropy of the predictive distribution, in nats.

  Every class counts: a prediction spread over five classes scores higher than
  one split between two. In terms of log-probabilities,

    H = -sum_c p_c log p_c,   with 0 log 0 = 0, also in the gradient.

  Settles 2009, "Active Learning Literature Survey", section 3.1.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> logits = jnp.array([[0.0, 0.0], [3.0, 0.0], [0.0, -jnp.inf]])
  >>> [f'{score:.3f}' for score in kernels.entropy(logits)]
  ['0.693', '0.191', '0.000']

  Args:
    logits: float [..., C]. A logit of -inf marks an impossible class.

  Returns:
    [...], from 0 to log C; 0 where C = 1.
  """
  return entropy_of(_checks.logits('logits', logits))


def entropy_of(logits: jax.Array) -> jax.Array:
  """Computes `entropy` of logits that are already checked."""
  log_probs = log_softmax(logits)
  impossible = log_probs == -jnp.inf
  # Two `where`s: the outer one alone would leave 0 * inf in the gradient.
  finite = jnp.where(impossible, 0.0, log_probs)
  terms = jnp.where(impossible, 0.0, -jnp.exp(finite) * finite)
  return jnp.sum(terms, axis=-1)


def least_confidence(logits: jax.Array) -> jax.Array:
  """Computes the probability that the most likely class is wrong.

  Only the top class counts:

    1 - max_c p_c,   summed as the probabilities of all the other classes,

  so that scores far below the rounding error of 1 still differ: float32 has
  no number between 1 - 6e-8 and 1.

  Settles 2009, "Active Learning Literature Survey", section 3.1.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> logits = jnp.array([[0.0, 0.0], [3.0, 0.0], [0.0, -jnp.inf]])
  >>> [f'{score:.3f}' for score in kernels.least_confidence(logits)]
  ['0.500', '0.047', '0.000']

  Args:
    logits: float [..., C]. If several classes tie at the top, the score is that
      of any of them.

  Returns:
    [...], from 0 to 1 - 1/C; 0 where C = 1.
  """
  log_probs = log_softmax(_checks.logits('logits', logits))
  # NaN stays NaN, also where C = 1 and there is no other class.
  left_out = _is_top(log_probs) & ~jnp.isnan(log_probs)
  return jnp.sum(jnp.where(left_out, 0.0, jnp.exp(log_probs)), axis=-1)


def margin(logits: jax.Array) -> jax.Array:
  """Computes the lead of the most likely class over the next, negated.

  Only the top two classes count:

    -(p_(1) - p_(2)),   p_(1) >= p_(2) >= ... the sorted probabilities.

  Settles 2009, "Active Learning Literature Survey", section 3.1.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> logits = jnp.array([[0.0, 0.0], [3.0, 0.0], [0.0, -jnp.inf]])
  >>> [f'{score:.3f}' for score in kernels.margin(logits)]
  ['0.000', '-0.905', '-1.000']

  Args:
    logits: float [..., C] with C >= 2. A tie at the top has margin 0.

  Returns:
    [...], from -1 to 0.

  Raises:
    ValueError: If C < 2, so that there is no second class.
  """
  logits = _checks.logits('logits', logits)
  if logits.shape[-1] < 2:
    raise ValueError(
      f'logits have shape {logits.shape}; margin needs [..., C] with C >= 2.'
    )
  log_probs = log_softmax(logits)
  # Two maxima, since on CPU `lax.top_k` of many short rows is far slower.
  first = jnp.max(log_probs, axis=-1)
  others = jnp.where(_is_top(log_probs), -jnp.inf, log_probs)
  second = jnp.max(others, axis=-1)
  return jnp.exp(second) - jnp.exp(first)


def _is_top(log_probs):
  """Marks one most likely class, the first if several tie, bool[..., C]."""
  top = jnp.argmax(log_probs, axis=-1)
  return jax.nn.one_hot(top, log_probs.shape[-1], dtype=jnp.bool_)

"""Uncertainty for a state that is updated as the learner learns (SRAAL)."""

import jax
import jax.numpy as jnp

from al_jax.kernels import uncertainty


def online_uncertainty(logits: jax.Array) -> jax.Array:
  """Scores the uncertainty of a prediction by its top class and its rivals.

  With V the probabilities, m the largest of them, and MinVar(m) the smallest
  variance that C probabilities with that maximum can have:

    Unc = 1 - m MinVar(m) / Var(V).

  Among predictions with the same top probability, the one that spreads the rest
  evenly scores lowest, 1 - m, and the one with a single rival highest.

  Zhang et al. 2020, "State-Relabeling Adversarial Active Learning", section 3.

  Computed as (1 - m) + m W / (W + r^2 (C - 1) / C), where r is the mean of
  p_c / m - 1 over the other classes, and W the sum of their squared deviations
  from it. Nothing cancels: predictions close to uniform or to certain keep
  their digits.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> probs = jnp.array([[0.6, 0.2, 0.2], [0.6, 0.4, 0.0], [1.0, 0.0, 0.0]])
  >>> [f'{score:.3f}' for score in kernels.online_uncertainty(jnp.log(probs))]
  ['0.400', '0.657', '0.000']

  Args:
    logits: float [..., C], C >= 1, or log-probabilities. A logit of -inf marks
      an impossible class.

  Returns:
    [...], from 0 to 1; 1 - 1/C for a uniform prediction, the same as for an
    even spread; 0 where C = 1; NaN for an invalid prediction.

  Raises:
    ValueError: If there is no axis of classes.
  """
  others = uncertainty.least_confidence(logits)
  logits = jnp.asarray(logits, others.dtype)
  num_classes = logits.shape[-1]
  is_other = ~jax.nn.one_hot(
    jnp.argmax(logits, axis=-1), num_classes, dtype=jnp.bool_
  )
  top = jnp.max(logits, axis=-1, keepdims=True)
  # 0 for the top class. Divided by the largest, so that no square underflows.
  shortfalls = -jnp.expm1(logits - top)
  largest = jnp.max(shortfalls, axis=-1, keepdims=True)
  shortfalls = shortfalls / jnp.where(largest > 0, largest, 1.0)
  mean = jnp.sum(shortfalls, axis=-1, keepdims=True) / max(num_classes - 1, 1)
  deviations = jnp.where(is_other, shortfalls - mean, 0.0)
  uneven = jnp.sum(jnp.square(deviations), axis=-1)
  even = jnp.square(mean[..., 0]) * (num_classes - 1) / num_classes
  spread = uneven + even
  share = uneven / jnp.where(spread > 0, spread, 1.0)
  return others + (1 - others) * share

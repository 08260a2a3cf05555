"""What S samples of a network say together: `[S, ..., C]` logits in."""

import jax
import jax.numpy as jnp

from al_jax.kernels import uncertainty


def predictive_log_probs(mc_logits: jax.Array) -> jax.Array:
  """Log of the mean of the sampled predictive distributions.

  The mean is of probabilities, never of logits, and is taken in log space:

    log p_c = logsumexp_s(log p_sc) - log S.

  The result goes wherever logits do: `entropy(predictive_log_probs(...))` is
  the entropy that Bayesian active learning maximises.

  Gal, Islam and Ghahramani 2017, "Deep Bayesian Active Learning with Image
  Data", section 3.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> sure_of_0, sure_of_1 = [9.0, -9.0], [-9.0, 9.0]
  >>> mc_logits = jnp.array([[sure_of_0, sure_of_0], [sure_of_0, sure_of_1]])
  >>> log_probs = kernels.predictive_log_probs(mc_logits)
  >>> [f'{prob:.3f}' for prob in jnp.exp(log_probs[:, 0])]
  ['1.000', '0.500']

  Args:
    mc_logits: float [S, ..., C], S >= 1. Of one sample it is `log_softmax`.

  Returns:
    [..., C], float32 or wider; -inf, with a gradient of 0, where every sample
    rules a class out; NaN where any sample is not a prediction.

  Raises:
    ValueError: without an axis of samples, or with no sample along it.
  """
  log_probs = uncertainty.log_softmax(mc_logits)
  if log_probs.ndim < 2 or log_probs.shape[0] < 1:
    raise ValueError(
      f'mc_logits have shape {log_probs.shape}; it must be [S, ..., C] with '
      'S >= 1.'
    )
  impossible = jnp.all(log_probs == -jnp.inf, axis=0, keepdims=True)
  # Twice `where`: the gradient of logsumexp of nothing but -inf is NaN.
  safe = jnp.where(impossible, 0.0, log_probs)
  mean = jax.nn.logsumexp(safe, axis=0) - jnp.log(log_probs.shape[0])
  return jnp.where(impossible[0], -jnp.inf, mean)

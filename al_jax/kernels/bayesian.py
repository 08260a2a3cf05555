"""Scores that combine S samples of a network: `[S, ..., C]` logits in.

A sample is one network: it uses the same dropout masks for every point of the
pool. Otherwise the scores of two points could not be compared.

If a prediction is invalid in any sample (its logits contain NaN or +inf, or are
all -inf), the score is NaN, which no kernel ever picks.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _checks, _xla, uncertainty


def predictive_log_probs(mc_logits: jax.Array) -> jax.Array:
  """Computes the log of the mean of the sampled predictive distributions.

  The mean is of probabilities, never of logits, and is taken in log space:

    log p_c = logsumexp_s(log p_sc) - log S.

  The result can be used wherever logits can:
  `entropy(predictive_log_probs(...))` is the entropy that Bayesian active
  learning maximises.

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
    mc_logits: float [S, ..., C], S >= 1. For one sample the result is
      `log_softmax`.

  Returns:
    [..., C], float32 or wider; -inf, with a gradient of 0, where every sample
    rules a class out; NaN where the prediction of any sample is invalid.

  Raises:
    ValueError: If there is no axis of samples, or no sample along it.
  """
  log_probs = uncertainty.log_softmax(_checked(mc_logits))
  impossible = jnp.all(log_probs == -jnp.inf, axis=0, keepdims=True)
  # Two `where`s: the gradient of logsumexp is NaN if all its inputs are -inf.
  safe = jnp.where(impossible, 0.0, log_probs)
  mean = jax.nn.logsumexp(safe, axis=0) - jnp.log(log_probs.shape[0])
  return jnp.where(impossible[0], -jnp.inf, mean)


def mean_std(mc_logits: jax.Array) -> jax.Array:
  """Computes the spread of the samples' probabilities, averaged over classes.

    (1/C) sum_c sqrt(mean_s (p_sc - mean_s p_sc)^2).

  Gal, Islam and Ghahramani 2017, "Deep Bayesian Active Learning with Image
  Data", section 3.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> sure_of_0, sure_of_1 = [9.0, -9.0], [-9.0, 9.0]
  >>> mc_logits = jnp.array([[sure_of_0, sure_of_0], [sure_of_0, sure_of_1]])
  >>> [f'{score:.3f}' for score in kernels.mean_std(mc_logits)]
  ['0.000', '0.500']

  Args:
    mc_logits: float [S, ..., C], S >= 1.

  Returns:
    [...], from 0 to 0.5; 0, with a gradient of 0, where all samples agree.

  Raises:
    ValueError: If there is no axis of samples, or no sample along it.
  """
  return _mean_std(mc_logits=_checked(mc_logits))


@_xla.compiled
def _mean_std(*, mc_logits):
  zeros = jnp.zeros_like(uncertainty.log_softmax(mc_logits[0]))
  moments, _ = lax.scan(_add_to_moments, (0, zeros, zeros), mc_logits)
  variances = moments[2] / len(mc_logits)
  # Two `where`s: the gradient of the root at 0 is inf. NaN stays NaN.
  agreed = variances == 0
  roots = jnp.sqrt(jnp.where(agreed, 1.0, variances))
  return jnp.mean(jnp.where(agreed, 0.0, roots), axis=-1)


def variation_ratio(mc_logits: jax.Array) -> jax.Array:
  """Computes the share of samples that do not vote for the most popular class.

    1 - (max_c #{s: argmax_c' p_sc' = c}) / S.

  It takes at most S values, so that many points tie: give `top_k` a key. With
  one sample it is 0. The score of a single prediction that is also called
  variation ratio is `least_confidence`.

  Gal, Islam and Ghahramani 2017, "Deep Bayesian Active Learning with Image
  Data", section 3.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> votes = jnp.array([[0, 0], [0, 1], [0, 2], [0, 1]])
  >>> kernels.variation_ratio(9.0 * jax.nn.one_hot(votes, 3))
  Array([0. , 0.5], dtype=float32)

  Args:
    mc_logits: float [S, ..., C], S >= 1. Probabilities or votes work too. A
      sample whose top classes tie votes for the first of them.

  Returns:
    [...], a multiple of 1/S from 0 to 1 - 1/min(C, S).

  Raises:
    ValueError: If there is no axis of samples, or no sample along it.
  """
  mc_logits = _checks.logits(
    'mc_logits', mc_logits, 'S, ..., C', refuse_probabilities=False
  )
  log_probs = uncertainty.log_softmax(mc_logits)
  num_samples, num_classes = log_probs.shape[0], log_probs.shape[-1]
  voted = jax.nn.one_hot(
    jnp.argmax(mc_logits, axis=-1), num_classes, dtype=jnp.int32
  )
  outvoted = num_samples - jnp.max(jnp.sum(voted, axis=0), axis=-1)
  invalid = jnp.any(jnp.isnan(log_probs), axis=(0, -1))
  # A quotient of integers, so that equal counts tie exactly.
  ratio = outvoted.astype(log_probs.dtype) / num_samples
  return jnp.where(invalid, jnp.nan, ratio)


def bald(mc_logits: jax.Array) -> jax.Array:
  """Computes the information that the label carries about the network, in nats.

  The score is high where every sample is certain and they disagree. It is zero
  where all samples are uncertain in the same way: that is noise, which no label
  resolves.

    BALD = I(y; w) = H(mean_s p_s) - mean_s H(p_s).

  Houlsby et al. 2011, "Bayesian Active Learning for Classification and
  Preference Learning", section 2; Gal, Islam and Ghahramani 2017, "Deep
  Bayesian Active Learning with Image Data", section 3.

  >>> import jax.numpy as jnp
  >>> from al_jax import kernels
  >>> sure_of_0, sure_of_1 = [9.0, -9.0], [-9.0, 9.0]
  >>> mc_logits = jnp.array([[sure_of_0, [0.0, 0.0]], [sure_of_1, [0.0, 0.0]]])
  >>> [f'{score:.3f}' for score in kernels.bald(mc_logits)]
  ['0.693', '0.000']

  Args:
    mc_logits: float [S, ..., C], S >= 1. A logit of -inf marks an impossible
      class.

  Returns:
    [...], from 0 to log min(C, S); exactly 0 for S = 1. Scores below 1e-6 are
    rounding, since each is the difference of two entropies.

  Raises:
    ValueError: If there is no axis of samples, or no sample along it.
  """
  return _bald(mc_logits=_checked(mc_logits))


@_xla.compiled
def _bald(*, mc_logits):
  # One sample at a time stays in the cache and needs no second [S, ..., C]. At
  # S 50, N 10,000, C 10 it takes 35 ms of CPU instead of 82.
  sums, _ = lax.scan(_add_sample, _no_sample(mc_logits[0]), mc_logits)
  return _information(sums, len(mc_logits))


def streamed_bald(
  keys: jax.Array, logits_fn: Callable[[jax.Array], jax.Array]
) -> jax.Array:
  """Computes `bald` of samples that are generated one by one and not kept.

  The score needs only two running sums, of probabilities and of entropies, so
  that memory does not depend on S. XLA moves the part of `logits_fn` that does
  not use its key, such as a network up to its first dropout, out of the loop.

  >>> import jax
  >>> from al_jax import kernels
  >>> keys = jax.random.split(jax.random.key(0), 100)
  >>> def logits_fn(key):
  ...   return 3 * jax.random.normal(key, (2, 5))
  >>> streamed = kernels.streamed_bald(keys, logits_fn)
  >>> bool(abs(streamed - kernels.bald(jax.vmap(logits_fn)(keys))).max() < 1e-5)
  True

  Args:
    keys: One key per sample, [S], S >= 1. Any array or pytree with that leading
      axis works.
    logits_fn: Function from one of the keys to the logits of one sample, float
      [..., C].

  Returns:
    [...], equal to `bald` of the stacked samples up to rounding.

  Raises:
    ValueError: If there is no key.
  """
  num_samples = len(jax.tree.leaves(keys)[0])
  if num_samples < 1:
    raise ValueError('keys are empty; there must be at least one sample.')

  def checked_logits(key):
    return _checks.logits('logits_fn(key)', logits_fn(key))

  first = jax.tree.map(lambda leaf: leaf[0], keys)
  sums, _ = lax.scan(
    lambda sums, key: _add_sample(sums, checked_logits(key)),
    _no_sample(jax.eval_shape(checked_logits, first)),
    keys,
  )
  return _information(sums, num_samples)


def _checked(mc_logits):
  """Returns the logits as an array [S, ..., C] with at least one sample."""
  return _checks.logits('mc_logits', mc_logits, 'S, ..., C')


def _add_to_moments(moments, logits):
  """Adds one sample to the count, mean and summed squared deviations.

  Welford 1962: it neither cancels nor needs a second pass.
  """
  count, mean, sq_deviations = moments
  probs = jnp.exp(uncertainty.log_softmax(logits))
  before = probs - mean
  count = count + 1
  mean = mean + before / count
  return (count, mean, sq_deviations + before * (probs - mean)), None


def _no_sample(logits):
  """Returns sums over no sample, for logits of a given shape, [..., C]."""
  shapes = jax.eval_shape(_add_sample, (0.0, 0.0), logits)[0]
  return jax.tree.map(lambda sum: jnp.zeros(sum.shape, sum.dtype), shapes)


def _add_sample(sums, logits):
  """Adds a sample to the sums of probabilities [..., C] and entropies [...]."""
  probs = jnp.exp(uncertainty.log_softmax(logits))
  entropy = uncertainty.entropy_of(logits)
  return (sums[0] + probs, sums[1] + entropy), None


def _information(sums, num_samples):
  """Returns the entropy of the mean prediction less the mean entropy."""
  probs, entropies = sums
  if num_samples == 1:
    # Exactly 0: one sample cannot disagree. NaN stays NaN.
    return jnp.where(jnp.isnan(entropies), entropies, 0.0)
  # Two `where`s: the gradient of log at 0 is inf.
  impossible = probs == 0
  log_probs = jnp.log(jnp.where(impossible, 1.0, probs))
  log_probs = jnp.where(impossible, -jnp.inf, log_probs)
  # `entropy_of` normalises the sums. Only rounding makes a score negative.
  entropy_of_mean = uncertainty.entropy_of(log_probs)
  return jnp.maximum(entropy_of_mean - entropies / num_samples, 0.0)

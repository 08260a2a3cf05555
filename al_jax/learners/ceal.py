"""CEAL: trains on labels, and on pseudo-labels with a low entropy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax.interfaces import Applied, Batch, Facts
from al_jax.learners.one_network import OneNetwork, factory
from al_jax.learners.self_training import of_supervised

SCHEDULES = ('cumulative', 'linear')


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Threshold:
  """Rule that pseudo-labels examples with an entropy below a falling threshold.

  The threshold of round T = 1, 2, ... is

    cumulative: delta - d (T - 1) (T - 2) / 2;   linear: delta - d (T - 1).

  Attributes:
    threshold: delta, above 0; in nats, or a share of log C if normalized.
    decay: d, at least 0. A threshold below 0 becomes 0: no pseudo-labels.
    schedule: `'cumulative'` or `'linear'`.
    normalized: whether entropies are divided by log C.
  """

  threshold: float = 0.05
  decay: float = 0.0033
  schedule: str = 'cumulative'
  normalized: bool = False

  def check(self, facts: Facts | None = None) -> None:
    """See `self_training.Rule`."""
    del facts
    errors.check_number('threshold', self.threshold, above=0)
    errors.check_number('decay', self.decay, least=0)
    errors.check_name('schedule', self.schedule, SCHEDULES)
    errors.check_flag('normalized', self.normalized)

  def of_round(self, round: jax.Array) -> jax.Array:
    """Returns the threshold before round T = 1, 2, ...: float32."""
    lowered = (round - 1).astype(jnp.float32)
    if self.schedule == 'cumulative':
      lowered *= (lowered - 1) / 2
    return jnp.maximum(self.threshold - self.decay * lowered, 0.0)

  def uncertainty(self, logits: jax.Array) -> jax.Array:
    """Returns the entropies to compare with the threshold: float32[N]."""
    entropies = kernels.entropy(logits)
    num_classes = logits.shape[-1]
    if self.normalized and num_classes > 1:
      entropies /= jnp.log(float(num_classes))
    return entropies

  def measure(self, key: jax.Array, apply: Applied, batch: Batch) -> jax.Array:
    """See `self_training.Rule`."""
    del key
    return apply(batch.inputs).predictions

  def labels(
    self, round: jax.Array, measured: jax.Array, free: jax.Array
  ) -> jax.Array:
    """See `self_training.Rule`."""
    is_sure = self.uncertainty(measured) < self.of_round(round)
    classes = jnp.argmax(measured, axis=-1).astype(jnp.int32)
    return jnp.where(is_sure & free, classes, -1)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Ceal(Threshold, OneNetwork):
  """Cost-effective active learning: `supervised` within `self_training`.

  Wang et al. 2017, "Cost-Effective Active Learning for Deep Image
  Classification", which continues from the weights of the previous round
  (`weights='warm'`). The options are those of `supervised` and of `Threshold`.
  """


ceal = factory(
  Ceal,
  functools.partial(of_supervised, rule=Threshold, called='ceal'),
)

"""How good a model is on a split, from a few numbers per example."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from al_jax import inference, kernels
from al_jax.interfaces import Learner
from al_jax.sources import Source

# Bins of the calibration error, of equal width in confidence.
NUM_BINS = 15


class PerExample(NamedTuple):
  """What the metrics need of an example; [N] each."""

  predicted: jax.Array  # int32, the class with the largest logit
  confidence: jax.Array  # float32, its probability
  log_loss: jax.Array  # float32, in nats


def of_batch(logits: jax.Array, targets: jax.Array) -> PerExample:
  """PerExample of logits [B, C] and targets int32[B]."""
  log_probs = jax.nn.log_softmax(logits)
  of_target = jnp.take_along_axis(log_probs, targets[:, None], axis=-1)
  return PerExample(
    predicted=jnp.argmax(logits, -1).astype(jnp.int32),
    confidence=jnp.exp(jnp.max(log_probs, -1)),
    log_loss=-of_target[:, 0],
  )


def summarise(
  measured: PerExample, targets: jax.Array, num_classes: int
) -> tuple[Mapping[str, jax.Array], jax.Array]:
  """Metrics of a split.

  The calibration error is the mean over examples of the gap between accuracy
  and confidence in an example's bin: Guo et al. 2017, "On Calibration of Modern
  Neural Networks", equation 3, with 15 bins.

  Args:
    measured: of N examples.
    targets: int32[N].
    num_classes: C.

  Returns:
    `accuracy`, `log_loss`, `calibration_error` and `balanced_accuracy` (the
    mean over the classes that have examples); and float32[C], the accuracy of
    each class, NaN where a class has no examples.
  """
  correct = (measured.predicted == targets).astype(jnp.float32)
  class_count = jnp.bincount(targets, length=num_classes)
  class_correct = jnp.bincount(targets, correct, length=num_classes)
  class_accuracy = class_correct / class_count  # 0 / 0 is NaN, and meant
  inner = jnp.floor(measured.confidence * NUM_BINS).astype(jnp.int32)
  bins = jnp.clip(inner, 0, NUM_BINS - 1)
  gap = jnp.bincount(bins, correct - measured.confidence, length=NUM_BINS)
  metrics = {
    'accuracy': jnp.mean(correct),
    'log_loss': jnp.mean(measured.log_loss),
    'calibration_error': jnp.sum(jnp.abs(gap)) / len(targets),
    'balanced_accuracy': jnp.nanmean(class_accuracy),
  }
  return metrics, class_accuracy


def make_evaluate(
  learner: Learner,
  source: Source,
  num_classes: int,
  *,
  chunk_size: int = 1000,
  num_samples: int = 0,
) -> Callable[..., tuple[Mapping[str, jax.Array], jax.Array]]:
  """Compiles the evaluation of a learner on a split.

  Args:
    learner: whose `apply` gives logits.
    source: the split, with all of its answers.
    num_classes: C.
    chunk_size: rows per forward pass.
    num_samples: dropout samples whose mean prediction is evaluated too, as
      `mc_accuracy` and so on; 0 for none.

  Returns:
    `evaluate(key, state) -> (metrics, class_accuracy)`, see `summarise`; the
    key is of the dropout samples.
  """
  targets = source.pool.targets

  def measure(args, batch):
    key, state, targets = args
    # Padding rows take the last target; nothing of them is kept.
    of_rows = targets[batch.index]
    once = of_batch(learner.apply(state, batch.inputs).predictions, of_rows)
    if num_samples == 0:
      return (once,)
    keys = jax.random.split(key, num_samples)
    samples = learner.apply(state, batch.inputs, keys=keys).predictions
    return once, of_batch(kernels.predictive_log_probs(samples), of_rows)

  map_split = inference.make_pool_map(measure, chunk_size=chunk_size)

  @jax.jit
  def reduce(measured, targets):
    metrics, class_accuracy = summarise(measured[0], targets, num_classes)
    for sampled in measured[1:]:
      of_samples, _ = summarise(sampled, targets, num_classes)
      metrics |= {f'mc_{name}': value for name, value in of_samples.items()}
    return metrics, class_accuracy

  def evaluate(key, state):
    measured = map_split((key, state, targets), source.inputs)
    return reduce(measured, targets)

  return evaluate

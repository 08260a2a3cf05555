"""The task of predicting one class of several."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, kernels
from al_jax.tasks.base import Metric, first_bad

# Number of bins of the calibration error, of equal width in confidence.
NUM_BINS = 15


class Measured(NamedTuple):
  """Values per example from which the metrics of classes are made; [N] each."""

  predicted: jax.Array  # int32, the class with the largest logit
  confidence: jax.Array  # float32, its probability
  log_loss: jax.Array  # float32, in nats


@dataclasses.dataclass(frozen=True)
class Classes:
  """One class of C.

  Targets are int32[N], class numbers from 0; predictions are logits [B, C].

  Attributes:
    names: names of the C classes, by number.
  """

  names: tuple[str, ...]

  headline: ClassVar[Metric] = Metric('accuracy', '%', True)
  metrics: ClassVar[tuple[Metric, ...]] = (
    headline,
    Metric('log_loss', '', False),
    Metric('calibration_error', '', False),
    Metric('balanced_accuracy', '%', True),
  )
  watched: ClassVar[tuple[str, ...]] = ('accuracy',)

  def __post_init__(self):
    object.__setattr__(self, 'names', tuple(str(name) for name in self.names))
    if not self.names:
      raise ValueError('names of classes are (); there must be at least one.')

  @property
  def num_classes(self) -> int:
    """C, which depends on the data set and not on the labels seen so far."""
    return len(self.names)

  @property
  def outputs(self) -> int:
    """A logit per class."""
    return self.num_classes

  def describe(self) -> str:
    """See `Task`."""
    return f'{self.num_classes} classes'

  @property
  def class_names(self) -> tuple[str, ...]:
    """See `Task`."""
    return self.names

  def spell(self, target):
    """Returns the name of the class."""
    return self.names[int(target)]

  def marks(self, target):
    """See `Task`."""
    del target
    return []

  def empty(self, num_examples: int) -> jax.Array:
    """See `Task`."""
    return jnp.zeros(num_examples, jnp.int32)

  def check(self, targets, where, ids=None):
    """See `Task`."""
    targets = np.asarray(targets)
    if targets.ndim != 1 or targets.dtype.kind not in 'iu':
      raise ValueError(
        f'{where}: targets must be class numbers, int32 of shape [N], not '
        f'{targets.dtype} of shape {list(targets.shape)}.'
      )
    wrong = (targets < 0) | (targets >= self.num_classes)
    if wrong.any():
      index, called = first_bad(wrong, ids)
      raise ValueError(
        f'{where}: the label {targets[index]} at {called} is out of range; '
        f'allowed are 0 to {self.num_classes - 1}. {np.count_nonzero(wrong)} '
        'labels are wrong. Labels of -1 often mean that the split has no '
        'labels: choose another.'
      )

  def losses(self, predictions, targets):
    """Returns -log softmax(logits)[target], in nats: float32[B]."""
    of_target = jnp.take_along_axis(predictions, targets[..., None], axis=-1)
    of_target = of_target.take(0, axis=-1)
    return jax.nn.logsumexp(predictions, axis=-1) - of_target

  def decide(self, predictions):
    """Returns the class with the largest logit: int32[B]."""
    return jnp.argmax(predictions, -1).astype(jnp.int32)

  def watch(self, predictions, targets):
    """Tells which examples are right."""
    return {'accuracy': jnp.argmax(predictions, -1) == targets}

  def mean(self, samples):
    """Returns the logarithm of the mean probabilities."""
    return kernels.predictive_log_probs(samples)

  def measure(self, predictions, targets):
    """See `Task`."""
    log_probs = jax.nn.log_softmax(predictions)
    of_target = jnp.take_along_axis(log_probs, targets[:, None], axis=-1)
    return Measured(
      predicted=self.decide(predictions),
      confidence=jnp.exp(jnp.max(log_probs, -1)),
      log_loss=-of_target[:, 0],
    )

  def summarise(self, measured, targets):
    """Returns accuracy, log loss, calibration error and balanced accuracy.

    The calibration error is the mean over examples of the gap between accuracy
    and confidence in an example's bin: Guo et al. 2017, "On Calibration of
    Modern Neural Networks", equation 3, with 15 bins. The balanced accuracy is
    the mean over the classes that have examples.
    """
    correct = (measured.predicted == targets).astype(jnp.float32)
    count = jnp.bincount(targets, length=self.num_classes)
    right = jnp.bincount(targets, correct, length=self.num_classes)
    by_class = right / count  # NaN, from 0 / 0, for a class without examples.
    inner = jnp.floor(measured.confidence * NUM_BINS).astype(jnp.int32)
    bins = jnp.clip(inner, 0, NUM_BINS - 1)
    gap = jnp.bincount(bins, correct - measured.confidence, length=NUM_BINS)
    metrics = {
      'accuracy': jnp.mean(correct),
      'log_loss': jnp.mean(measured.log_loss),
      'calibration_error': jnp.sum(jnp.abs(gap)) / len(targets),
      'balanced_accuracy': jnp.nanmean(by_class),
    }
    return metrics, by_class

  def perturb(self, keys, target, noise):
    """Returns a uniformly drawn other class with probability `noise`."""
    lie_key, offset_key = keys
    offset = jax.random.randint(
      offset_key, (), 1, jnp.maximum(self.num_classes, 2), jnp.int32
    )
    lies = jax.random.bernoulli(lie_key, noise)
    return jnp.where(lies, (target + offset) % self.num_classes, target)

  def strata(self, targets):
    """See `Task`."""
    return np.asarray(targets)


def numbered(num_classes: int) -> Classes:
  """Makes a task whose classes are named by their numbers."""
  errors.check_number('num_classes', num_classes, int, least=1)
  return Classes(tuple(str(number) for number in range(num_classes)))

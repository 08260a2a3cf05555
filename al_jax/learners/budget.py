"""Budget annotation: pseudo-labels where two views of an example agree."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from al_jax import errors, kernels, xla
from al_jax.interfaces import Applied, Batch, Facts
from al_jax.learners.one_network import OneNetwork, factory
from al_jax.learners.self_training import of_supervised
from al_jax.models import common

# Second views of an image, which keep its class.
VIEWS = ('none', 'flip', 'shift')
# Shift of the second view in pixels, down and to the right.
_PIXELS = 2
# Upper bound that catches typos: each is a pass over the pool.
_MOST_VOTES = 1000


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
  """Rule that pseudo-labels examples whose views agree, a few per class.

  Before round T = 1, 2, ... the model is sure of an example if
  u < delta - d (T - 1), with u the entropy of its prediction over log C, and if
  its second view and each dropout sample are predicted as the same class. The
  sure examples with the smallest u get a pseudo-label: b at most, and at most
  b / C of each class, rounded up.

  Attributes:
    threshold: delta, above 0, for entropies between 0 and 1.
    decay: d, at least 0.
    most: b, at least 1. If None, there is no limit.
    view: the second view: `'flip'`, mirrored left and right, for photographs;
      `'shift'`, moved by 2 pixels, for digits; or `'none'`.
    votes: number of dropout samples that must agree.
  """

  threshold: float = 0.05
  decay: float = 0.0033
  most: int | None = None
  view: str = 'none'
  votes: int = 0

  def check(self, facts: Facts) -> None:
    """See `self_training.Rule`."""
    errors.check_number('threshold', self.threshold, above=0)
    errors.check_number('decay', self.decay, least=0)
    errors.check_number(
      'most',
      self.most,
      int,
      least=1,
      most=errors.MOST_COUNTED,
      optional=True,
    )
    errors.check_name('view', self.view, VIEWS)
    errors.check_number('votes', self.votes, int, least=0, most=_MOST_VOTES)
    shape = getattr(facts.example, 'shape', ())
    if self.view != 'none' and (len(shape) != 3 or min(shape[:2]) <= _PIXELS):
      raise ValueError(
        f'view is {self.view!r}, which needs images; an example here has shape '
        f"{shape}: it must be 'none'."
      )

  def measure(
    self, key: jax.Array, apply: Applied, batch: Batch
  ) -> tuple[jax.Array, jax.Array]:
    """See `self_training.Rule`: returns logits, and whether all views agree."""
    logits = apply(batch.inputs).predictions
    classes = jnp.argmax(logits, axis=-1)
    agree = jnp.ones(classes.shape, jnp.bool_)
    if self.view != 'none':
      others = apply(_viewed(self.view, batch.inputs)).predictions
      agree &= jnp.argmax(others, axis=-1) == classes
    if self.votes:
      keys = jax.random.split(key, self.votes)
      sampled = apply(batch.inputs, keys=keys).predictions
      agree &= jnp.all(jnp.argmax(sampled, axis=-1) == classes[None], axis=0)
    return logits, agree

  def labels(
    self,
    round: jax.Array,
    measured: tuple[jax.Array, jax.Array],
    free: jax.Array,
  ) -> jax.Array:
    """See `self_training.Rule`."""
    logits, agree = measured
    num_classes = logits.shape[-1]
    uncertainty = kernels.entropy(logits) / math.log(max(num_classes, 2))
    lowered = self.decay * (round - 1).astype(jnp.float32)
    threshold = jnp.maximum(self.threshold - lowered, 0.0)
    sure = free & agree & (uncertainty < threshold)
    classes = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    if self.most is not None:
      per_class = -(-self.most // num_classes)
      sure &= _ranks(classes, jnp.where(sure, uncertainty, jnp.inf)) < per_class
      everything = jnp.zeros_like(classes)
      order = jnp.where(sure, uncertainty, jnp.inf)
      sure &= _ranks(everything, order) < self.most
    return jnp.where(sure, classes, -1)


def _viewed(view, images):
  """Returns the second view of each image [B, ...]."""
  if view == 'flip':
    return images[:, :, ::-1]
  padded = jnp.pad(images, ((0, 0), (_PIXELS, 0), (_PIXELS, 0), (0, 0)))
  return padded[:, :-_PIXELS, :-_PIXELS]


def _ranks(groups, values):
  """Ranks each example within its group: int32[N], by value, then place."""
  place = jnp.arange(len(groups))
  order = jnp.lexsort((place, values, groups))
  first = jnp.searchsorted(groups[order], groups[order])
  ranks = place - first
  return jnp.zeros_like(groups).at[order].set(ranks.astype(groups.dtype))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BudgetAnnotation(Agreement, OneNetwork):
  """Budget annotation: `supervised` within `self_training`.

  Gikunda 2021, "Budget annotation", pseudo-labels the examples that a model is
  sure of, but does not say when it is; the rule here is ours. The options are
  those of `supervised` and of `Agreement`.
  """


def _bound(options):
  if options.votes and not _has_dropout(options.model, options.facts):
    raise ValueError(
      f'votes is {options.votes}, but the model has no dropout, so that all '
      'votes would agree: set its dropout rate above 0, or votes to 0.'
    )
  return of_supervised(options, Agreement, 'budget_annotation')


def _has_dropout(model, facts):
  key = jax.random.key(0)
  return 'random_bits' in xla.used_by(
    lambda variables, key, rows: model.apply(variables, rows, key=key),
    jax.eval_shape(model.init, key),
    key,
    common.few_rows(facts),
  )


budget_annotation = factory(BudgetAnnotation, _bound)

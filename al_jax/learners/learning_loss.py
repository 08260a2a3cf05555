"""Trains a network on labels, and a module that predicts its losses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.interfaces import ModelFns, Report
from al_jax.learners import one_network
from al_jax.learners.one_network import OneNetwork, Training
from al_jax.models import loss_prediction
from al_jax.tasks import Metric
from al_jax.training import course, forward, networks, objectives, ranking

MODULE_LOSSES = ('ranking', 'squared')
# Quality of the predicted losses, of which only the order is meaningful.
METRICS = (
  Metric(
    'ranking_accuracy',
    '%',
    True,
    'share of the pairs of examples with different true losses whose predicted '
    'losses are in the same order',
    0.5,
  ),
  Metric(
    'loss_rank_correlation',
    '',
    True,
    "Spearman's correlation of predicted and true losses",
    0.0,
  ),
)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LearningLoss(OneNetwork):
  """Trains a network and a module that predicts the network's losses.

  With l the losses of a mini-batch and p the losses that the module predicts
  from intermediate maps of the network, a step minimises

    mean of l + lambda * mean over pairs of max(0, margin - s (p_i - p_j)),

  where s is 1 if l_i > l_j, and else -1: the module learns to rank. From a
  point of the round on, the module's loss no longer changes the network. Both
  share an optimizer and its options.

  Yoo and Kweon 2019, "Learning Loss for Active Learning".

  Outputs have `extras['predicted_loss']`. `Progress.metrics` adds `module_loss`
  to those of `supervised`. On the test split `ranking_accuracy` is the share of
  pairs of examples whose losses are ranked correctly, and
  `loss_rank_correlation` Spearman's correlation of predicted and true losses.

  Attributes:
    loss_weight: lambda, at least 0.
    margin: margin of the ranking, above 0.
    detach_at: share of the round after which the module's loss no longer
      changes the network, from 0 to 1, in terms of the most steps that the stop
      rules allow. If None, it always does.
    module_loss: `'ranking'`; or `'squared'`, the squared error of the losses
      themselves, which the paper shows to be worse.
    maps: names of the maps that the module sees, see `models.loss_prediction`.
    width: width of its layers, see `models.loss_prediction`.
    depth: depth of its layers, see `models.loss_prediction`.
  """

  loss_weight: float = 1.0
  margin: float = 1.0
  detach_at: float | None = 0.6
  module_loss: str = 'ranking'
  maps: tuple[str, ...] | None = None
  width: int = 128
  depth: int = 1

  def check(self):
    """See `OneNetwork`."""
    errors.check_number('loss_weight', self.loss_weight, least=0)
    errors.check_number('margin', self.margin, above=0)
    errors.check_number(
      'detach_at', self.detach_at, least=0, most=1, optional=True
    )
    errors.check_name('module_loss', self.module_loss, MODULE_LOSSES)
    if self.module_loss == 'ranking' and self.batch_size == 1:
      raise ValueError(
        'batch_size is 1; a ranking is learnt from pairs within a batch, so it '
        'must be at least 2.'
      )
    super().check()

  @functools.cached_property
  def both(self) -> loss_prediction.LossPredicting:
    """The network and the module."""
    return loss_prediction.loss_predicting(
      self.model,
      self.facts,
      maps=self.maps,
      width=self.width,
      depth=self.depth,
    )

  @functools.cached_property
  def trainer(self) -> networks.Trainer:
    """See `OneNetwork`; trains the network and the module."""
    return networks.trainer(
      self.both.init, optimizer=self.optimizer, weights=self.weights
    )

  @property
  def watched(self):
    """See `OneNetwork`."""
    return {**super().watched, 'module_loss': ()}

  @property
  def report(self) -> Report:
    """Test metrics of the ranking of losses."""
    return Report(self._measure_report, _reduce_report, METRICS)

  def step(self, state, batches, pool):
    """See `interfaces.Phase`."""
    batch = batches['labelled']
    real, task = batch.index >= 0, self.facts.task
    targets = forward.targets_of(pool.targets, batch.index)
    of_params = self._in_training(state, batch)

    def objective(params):
      output, statistics = of_params(params)
      losses = self.losses(output.predictions, targets)
      of_module = self._of_module(output, losses, real)
      seen = {
        **forward.watch(task, output.predictions, losses, targets, real),
        'module_loss': of_module,
      }
      loss = objectives.masked_mean(losses, real)
      loss += self.loss_weight * of_module.value
      return loss, (statistics, seen)

    moved = Training(*self.updated(state, objective))
    state = course.hold(state.course, state, moved)
    return state, self.rules.progress(state.course)

  def apply(self, state, inputs, *, keys=None):
    """See `interfaces.Learner`."""
    return forward.apply(self.both, state.network.variables, inputs, keys=keys)

  def variables(self, state):
    """See `interfaces.Learner`; leaves out those of the module."""
    return loss_prediction.divided(state.network.variables)[0]

  def finite(self, state):
    """See `interfaces.Learner`."""
    model, module = loss_prediction.divided(state.network.variables)
    return {
      'network': networks.is_finite(model),
      'loss_prediction': networks.is_finite(module),
    }

  def _in_training(self, state, batch):
    """Returns both in training on a batch, see `forward.train`."""
    detached = False
    if self.detach_at is not None:
      detached = self.rules.share_of_round(state.course) >= self.detach_at
    train = functools.partial(self.both.train, detached=detached)
    return forward.train(
      ModelFns(self.both.init, self.both.apply, train),
      state.network.variables,
      state.course,
      self.augmented,
      batch,
    )

  def _of_module(self, output, losses, real):
    """Computes the loss of the module on a batch, as a Mean."""
    predicted = output.extras[loss_prediction.PREDICTED_LOSS]
    if self.module_loss == 'ranking':
      return ranking.pair_loss(predicted, losses, real, margin=self.margin)
    squares = jnp.square(predicted - jax.lax.stop_gradient(losses))
    return course.Mean(
      jnp.sum(jnp.where(real, squares, 0.0)), jnp.sum(real, dtype=jnp.int32)
    )

  def _measure_report(self, key, apply, batch, targets):
    """See `interfaces.Report`."""
    del key
    output = apply(batch.inputs)
    losses = self.losses(output.predictions, targets)
    return output.extras[loss_prediction.PREDICTED_LOSS], losses


def _reduce_report(measured):
  predicted, losses = measured
  found = (
    ranking.concordance(predicted, losses),
    ranking.rank_correlation(predicted, losses),
  )
  return {
    metric.name: value for metric, value in zip(METRICS, found, strict=True)
  }


learning_loss = one_network.factory(LearningLoss)

"""Minimises cross-entropy on labels, and entropy on unlabelled examples."""

import dataclasses
import functools
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors, kernels, tasks
from al_jax import pool as pool_lib
from al_jax.learners import one_network
from al_jax.learners.one_network import OneNetwork
from al_jax.training import course, forward, objectives, plans
from al_jax.training.course import Course
from al_jax.training.networks import Network

# The predictions have collapsed if exp(marginal entropy), their effective
# number of classes, is below this.
_COLLAPSED = 1.5
_COLLAPSE = (
  'predicts one class for almost all unlabelled examples; a lower '
  'entropy_weight or a balance above 0 may help.'
)


@flax.struct.dataclass
class JointState:
  """A network, its course, and the passes over the unlabelled examples."""

  network: Network
  course: Course
  unlabelled: plans.Epochs


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Joint(OneNetwork):
  """Minimises the loss on labels and the entropy of all other predictions.

  With f the softmax output, L the labelled and U the other examples,

    mean over L of CE(f(x), y) + lambda * mean over U of H(f(x))
      - eta * H(mean over U of f(x)),

  each mean over its own mini-batch, in one pass through the network. Training
  makes most predictions confident; examples that stay uncertain are worth
  querying.

  An epoch is a pass over the labelled examples, as in `supervised`. The
  unlabelled examples have separate passes. With lambda = eta = 0 the results
  are bit-identical to those of `supervised`.

  Ranganathan et al. 2017, "Deep Active Learning for Image Classification".
  The last term is not in the paper: it keeps all predictions from collapsing to
  one class, which entropy alone rewards.

  Besides `loss` (on the labelled) and `accuracy`, `Progress.metrics` has
  `unlabelled_entropy`; `marginal_entropy`, the entropy of the mean prediction;
  and `collapsed`, 1 if almost all unlabelled predictions are one class.

  Attributes:
    entropy_weight: lambda, at least 0.
    unlabelled_batch_size: number of unlabelled examples per step.
    balance: eta, at least 0.
  """

  entropy_weight: float = 0.1
  unlabelled_batch_size: int = 128
  balance: float = 0.0

  warnings: ClassVar = {'collapsed': _COLLAPSE}

  def check(self):
    """See `OneNetwork`."""
    errors.check_number('entropy_weight', self.entropy_weight, least=0)
    errors.check_number('balance', self.balance, least=0)
    errors.check_number(
      'unlabelled_batch_size', self.unlabelled_batch_size, int, least=1
    )
    super().check()

  @property
  def classes(self) -> tasks.Classes:
    """The task; raises ValueError unless it is Classes."""
    return tasks.need_classes(self.facts.task, "learner 'joint'")

  @functools.cached_property
  def rules(self):
    """See `OneNetwork`."""
    return course.rules(
      stop=self.stop,
      capacity=self.facts.label_budget,
      batch_size=self.batch_size,
      watched={
        **forward.watched(self.facts.task),
        'unlabelled_entropy': (),
        'marginal': (len(self.classes.names),),
      },
      report=_reported,
    )

  @property
  def size(self) -> int:
    """Number of unlabelled examples per step; 0 if both weights are 0."""
    if not (self.entropy_weight or self.balance):
      return 0
    return min(self.unlabelled_batch_size, self.facts.num_examples)

  def init(self, key):
    """See `interfaces.Learner`."""
    unlabelled = plans.empty(self.facts.num_examples, self.size)
    return JointState(*self.init_training(key), unlabelled)

  def start(self, key, state, pool):
    """See `interfaces.Learner`."""
    init_key, round_key, order_key = jax.random.split(key, 3)
    network, begun = self.begin_training(init_key, round_key, state)
    begun = self.rules.over_labelled(order_key, begun, pool)
    members, count = pool_lib.unlabelled_indices(pool)
    unlabelled_key = jax.random.fold_in(order_key, 1)
    unlabelled = plans.begin(unlabelled_key, members, count, self.size)
    return JointState(network, begun, unlabelled)

  def plan(self, state, pool):
    """See `interfaces.Phase`."""
    del pool
    found = {'labelled': self.rules.next_batch(state.course)}
    if self.size:
      found['unlabelled'] = plans.next_batch(state.unlabelled, self.size)
    return found

  def step(self, state, batches, pool):
    """See `interfaces.Phase`."""
    objective = self._objective(state, batches, pool)
    network, after = self.updated(state, objective)
    unlabelled = state.unlabelled
    if self.size:
      order_key = jax.random.fold_in(course.step_keys(state.course)[1], 1)
      unlabelled = plans.advance(order_key, unlabelled, self.size)
    moved = JointState(network, after, unlabelled)
    state = course.hold(state.course, state, moved)
    return state, self.rules.progress(state.course)

  def _objective(self, state, batches, pool):
    """Makes the loss of both kinds of examples, in one pass of the network."""
    batch = both = batches['labelled']
    if self.size:
      both = jax.tree.map(_one_after_another, batch, batches['unlabelled'])
    num_labelled, task = len(batch.index), self.classes
    real = both.index >= 0
    targets = forward.targets_of(pool.targets, batch.index)
    of_params = self.in_training(state, both)

    def objective(params):
      output, statistics = of_params(params)
      known, others = jnp.split(output.predictions, [num_labelled])
      labelled, unlabelled = jnp.split(real, [num_labelled])
      losses = self.losses(known, targets)
      entropies = kernels.entropy(others)
      marginal = _mean_prediction(others, unlabelled)
      loss = (
        objectives.masked_mean(losses, labelled)
        + self.entropy_weight * objectives.masked_mean(entropies, unlabelled)
        - self.balance * _entropy_of(marginal)
      )
      count = jnp.sum(unlabelled, dtype=jnp.int32)
      seen = {
        **forward.watch(task, known, losses, targets, labelled),
        'unlabelled_entropy': course.Mean(
          jnp.sum(jnp.where(unlabelled, entropies, 0.0)), count
        ),
        'marginal': course.Mean(marginal * count, count),
      }
      return loss, (statistics, seen)

    return objective


joint = one_network.factory(Joint)


def _one_after_another(labelled, unlabelled):
  return jnp.concatenate([labelled, unlabelled])


def _mean_prediction(logits, real):
  """Computes float32[C], the mean over real rows; zeros if there are none."""
  probs = jnp.where(real[:, None], jax.nn.softmax(logits), 0.0)
  return jnp.sum(probs, axis=0) / jnp.maximum(jnp.sum(real), 1)


def _entropy_of(probs):
  positive = probs > 0
  # Twice `where`: the outer one alone would leave 0 * inf in the gradient.
  logs = jnp.log(jnp.where(positive, probs, 1.0))
  return -jnp.sum(jnp.where(positive, probs * logs, 0.0))


def _reported(means):
  """Makes metrics of the means; `collapsed` is 0 without unlabelled rows."""
  marginal = means['marginal']
  entropy = _entropy_of(marginal)
  looked = jnp.sum(marginal) > 0
  return {
    'loss': means['loss'],
    'accuracy': means['accuracy'],
    'unlabelled_entropy': means['unlabelled_entropy'],
    'marginal_entropy': entropy,
    'collapsed': (looked & (jnp.exp(entropy) < _COLLAPSED)).astype(jnp.float32),
  }

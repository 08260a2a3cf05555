"""Trains on labels propagated over a graph of the network's embeddings."""

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors, kernels, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import Survey
from al_jax.kernels._affinity import GRAPH_KINDS
from al_jax.learners import one_network
from al_jax.learners.one_network import OneNetwork
from al_jax.training import course, forward, objectives, plans
from al_jax.training.course import Course
from al_jax.training.networks import Network

# Share of each batch that is labelled (Iscen et al. 2019).
_LABELLED_SHARE = 50 / 128
_SURVEY = 'pseudo_labels'


@flax.struct.dataclass
class PropagationState:
  """A network, its course, and the labels propagated last.

  Attributes:
    network: the network.
    course: course of the passes over the pseudo-labelled examples, or over the
      labelled ones if propagation reaches no others.
    labelled: passes over the labelled examples.
    labels: int32[N], known or propagated; -1 for examples that steps leave out.
    weights: float32[N], weights of the losses; 1 where the label is known.
    class_weights: float32[C], weights of the losses by label.
  """

  network: Network
  course: Course
  labelled: plans.Epochs
  labels: jax.Array
  weights: jax.Array
  class_weights: jax.Array


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LabelPropagation(OneNetwork):
  """Trains on mini-batches of labelled and pseudo-labelled examples.

  Before the first epoch of a round, and then after every `every` epochs, labels
  are propagated over the nearest-neighbour graph of all embeddings. A share of
  the unlabelled examples is drawn, without replacement and in proportion to
  their certainty. Until the next propagation, training minimises

    sum over the batch of w_i zeta_c CE(f(x_i), c) / its size,

  with c the label, known or propagated; w_i the certainty, 1 for known labels;
  and zeta_c the number of training examples over C times the number of those
  with label c. An epoch is a pass over the pseudo-labelled examples; the
  labelled ones repeat to fill their part of every batch.

  Iscen et al. 2019, "Label Propagation for Deep Semi-supervised Learning";
  Simeoni et al. 2020, "Rethinking Deep Active Learning", propagate in every
  active-learning round and draw a share.

  `Progress.metrics` has the weighted `loss`, the `accuracy` on the labelled
  examples, and `certainty`, the mean weight of the pseudo-labelled ones.

  Attributes:
    batch_size: number of examples per step, labelled and pseudo-labelled.
    neighbors: number of neighbours per node of the graph; at most N - 1 are
      used.
    graph_kind: kind of the graph, see `kernels.label_propagation`.
    gamma: exponent of the similarities, see `kernels.label_propagation`.
    alpha: reach of the labels, see `kernels.label_propagation`.
    num_iters: number of solver iterations, see `kernels.label_propagation`.
    share: share of the unlabelled examples that is drawn; above 0, at most 1.
    every: number of epochs between two propagations.
    class_weights: whether losses are weighted by zeta.
    labelled_batch_size: number of labelled examples per step. If None, 50/128
      of the batch.
  """

  batch_size: int = 128
  neighbors: int = 50
  graph_kind: str = 'reciprocal'
  gamma: float = 3.0
  alpha: float = 0.99
  num_iters: int = 20
  share: float = 0.5
  every: int = 1
  class_weights: bool = True
  labelled_batch_size: int | None = None

  def check(self):
    """See `OneNetwork`."""
    most = errors.MOST_COUNTED
    errors.check_number('neighbors', self.neighbors, int, least=1)
    errors.check_number('share', self.share, above=0, most=1)
    errors.check_number('every', self.every, int, least=1, most=most)
    errors.check_number('alpha', self.alpha, least=0, below=1)
    errors.check_number('gamma', self.gamma, above=0)
    errors.check_name('graph_kind', self.graph_kind, GRAPH_KINDS)
    errors.check_number('num_iters', self.num_iters, int, least=1, most=most)
    errors.check_flag('class_weights', self.class_weights)
    labelled = self.labelled_batch_size
    errors.check_number(
      'labelled_batch_size', labelled, int, least=1, optional=True
    )
    errors.check_number(
      'batch_size', self.batch_size, int, least=(labelled or 1) + 1
    )
    super().check()

  @property
  def num_labelled(self) -> int:
    """Number of labelled examples per step."""
    if self.labelled_batch_size is not None:
      return self.labelled_batch_size
    return max(round(self.batch_size * _LABELLED_SHARE), 1)

  @property
  def num_classes(self) -> int:
    """C; raises ValueError for a task without classes."""
    classes = tasks.need_classes(self.facts.task, "learner 'label_propagation'")
    return len(classes.names)

  @functools.cached_property
  def rules(self):
    """Rules of a round: epochs over the pseudo-labelled examples."""
    return course.rules(
      stop=self.stop,
      capacity=self.facts.num_examples,
      batch_size=self.batch_size - self.num_labelled,
      watched={**forward.watched(self.facts.task), 'certainty': ()},
      surveys=(_SURVEY,),
    )

  @property
  def surveys(self):
    """The validation survey comes first, to see the weights of the epoch."""
    own = Survey(measure=_embedding, absorb=self._absorb)
    return {**super().surveys, _SURVEY: own}

  def init(self, key):
    """See `interfaces.Learner`."""
    facts = self.facts
    return PropagationState(
      *self.init_training(key),
      labelled=plans.empty(facts.label_budget, self.num_labelled),
      labels=jnp.full(facts.num_examples, -1, jnp.int32),
      weights=jnp.zeros(facts.num_examples, jnp.float32),
      class_weights=jnp.ones(self.num_classes, jnp.float32),
    )

  def start(self, key, state, pool):
    """See `interfaces.Learner`."""
    init_key, round_key, order_key = jax.random.split(key, 3)
    network, begun = self.begin_training(init_key, round_key, state)
    members, count = pool_lib.labelled_indices(pool, self.facts.label_budget)
    due = {**begun.due, _SURVEY: count > 0}
    return state.replace(
      network=network,
      course=begun.replace(finished=count == 0, due=due),
      labelled=plans.begin(order_key, members, count, self.num_labelled),
    )

  def plan(self, state, pool):
    """See `interfaces.Phase`."""
    del pool
    return {
      'labelled': plans.full_batch(state.labelled, self.num_labelled),
      'pseudo_labelled': self.rules.next_batch(state.course),
    }

  def step(self, state, batches, pool):
    """See `interfaces.Phase`."""
    both = jax.tree.map(
      lambda *parts: jnp.concatenate(parts),
      batches['labelled'],
      batches['pseudo_labelled'],
    )
    network, after = self.updated(state, self._objective(state, both, pool))
    after = course.pause(after, _SURVEY, self.every)
    order_key = jax.random.fold_in(course.step_keys(state.course)[1], 1)
    labelled = plans.advance(order_key, state.labelled, self.num_labelled)
    before = state.network, state.course, state.labelled
    network, after, labelled = course.hold(
      state.course, before, (network, after, labelled)
    )
    state = state.replace(network=network, course=after, labelled=labelled)
    return state, self.rules.progress(after)

  def _objective(self, state, both, pool):
    """Makes the weighted loss of labelled and pseudo-labelled examples."""
    task, row = self.facts.task, jnp.arange(len(both.index))
    is_labelled = row < self.num_labelled
    real = both.index >= 0
    known = pool_lib.trainable(pool)[both.index]
    targets = forward.targets_of(state.labels, both.index)
    certainty = jnp.where(real, state.weights[both.index], 0.0)
    # A labelled example may repeat in a batch; augment each copy on its own.
    draws = jnp.where(is_labelled, self.facts.num_examples + row, both.index)
    of_params = self.in_training(state, both, draws)

    def objective(params):
      output, statistics = of_params(params)
      losses = self.losses(output.predictions, targets)
      losses *= certainty * state.class_weights[targets]
      seen = forward.watch(
        task, output.predictions, losses, targets, real & is_labelled
      )
      count = jnp.sum(real, dtype=jnp.int32)
      others = real & ~is_labelled & ~known
      seen['loss'] = course.Mean(jnp.sum(jnp.where(real, losses, 0.0)), count)
      seen['certainty'] = course.Mean(
        jnp.sum(jnp.where(others, certainty, 0.0)),
        jnp.sum(others, dtype=jnp.int32),
      )
      return objectives.masked_mean(losses, real), (statistics, seen)

    return objective

  def _absorb(self, key, state, embedding, pool):
    """Propagates labels, and draws the examples to train on until the next."""
    draw_key, order_key = jax.random.split(key)
    known = pool_lib.trainable(pool)
    found = self._propagated(embedding, known, pool.targets)
    drawn = _drawn(draw_key, found.certainty, ~known, self.share)
    used = drawn | known
    # If propagation reaches no unlabelled example, an epoch is over the
    # labelled ones.
    members = jnp.where(jnp.any(drawn), drawn, known)
    labels = jnp.where(used, found.pseudo_labels, -1)
    members, count = pool_lib.positions(members, self.facts.num_examples)
    epochs = plans.begin(order_key, members, count, self.rules.batch_size)
    epochs = epochs.replace(epoch=state.course.epochs.epoch)
    class_weights = state.class_weights
    if self.class_weights:
      class_weights = _balancing(labels, self.num_classes)
    return state.replace(
      course=course.taken(state.course.replace(epochs=epochs), _SURVEY),
      labels=labels,
      weights=jnp.where(used, found.certainty, 0.0),
      class_weights=class_weights,
    )

  def _propagated(self, embedding, known, targets):
    neighbors = min(self.neighbors, self.facts.num_examples - 1)
    return kernels.label_propagation(
      kernels.knn_graph(embedding, neighbors, metric='cosine'),
      jnp.where(known, targets, -1),
      self.num_classes,
      alpha=self.alpha,
      gamma=self.gamma,
      graph_kind=self.graph_kind,
      num_iters=self.num_iters,
    )

  def pseudo_labels(self, state, pool):
    """See `interfaces.Learner`."""
    return jnp.where(pool_lib.trainable(pool), -1, state.labels)

  def most_steps(self, num_labels):
    """See `interfaces.Learner`."""
    return self.rules.most_steps(self.facts.num_examples - num_labels)


label_propagation = one_network.factory(LabelPropagation)


def _embedding(key, apply, batch):
  del key
  return apply(batch.inputs).embedding


def _drawn(key, weights, mask, share):
  """Draws a share of the mask, in proportion to the weights: bool[N].

  If fewer examples have a weight above 0, takes all of those.
  """
  possible = mask & (weights > 0)
  scores = jnp.log(jnp.where(possible, weights, 1.0))
  scores += jax.random.gumbel(key, weights.shape)
  scores = jnp.where(possible, scores, -jnp.inf)
  number = jnp.floor(share * jnp.sum(mask)).astype(jnp.int32)
  order = jnp.argsort(-scores)
  first = jnp.arange(len(scores)) < jnp.maximum(number, 1)
  return jnp.zeros_like(mask).at[order].set(first) & possible


def _balancing(labels, num_classes):
  """Weights labels by their inverse frequency: float32[C]; 0 if unused."""
  counts = jnp.sum(jax.nn.one_hot(labels, num_classes), axis=0)
  mean = jnp.sum(counts) / num_classes
  return jnp.where(counts > 0, mean / jnp.maximum(counts, 1), 0.0)

"""Pretrains a network to tell apart the clusters of its own embeddings."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors, kernels, tasks
from al_jax.interfaces import Survey
from al_jax.kernels import _padding
from al_jax.learners import one_network, pretraining
from al_jax.learners.pretraining import EPOCH, WholePool
from al_jax.models import common
from al_jax.training import course, forward, objectives, plans
from al_jax.training.course import Course
from al_jax.training.networks import Network


@flax.struct.dataclass
class ClusterState:
  """A network, its course, and the clusters that serve as labels.

  Attributes:
    network: the network.
    course: course of the epochs over the examples drawn from the clusters.
    clusters: int32[N], cluster of each example; -1 before the first survey.
    agreement: float32, the normalised mutual information of the clusters with
      those of the previous epoch; NaN in the first.
    evenness: float32, the entropy of the clusters' sizes over its largest
      value: 0 if there is only one cluster.
  """

  network: Network
  course: Course
  clusters: jax.Array
  agreement: jax.Array
  evenness: jax.Array


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class DeepCluster(WholePool):
  """Trains a network to tell apart the clusters of its own embeddings.

  Before every epoch the normalised embeddings of the whole pool are clustered
  by k-means, and the clusters are the classes of that epoch. Cluster numbers
  are unrelated between epochs, so each epoch begins with a new head. Drawing
  clusters uniformly, then examples within them, keeps one cluster from taking
  over.

  Caron et al. 2018, "Deep Clustering for Unsupervised Learning of Visual
  Features"; with five clusters per class, as Simeoni et al. 2020, "Rethinking
  Deep Active Learning", use it.

  `Progress.metrics` has the `loss` and `accuracy` of predicting the clusters,
  and `agreement` and `evenness` as in ClusterState.

  Attributes:
    clusters_per_class: the number of clusters over C.
    num_iters: number of iterations of k-means.
    balanced: whether clusters are drawn uniformly. If False, an epoch takes
      every example once.
    new_head: whether every epoch begins with a new head.
    augment: see `training.augment.build`.
  """

  clusters_per_class: int = 5
  num_iters: int = 10
  balanced: bool = True
  new_head: bool = True
  augment: Sequence[str | Mapping[str, Any]] = ()

  # `train_accuracy` is allowed: the clusters are classes.
  refused: ClassVar = ('patience',)

  def check(self):
    """See `Trains`."""
    errors.check_number(
      'clusters_per_class', self.clusters_per_class, int, least=1
    )
    errors.check_number(
      'num_iters', self.num_iters, int, least=0, most=errors.MOST_COUNTED
    )
    errors.check_flag('balanced', self.balanced)
    errors.check_flag('new_head', self.new_head)
    if self.num_clusters > self.facts.num_examples:
      raise ValueError(
        f'clusters_per_class is {self.clusters_per_class}: '
        f'{self.num_clusters} clusters of {self.facts.num_examples} examples; '
        'there must be no more clusters than examples.'
      )
    super().check()

  @property
  def num_clusters(self) -> int:
    """Number of clusters."""
    classes = tasks.need_classes(self.facts.task, "pretraining 'deep_cluster'")
    return self.clusters_per_class * len(classes.names)

  @property
  def clusters_as_classes(self) -> tasks.Classes:
    """Task of predicting the cluster of an example."""
    return tasks.numbered(self.num_clusters)

  @property
  def watched(self):
    """See `WholePool`."""
    return forward.watched(self.clusters_as_classes)

  @functools.cached_property
  def model(self):
    """The network, with the clusters as its classes."""
    return self.build(self.facts._replace(task=self.clusters_as_classes))

  @property
  def surveys(self):
    """See `interfaces.Learner`."""
    return {EPOCH: Survey(measure=_embedding, absorb=self._absorb)}

  def init(self, key):
    """See `interfaces.Learner`."""
    unknown = jnp.full((), jnp.nan, jnp.float32)
    return ClusterState(
      *self.init_training(key),
      clusters=jnp.full(self.facts.num_examples, -1, jnp.int32),
      agreement=unknown,
      evenness=unknown,
    )

  def start(self, key, state, pool):
    """See `interfaces.Learner`."""
    del pool
    network, begun = self.begin_training(key, key, state)
    return state.replace(
      network=network,
      course=begun.replace(due={EPOCH: jnp.ones((), jnp.bool_)}),
      clusters=jnp.full_like(state.clusters, -1),
    )

  def plan(self, state, pool):
    """See `interfaces.Phase`."""
    del pool
    return {'clustered': self.rules.next_batch(state.course)}

  def step(self, state, batches, pool):
    """See `interfaces.Phase`."""
    del pool
    batch = batches['clustered']
    real, task = batch.index >= 0, self.clusters_as_classes
    targets = forward.targets_of(state.clusters, batch.index)
    # An example may be drawn several times; each copy is augmented on its own.
    of_params = self.in_training(state, batch, jnp.arange(len(batch.index)))

    def objective(params):
      output, statistics = of_params(params)
      losses = task.losses(output.predictions, targets)
      seen = forward.watch(task, output.predictions, losses, targets, real)
      return objectives.masked_mean(losses, real), (statistics, seen)

    network, after = self.updated(state, objective)
    after = course.pause(after, EPOCH)
    before = state.network, state.course
    network, after = course.hold(state.course, before, (network, after))
    state = state.replace(network=network, course=after)
    progress = self.with_epoch(after)
    own = {'agreement': state.agreement, 'evenness': state.evenness}
    return state, progress._replace(metrics={**progress.metrics, **own})

  def _absorb(self, key, state, embedding, pool):
    """Clusters the pool, and begins an epoch of predicting the clusters."""
    del pool
    cluster_key, head_key, draw_key, order_key = jax.random.split(key, 4)
    clusters = kernels.k_means(
      cluster_key,
      _unit(embedding),
      self.num_clusters,
      num_iters=self.num_iters,
    ).assignments
    network = state.network
    if self.new_head:
      network = self._with_new_head(head_key, network)
    members = jnp.arange(self.facts.num_examples, dtype=jnp.int32)
    if self.balanced:
      members = _balanced(draw_key, clusters, self.num_clusters)
    epochs = plans.begin(
      order_key, members, jnp.int32(len(members)), self.rules.batch_size
    ).replace(epoch=state.course.epochs.epoch)
    return state.replace(
      network=network,
      course=course.taken(state.course.replace(epochs=epochs), EPOCH),
      clusters=clusters,
      agreement=_agreement(state.clusters, clusters, self.num_clusters),
      evenness=_evenness(clusters, self.num_clusters),
    )

  def _with_new_head(self, key, network):
    """Replaces the head, and resets the optimizer's state for it."""
    params = network.variables['params']
    _, heads = pretraining.divided(self.model.init(key)['params'])
    params = {**params, **heads}
    return network.replace(
      variables={**network.variables, 'params': params},
      optimizer=jax.tree_util.tree_map_with_path(
        lambda path, old, new: new if _is_of_head(path) else old,
        network.optimizer,
        self.trainer.optimizer.init(params),
      ),
    )


deep_cluster = one_network.factory(DeepCluster, pretraining.bound)


def _embedding(key, apply, batch):
  del key
  return apply(batch.inputs).embedding


def _unit(rows):
  """Scales rows to length 1; rows of zeros stay."""
  lengths = jnp.linalg.norm(rows, axis=1, keepdims=True)
  return rows / jnp.where(lengths > 0, lengths, 1.0)


def _is_of_head(path):
  names = (getattr(key, 'key', None) for key in path)
  return any(isinstance(name, str) and common.is_head(name) for name in names)


def _balanced(key, clusters, num_clusters):
  """Draws int32[N] examples: a cluster that is not empty, then a member."""
  cluster_key, member_key = jax.random.split(key)
  shape = clusters.shape
  order = jnp.argsort(clusters).astype(jnp.int32)
  # Examples without a cluster (-1) sort first.
  sizes = _sizes(clusters, num_clusters)
  first = jnp.sum(clusters < 0) + jnp.cumsum(sizes) - sizes
  filled = jnp.where(sizes > 0, 0.0, -jnp.inf)
  drawn = jax.random.categorical(cluster_key, filled, shape=shape)
  place = jnp.floor(jax.random.uniform(member_key, shape) * sizes[drawn])
  place = jnp.minimum(place.astype(jnp.int32), sizes[drawn] - 1)
  return order[first[drawn] + place]


def _sizes(clusters, num_clusters):
  """Counts the members of each cluster, int32[K]; -1 is no cluster."""
  place = _padding.past_end(clusters, num_clusters)
  return jnp.zeros(num_clusters, jnp.int32).at[place].add(1, mode='drop')


def _agreement(before, after, num_clusters):
  """Computes mutual information over the mean entropy; NaN without clusters."""
  known = (before >= 0) & (after >= 0)
  pairs = jnp.where(known, before * num_clusters + after, num_clusters**2)
  joint = jnp.zeros(num_clusters**2).at[pairs].add(1.0, mode='drop')
  joint = joint.reshape(num_clusters, num_clusters)
  joint /= jnp.maximum(jnp.sum(joint), 1)
  both = _entropy(joint.sum(0)) + _entropy(joint.sum(1))
  shared = both - _entropy(joint.ravel())
  # One cluster before and after agrees with itself.
  agreement = jnp.where(both > 0, 2 * shared / jnp.maximum(both, 1e-30), 1.0)
  return jnp.where(jnp.any(known), agreement, jnp.nan)


def _evenness(clusters, num_clusters):
  sizes = _sizes(clusters, num_clusters)
  shares = sizes / jnp.maximum(jnp.sum(sizes), 1)
  return _entropy(shares) / jnp.log(max(num_clusters, 2))


def _entropy(shares):
  logs = jnp.log(jnp.where(shares > 0, shares, 1.0))
  return -jnp.sum(shares * logs)

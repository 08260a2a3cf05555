"""Training to tell apart the clusters of what the network itself sees."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax.interfaces import Facts, Learner, ModelFns, Survey
from al_jax.kernels import _padding
from al_jax.learners import pretraining
from al_jax.learners.pretraining import HEAD, Pretraining
from al_jax.training import augment as augment_lib
from al_jax.training import course, forward, objectives, plans


@flax.struct.dataclass
class ClusterState:
  """What the training knows, and what it takes for labels.

  Attributes:
    training: its epochs are over what was drawn of the clusters.
    clusters: int32[N], which each example is in; -1 before the first look.
    agreement: float32, the normalised mutual information of the clusters with
      those of the epoch before; NaN before there are two.
    evenness: float32, the entropy of the clusters' sizes over its largest
      value: 0 when all is one cluster.
  """

  training: course.Training
  clusters: jax.Array
  agreement: jax.Array
  evenness: jax.Array


def deep_cluster(
  build: Callable[[Facts], ModelFns],
  facts: Facts,
  *,
  clusters_per_class: int = 5,
  num_iters: int = 10,
  balanced: bool = True,
  new_head: bool = True,
  optimizer: Mapping[str, Any] | None = None,
  batch_size: int = 128,
  stop: Mapping[str, Any] | None = None,
  augment: Sequence[str | Mapping[str, Any]] = (),
) -> Pretraining:
  """Trains a network to tell apart the clusters of its own embeddings.

  Before every epoch the normalised embeddings of the whole pool are clustered
  by k-means, and for that epoch clusters are classes. Their numbers mean
  nothing from one epoch to the next, hence a new head each time. Drawing
  clusters uniformly, then examples of them, keeps one cluster from taking over.

  Caron et al. 2018, "Deep Clustering for Unsupervised Learning of Visual
  Features"; with five clusters per class, as Simeoni et al. 2020, "Rethinking
  Deep Active Learning", use it.

  Args:
    build: makes the network for facts, of which this changes the classes.
    facts: of the task.
    clusters_per_class: the number of clusters over C.
    num_iters: of k-means.
    balanced: draw clusters uniformly; False: take every example once.
    new_head: begin every epoch with a head of its own.
    optimizer: keywords of `training.optimizers.build`.
    batch_size: examples per step.
    stop: keywords of `StopRule`; it can have no patience.
    augment: see `training.augment.build`.

  Returns:
    A Pretraining. `Progress.metrics` has the `loss` and `accuracy` in telling
    the clusters apart, and `agreement` and `evenness` as in ClusterState.
  """
  errors.check_number('clusters_per_class', clusters_per_class, int, least=1)
  errors.check_number(
    'num_iters', num_iters, int, least=0, most=errors.MOST_COUNTED
  )
  errors.check_flag('balanced', balanced)
  errors.check_flag('new_head', new_head)
  num_clusters = clusters_per_class * facts.num_classes
  if num_clusters > facts.num_examples:
    raise ValueError(
      f'clusters_per_class is {clusters_per_class}: {num_clusters} clusters of '
      f'{facts.num_examples} examples; there must be no more than that.'
    )
  model = build(facts._replace(num_classes=num_clusters))
  recipe = pretraining.recipe_of_passes(
    model,
    facts,
    optimizer=optimizer,
    batch_size=batch_size,
    stop=stop,
    accuracy=True,
  )
  augment_batch = augment_lib.build(augment, facts.example)

  def init(key, facts):
    unknown = jnp.full((), jnp.nan, jnp.float32)
    return ClusterState(
      training=course.init(recipe, key),
      clusters=jnp.full(facts.num_examples, -1, jnp.int32),
      agreement=unknown,
      evenness=unknown,
    )

  def start(key, state, pool):
    del pool
    training = course.begin(recipe, key, key, state.training)
    return state.replace(
      training=training.replace(stale=jnp.ones((), jnp.bool_)),
      clusters=jnp.full_like(state.clusters, -1),
    )

  def plan(state, pool):
    del pool
    epochs = state.training.epochs
    return {'clustered': plans.next_batch(epochs, recipe.batch_size)}

  def step(state, batches, pool):
    del pool
    training, batch = state.training, batches['clustered']
    real = batch.index >= 0
    targets = forward.targets_of(state.clusters, batch.index)
    # An example may be drawn several times, and is another one each time.
    of_params = forward.train(
      recipe, training, augment_batch, batch, jnp.arange(len(batch.index))
    )

    def objective(params):
      output, statistics = of_params(params)
      losses = objectives.cross_entropy(output.predictions, targets)
      seen = forward.watch(output.predictions, losses, targets, real)
      return objectives.masked_mean(losses, real), (statistics, seen)

    moved = course.count(recipe, course.update(recipe, training, objective))
    moved = course.pause(moved)
    state = state.replace(training=course.hold(training, training, moved))
    progress = pretraining.with_epoch(state.training)
    return state, progress._replace(
      metrics={
        **progress.metrics,
        'agreement': state.agreement,
        'evenness': state.evenness,
      }
    )

  def apply(state, inputs, *, keys=None):
    return forward.apply(model, state.training.variables, inputs, keys=keys)

  def measure(key, apply, batch):
    del key
    return apply(batch.inputs).embedding

  def absorb(key, state, embedding, pool):
    del pool
    cluster_key, head_key, draw_key, order_key = jax.random.split(key, 4)
    clusters = kernels.k_means(
      cluster_key, _unit(embedding), num_clusters, num_iters=num_iters
    ).assignments
    training = state.training
    if new_head:
      training = _with_new_head(recipe, head_key, training)
    members = jnp.arange(facts.num_examples, dtype=jnp.int32)
    if balanced:
      members = _balanced(draw_key, clusters, num_clusters)
    epochs = plans.begin(
      order_key, members, jnp.int32(len(members)), recipe.batch_size
    ).replace(epoch=training.epochs.epoch)
    return state.replace(
      training=training.replace(epochs=epochs, stale=jnp.zeros((), jnp.bool_)),
      clusters=clusters,
      agreement=_agreement(state.clusters, clusters, num_clusters),
      evenness=_evenness(clusters, num_clusters),
    )

  def keep(state):
    return pretraining.without_head(state.training.variables)

  survey = Survey(measure=measure, absorb=absorb)
  learner = Learner(init, start, plan, step, apply, survey=survey)
  return Pretraining(learner, keep, recipe.most_steps(recipe.capacity))


def _unit(rows):
  """Rows of length 1; a row of zeros stays one."""
  lengths = jnp.linalg.norm(rows, axis=1, keepdims=True)
  return rows / jnp.where(lengths > 0, lengths, 1.0)


def _with_new_head(recipe, key, training):
  """Another head, and nothing that the optimiser remembers of the old one."""
  params = training.variables['params']
  fresh = recipe.model.init(key)['params'][HEAD]
  params = {**params, HEAD: fresh}
  return training.replace(
    variables={**training.variables, 'params': params},
    optimizer=jax.tree_util.tree_map_with_path(
      lambda path, old, new: new if _is_of_head(path) else old,
      training.optimizer,
      recipe.optimizer.init(params),
    ),
  )


def _is_of_head(path):
  return any(getattr(key, 'key', None) == HEAD for key in path)


def _balanced(key, clusters, num_clusters):
  """int32[N]: draws of a cluster that has any, then of an example in it."""
  cluster_key, member_key = jax.random.split(key)
  shape = clusters.shape
  order = jnp.argsort(clusters).astype(jnp.int32)
  # What is in no cluster sorts first.
  sizes = _sizes(clusters, num_clusters)
  first = jnp.sum(clusters < 0) + jnp.cumsum(sizes) - sizes
  filled = jnp.where(sizes > 0, 0.0, -jnp.inf)
  drawn = jax.random.categorical(cluster_key, filled, shape=shape)
  place = jnp.floor(jax.random.uniform(member_key, shape) * sizes[drawn])
  place = jnp.minimum(place.astype(jnp.int32), sizes[drawn] - 1)
  return order[first[drawn] + place]


def _sizes(clusters, num_clusters):
  """int32[K]; -1 is no cluster."""
  place = _padding.past_end(clusters, num_clusters)
  return jnp.zeros(num_clusters, jnp.int32).at[place].add(1, mode='drop')


def _agreement(before, after, num_clusters):
  """Mutual information over the mean of both entropies; NaN if not known."""
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

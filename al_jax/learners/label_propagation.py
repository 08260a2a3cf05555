"""Training on labels that flow along a graph of what the network sees."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Facts, Learner, ModelFns, Survey
from al_jax.kernels._affinity import GRAPH_KINDS
from al_jax.training import augment as augment_lib
from al_jax.training import course, forward, objectives, plans

# Of a batch, as published.
_LABELLED_SHARE = 50 / 128


@flax.struct.dataclass
class PropagationState:
  """What the training knows, and what was propagated last.

  Attributes:
    training: its epochs are passes over the pseudo-labelled examples, or over
      the labelled ones if nothing reaches any other.
    labelled: the passes over the labelled examples.
    labels: int32[N], known or propagated; -1 where a step has none to use.
    weights: float32[N], of the losses; 1 where the label is known.
    class_weights: float32[C], of the losses by label.
  """

  training: course.Training
  labelled: plans.Epochs
  labels: jax.Array
  weights: jax.Array
  class_weights: jax.Array


def label_propagation(
  model: ModelFns,
  facts: Facts,
  *,
  neighbors: int = 50,
  graph_kind: str = 'reciprocal',
  gamma: float = 3.0,
  alpha: float = 0.99,
  num_iters: int = 20,
  share: float = 0.5,
  every: int = 1,
  class_weights: bool = True,
  labelled_batch_size: int | None = None,
  batch_size: int = 128,
  optimizer: Mapping[str, Any] | None = None,
  stop: Mapping[str, Any] | None = None,
  weights: str = 'same',
  augment: Sequence[str | Mapping[str, Any]] = (),
) -> Learner:
  """Mini-batches of labelled and of pseudo-labelled examples.

  Before the first epoch of a round, and after the epochs of it, the labels are
  propagated over the graph of nearest neighbours of all embeddings. A part of
  the unlabelled examples is drawn, without replacement and in proportion to
  their certainty, to be trained on until then:

    sum over the batch of w_i zeta_c CE(f(x_i), c) / its size,

  with c the label, known or propagated, w_i the certainty, 1 where it is known,
  and zeta_c the number of examples that are trained on over C times those of
  class c. An epoch is a pass over the pseudo-labelled; the labelled fill their
  part of every batch over and over.

  Iscen et al. 2019, "Label Propagation for Deep Semi-supervised Learning";
  Simeoni et al. 2020, "Rethinking Deep Active Learning", propagate in every
  round of labels and draw a part.

  Args:
    model: the network.
    facts: of the task.
    neighbors: of each example in the graph, fewer in a smaller pool.
    graph_kind: see `kernels.label_propagation`, like the next three.
    gamma: exponent of the similarities.
    alpha: how far labels flow.
    num_iters: of the solver.
    share: of the unlabelled examples that is drawn; above 0, at most 1.
    every: epochs between two propagations.
    class_weights: whether there is zeta.
    labelled_batch_size: how many of a batch are labelled; None: 50 in 128.
    batch_size: of labelled and pseudo-labelled together; larger than that.
    optimizer: keywords of `training.optimizers.build`.
    stop: keywords of `StopRule`; it can have no patience.
    weights: what a round starts from, see `training.course.recipe`.
    augment: see `training.augment.build`.

  Returns:
    A Learner. `Progress.metrics` has the weighted `loss`, the `accuracy` on
    the labelled, and `certainty`, the mean weight of the pseudo-labelled.
  """
  errors.check_number('neighbors', neighbors, int, least=1)
  errors.check_number('share', share, above=0, most=1)
  errors.check_number('every', every, int, least=1, most=errors.MOST_COUNTED)
  errors.check_number('alpha', alpha, least=0, below=1)
  errors.check_number('gamma', gamma, above=0)
  errors.check_name('graph_kind', graph_kind, GRAPH_KINDS)
  errors.check_number(
    'num_iters', num_iters, int, least=1, most=errors.MOST_COUNTED
  )
  errors.check_flag('class_weights', class_weights)
  errors.check_number(
    'labelled_batch_size', labelled_batch_size, int, least=1, optional=True
  )
  errors.check_number(
    'batch_size', batch_size, int, least=(labelled_batch_size or 1) + 1
  )
  if labelled_batch_size is None:
    labelled_batch_size = max(round(batch_size * _LABELLED_SHARE), 1)
  recipe = course.recipe(
    model,
    optimizer=optimizer,
    stop=stop,
    weights=weights,
    capacity=facts.num_examples,
    batch_size=batch_size - labelled_batch_size,
    watched={'loss': (), 'accuracy': (), 'certainty': ()},
  )
  if recipe.rule.patience is not None:
    raise ValueError(
      f'stop.patience is {recipe.rule.patience}; label_propagation looks over '
      'the pool after its epochs, not over a validation split: it must be None.'
    )
  augment_batch = augment_lib.build(augment, facts.example)
  num_classes = facts.num_classes

  def init(key, facts):
    return PropagationState(
      training=course.init(recipe, key),
      labelled=plans.empty(facts.label_budget, labelled_batch_size),
      labels=jnp.full(facts.num_examples, -1, jnp.int32),
      weights=jnp.zeros(facts.num_examples, jnp.float32),
      class_weights=jnp.ones(num_classes, jnp.float32),
    )

  def start(key, state, pool):
    init_key, round_key, order_key = jax.random.split(key, 3)
    training = course.begin(recipe, init_key, round_key, state.training)
    members, count = pool_lib.labelled_indices(pool, facts.label_budget)
    return state.replace(
      training=training.replace(finished=count == 0, stale=count > 0),
      labelled=plans.begin(order_key, members, count, labelled_batch_size),
    )

  def plan(state, pool):
    del pool
    return {
      'labelled': plans.full_batch(state.labelled, labelled_batch_size),
      'pseudo_labelled': plans.next_batch(
        state.training.epochs, recipe.batch_size
      ),
    }

  def step(state, batches, pool):
    training = state.training
    both = jax.tree.map(
      lambda *parts: jnp.concatenate(parts),
      batches['labelled'],
      batches['pseudo_labelled'],
    )
    row = jnp.arange(len(both.index))
    is_labelled = row < labelled_batch_size
    real = both.index >= 0
    known = pool_lib.trainable(pool)[both.index]
    targets = forward.targets_of(state.labels, both.index)
    certainty = jnp.where(real, state.weights[both.index], 0.0)
    # A labelled example may be there several times, another way each time.
    draws = jnp.where(is_labelled, facts.num_examples + row, both.index)
    of_params = forward.train(recipe, training, augment_batch, both, draws)

    def objective(params):
      output, statistics = of_params(params)
      losses = objectives.cross_entropy(output.predictions, targets)
      losses *= certainty * state.class_weights[targets]
      seen = forward.watch(
        output.predictions, losses, targets, real & is_labelled
      )
      count = jnp.sum(real, dtype=jnp.int32)
      others = real & ~is_labelled & ~known
      seen['loss'] = course.Mean(jnp.sum(jnp.where(real, losses, 0.0)), count)
      seen['certainty'] = course.Mean(
        jnp.sum(jnp.where(others, certainty, 0.0)),
        jnp.sum(others, dtype=jnp.int32),
      )
      return objectives.masked_mean(losses, real), (statistics, seen)

    moved = course.count(recipe, course.update(recipe, training, objective))
    moved = course.pause(moved, every)
    order_key = jax.random.fold_in(course.step_keys(training)[1], 1)
    labelled = plans.advance(order_key, state.labelled, labelled_batch_size)
    training, labelled = course.hold(
      training, (training, state.labelled), (moved, labelled)
    )
    state = state.replace(training=training, labelled=labelled)
    return state, course.progress(training)

  def apply(state, inputs, *, keys=None):
    return forward.apply(model, state.training.variables, inputs, keys=keys)

  def measure(key, apply, batch):
    del key
    return apply(batch.inputs).embedding

  def absorb(key, state, embedding, pool):
    draw_key, order_key = jax.random.split(key)
    known = pool_lib.trainable(pool)
    graph = kernels.knn_graph(
      embedding, min(neighbors, facts.num_examples - 1), metric='cosine'
    )
    found = kernels.label_propagation(
      graph,
      jnp.where(known, pool.targets, -1),
      num_classes,
      alpha=alpha,
      gamma=gamma,
      graph_kind=graph_kind,
      num_iters=num_iters,
    )
    drawn = _drawn(draw_key, found.certainty, ~known, share)
    used = drawn | known
    # What nothing reaches is not trained on; the labelled are, come what may.
    members = jnp.where(jnp.any(drawn), drawn, known)
    labels = jnp.where(used, found.pseudo_labels, -1)
    training = state.training
    members, count = pool_lib.positions(members, facts.num_examples)
    epochs = plans.begin(order_key, members, count, recipe.batch_size).replace(
      epoch=training.epochs.epoch
    )
    return state.replace(
      training=training.replace(epochs=epochs, stale=jnp.zeros((), jnp.bool_)),
      labels=labels,
      weights=jnp.where(used, found.certainty, 0.0),
      class_weights=_balancing(labels, num_classes)
      if class_weights
      else state.class_weights,
    )

  def machine_labels(state, pool):
    return jnp.where(pool_lib.trainable(pool), -1, state.labels)

  return Learner(
    init,
    start,
    plan,
    step,
    apply,
    survey=Survey(measure=measure, absorb=absorb),
    machine_labels=machine_labels,
    most_steps=lambda labels: recipe.most_steps(facts.num_examples - labels),
    continues=recipe.continues,
  )


def _drawn(key, weights, mask, share):
  """bool[N]: a share of the mask, in proportion to the weights.

  Where fewer have a weight above 0, they are all.
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
  """float32[C]: inverse to how many have the label; 0 where none has."""
  counts = jnp.sum(jax.nn.one_hot(labels, num_classes), axis=0)
  mean = jnp.sum(counts) / num_classes
  return jnp.where(counts > 0, mean / jnp.maximum(counts, 1), 0.0)

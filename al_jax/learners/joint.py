"""Cross-entropy on labels, and confidence on everything else."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Facts, Learner, ModelFns
from al_jax.training import augment as augment_lib
from al_jax.training import course, forward, objectives, plans, validation

# Fewer classes than this among the predictions are one class and some doubt.
_COLLAPSED = 1.5
_COLLAPSE = (
  'predicts one class for practically all that is not labelled; a lower '
  'entropy_weight or some balance may help.'
)


@flax.struct.dataclass
class JointState:
  """What the training knows, and its place among the unlabelled examples."""

  training: course.Training
  unlabelled: plans.Epochs


def joint(
  model: ModelFns,
  facts: Facts,
  *,
  entropy_weight: float = 0.1,
  unlabelled_batch_size: int = 128,
  balance: float = 0.0,
  optimizer: Mapping[str, Any] | None = None,
  batch_size: int = 64,
  stop: Mapping[str, Any] | None = None,
  weights: str = 'same',
  augment: Sequence[str | Mapping[str, Any]] = (),
) -> Learner:
  """Minimises the loss on labels and the entropy of all other predictions.

  With f the softmax output, L the labelled and U the other examples,

    mean over L of CE(f(x), y) + lambda * mean over U of H(f(x))
      - eta * H(mean over U of f(x)),

  each mean over a mini-batch of its own, in one pass through the network. What
  is still uncertain when most is made confident is worth asking about.

  An epoch is a pass over the labelled examples, as in `supervised`; that is
  what lambda = 0 is, bit for bit. The unlabelled ones are taken in passes of
  their own.

  Ranganathan et al. 2017, "Deep Active Learning for Image Classification".
  The last term is not in the paper: it keeps all predictions from becoming one
  class, which entropy alone rewards.

  Args:
    model: the network.
    facts: of the task.
    entropy_weight: lambda, at least 0.
    unlabelled_batch_size: unlabelled examples per step.
    balance: eta, at least 0.
    optimizer: keywords of `training.optimizers.build`.
    batch_size: labelled examples per step.
    stop: keywords of `StopRule`.
    weights: what a round starts from, see `training.course.recipe`.
    augment: see `training.augment.build`; of both kinds of examples.

  Returns:
    A Learner. Beside `loss` (of the labelled) and `accuracy`,
    `Progress.metrics` has `unlabelled_entropy`; `marginal_entropy`, that of the
    mean prediction; and `collapsed`, 1 where the unlabelled predictions are
    practically one class.
  """
  errors.check_number('entropy_weight', entropy_weight, least=0)
  errors.check_number('balance', balance, least=0)
  errors.check_number(
    'unlabelled_batch_size', unlabelled_batch_size, int, least=1
  )
  recipe = course.recipe(
    model,
    optimizer=optimizer,
    stop=stop,
    weights=weights,
    capacity=facts.label_budget,
    batch_size=batch_size,
    watched={
      'loss': (),
      'accuracy': (),
      'unlabelled_entropy': (),
      'marginal': (facts.num_classes,),
    },
    report=_reported,
  )
  # Without a weight nobody looks at the unlabelled.
  size = min(unlabelled_batch_size, facts.num_examples)
  size = size if entropy_weight or balance else 0
  augment_batch = augment_lib.build(augment, facts.example)

  def init(key, facts):
    return JointState(
      course.init(recipe, key), plans.empty(facts.num_examples, size)
    )

  def start(key, state, pool):
    init_key, round_key, order_key = jax.random.split(key, 3)
    training = course.begin(recipe, init_key, round_key, state.training)
    training = course.over_labelled(recipe, order_key, training, pool)
    members, count = pool_lib.unlabelled_indices(pool)
    unlabelled_key = jax.random.fold_in(order_key, 1)
    return JointState(
      training, plans.begin(unlabelled_key, members, count, size)
    )

  def plan(state, pool):
    del pool
    found = {
      'labelled': plans.next_batch(state.training.epochs, recipe.batch_size)
    }
    if size:
      found['unlabelled'] = plans.next_batch(state.unlabelled, size)
    return found

  def step(state, batches, pool):
    training, batch = state.training, batches['labelled']
    both = batch
    if size:
      both = jax.tree.map(_one_after_another, batch, batches['unlabelled'])
    num_labelled = len(batch.index)
    real = both.index >= 0
    targets = forward.targets_of(pool.targets, batch.index)
    of_params = forward.train(recipe, training, augment_batch, both)

    def objective(params):
      output, statistics = of_params(params)
      known, others = jnp.split(output.predictions, [num_labelled])
      labelled, unlabelled = jnp.split(real, [num_labelled])
      losses = objectives.cross_entropy(known, targets)
      entropies = kernels.entropy(others)
      marginal = _mean_prediction(others, unlabelled)
      loss = (
        objectives.masked_mean(losses, labelled)
        + entropy_weight * objectives.masked_mean(entropies, unlabelled)
        - balance * _entropy_of(marginal)
      )
      count = jnp.sum(unlabelled, dtype=jnp.int32)
      seen = {
        **forward.watch(known, losses, targets, labelled),
        'unlabelled_entropy': course.Mean(
          jnp.sum(jnp.where(unlabelled, entropies, 0.0)), count
        ),
        'marginal': course.Mean(marginal * count, count),
      }
      return loss, (statistics, seen)

    moved = course.count(recipe, course.update(recipe, training, objective))
    unlabelled = state.unlabelled
    if size:
      order_key = jax.random.fold_in(course.step_keys(training)[1], 1)
      unlabelled = plans.advance(order_key, unlabelled, size)
    state = course.hold(training, state, JointState(moved, unlabelled))
    return state, course.progress(state.training)

  def apply(state, inputs, *, keys=None):
    return forward.apply(model, state.training.variables, inputs, keys=keys)

  survey = validation.survey(recipe.rule, lambda state: state.training)
  return Learner(
    init,
    start,
    plan,
    step,
    apply,
    survey=survey,
    most_steps=recipe.most_steps,
    continues=recipe.continues,
    warnings={'collapsed': _COLLAPSE},
  )


def _one_after_another(labelled, unlabelled):
  return jnp.concatenate([labelled, unlabelled])


def _mean_prediction(logits, real):
  """float32[C]; zeros if no row is real."""
  probs = jnp.where(real[:, None], jax.nn.softmax(logits), 0.0)
  return jnp.sum(probs, axis=0) / jnp.maximum(jnp.sum(real), 1)


def _entropy_of(probs):
  positive = probs > 0
  # Twice `where`: the outer one alone would leave 0 * inf in the gradient.
  logs = jnp.log(jnp.where(positive, probs, 1.0))
  return -jnp.sum(jnp.where(positive, probs * logs, 0.0))


def _reported(means):
  """The metrics; what was not looked at is 0, and has not collapsed."""
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

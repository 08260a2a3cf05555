"""Trains a network, then a VAE and a critic of the VAE's latents."""

import dataclasses
import functools
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors
from al_jax import pool as pool_lib
from al_jax.interfaces import Phase, Progress
from al_jax.learners.one_network import Training
from al_jax.learners.supervised import Supervised
from al_jax.training import adversarial, course, plans, sheets
from al_jax.training.adversarial import Both, Pair, Players
from al_jax.training.course import Course

# Key of the critic's logit in `ModelOutput.extras`, for strategies.
UNLABELLED = 'unlabelled'
# Number of examples on a sheet of reconstructions.
_SHOWN = 10
# Upper bounds that catch typos.
_MOST_STEPS, _MOST_PAIRS = 1000, 100_000
# The phases of a round.
_TASK, _STATES = range(2)


@flax.struct.dataclass
class States:
  """State of the VAE and the critic.

  Attributes:
    both: the two networks.
    course: course of the passes over the unlabelled examples.
    labelled: passes over the labelled examples.
    uncertainty: float32[N], the critic's targets for unlabelled examples.
    shown: [10, ...], unlabelled examples of the last step, for pictures.
  """

  both: Both
  course: Course
  labelled: plans.Epochs
  uncertainty: jax.Array
  shown: jax.Array


@flax.struct.dataclass
class Adversarial:
  """State of both phases: the task, and the networks trained after it."""

  task: Training
  states: States


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TwoPhases(Supervised):
  """Base of learners that train an autoencoder and a critic alongside a task.

  Attributes:
    iterations: Number of critic steps in a round.
    vae_steps: Number of VAE steps before each critic step.
    pair_size: Number of labelled examples per batch; the batch has the same
      number of unlabelled ones.
  """

  iterations: int = 1000
  vae_steps: int = 2
  pair_size: int = 64

  # For messages.
  name: ClassVar[str]
  # Surveys that the training of the VAE and the critic waits for.
  own_surveys: ClassVar[tuple[str, ...]] = ()
  # Whether the VAE and the critic train after the task or alongside it.
  in_turn: ClassVar[bool] = True

  def check(self):
    """See `OneNetwork`."""
    most = errors.MOST_COUNTED
    errors.check_number('iterations', self.iterations, int, least=1, most=most)
    errors.check_number(
      'vae_steps', self.vae_steps, int, least=1, most=_MOST_STEPS
    )
    errors.check_number(
      'pair_size', self.pair_size, int, least=1, most=_MOST_PAIRS
    )
    _ = self.players, self.states_rules
    super().check()

  @property
  def players(self) -> Players:
    """The autoencoder and the critic, with their optimizers."""
    raise NotImplementedError

  @functools.cached_property
  def states_rules(self) -> course.Rules:
    """Rules of the second training: passes over the unlabelled examples."""
    return course.rules(
      stop={'epochs': errors.MOST_COUNTED, 'steps': self.iterations},
      capacity=self.facts.num_examples,
      batch_size=self._pairs,
      watched=self.watched_states,
      report=adversarial.reported,
      surveys=self.own_surveys,
    )

  @property
  def watched_states(self) -> dict[str, tuple[int, ...]]:
    """Maps each quantity that the second training accumulates to its shape."""
    players = self.players
    return adversarial.watched(players.latent + players.target_latent)

  @property
  def _pairs(self):
    """Number of labelled examples in an iteration."""
    return self.vae_steps * self.pair_size

  def init(self, key):
    """See `interfaces.Learner`."""
    # The key is passed on as it is, to get the same weights as `supervised`.
    task = super().init(key)
    keys = jax.random.split(jax.random.fold_in(key, 1))
    example = self.facts.example
    both = self.players.first(keys[0])
    return Adversarial(
      task,
      States(
        both=both,
        course=self.states_rules.begin(keys[1], both.autoencoder.variables),
        labelled=plans.empty(self.facts.label_budget, self._pairs),
        uncertainty=jnp.ones(self.facts.num_examples, jnp.float32),
        shown=jnp.zeros((_SHOWN, *example.shape), example.dtype),
      ),
    )

  def start(self, key, state, pool):
    """See `interfaces.Learner`."""
    keys = jax.random.split(jax.random.fold_in(key, 1), 4)
    states = state.states
    both = self.players.begin(keys[0], states.both)
    begun = self.states_rules.begin(keys[1], both.autoencoder.variables)
    labelled = pool_lib.labelled_indices(pool, self.facts.label_budget)
    others = pool_lib.unlabelled_indices(pool)
    nothing_to_tell = (labelled[1] == 0) | (others[1] == 0)
    due = dict.fromkeys(self.own_surveys, ~nothing_to_tell)
    begun = begun.replace(
      epochs=plans.begin(keys[2], *others, self.states_rules.batch_size),
      finished=nothing_to_tell,
      due={**begun.due, **due},
    )
    return Adversarial(
      super().start(key, state.task, pool),
      states.replace(
        both=both,
        course=begun,
        labelled=plans.begin(keys[3], *labelled, self._pairs),
        uncertainty=jnp.ones_like(states.uncertainty),
      ),
    )

  @property
  def phases(self) -> tuple[Phase, ...]:
    """The task, then the VAE and the critic; or one phase of both."""
    if not self.in_turn:
      return (Phase(self._plan_both, self._step_both),)
    return (
      Phase(self.plan, self.step),
      Phase(self.plan_states, self.step_states),
    )

  def _plan_both(self, state, pool):
    return {**self.plan(state, pool), **self.plan_states(state, pool)}

  def _step_both(self, state, batches, pool):
    """Takes a step of both; each holds while the other waits for a survey."""
    moved, _ = self.step(state, batches, pool)
    task = course.unless(state.states.course.waits, state.task, moved.task)
    both, _ = self.step_states(state, batches, pool)
    both = both.replace(task=task)
    return both, self.progress(both)

  def plan(self, state, pool):
    """See `interfaces.Phase`; plans the task."""
    return super().plan(state.task, pool)

  def step(self, state, batches, pool):
    """See `interfaces.Phase`; trains the task."""
    task, _ = super().step(state.task, batches, pool)
    state = state.replace(task=task)
    return state, self.progress(state)

  def plan_states(self, state, pool):
    """See `interfaces.Phase`; labelled examples repeat if there are few."""
    del pool
    states, size = state.states, self.states_rules.batch_size
    return {
      'with_label': plans.full_batch(states.labelled, self._pairs),
      'without_label': plans.full_batch(states.course.epochs, size),
    }

  def step_states(self, state, batches, pool):
    """See `interfaces.Phase`: steps of the VAE, then one of the critic."""
    states, task = state.states, state.task.course
    at = states.course
    key, order_key = course.step_keys(at)
    how = self.states_rules.share_of_round(at), at.epochs.count

    def step_autoencoder(both, given):
      number, pair = given
      return self.players.step_autoencoder(
        jax.random.fold_in(key, number),
        both,
        pair,
        functools.partial(self._target_loss, pair, pool),
        *how,
      )

    pairs = self._pairs_of(batches)
    numbers = jnp.arange(self.vae_steps)
    # A scan, so that the step is compiled once.
    both, seen = jax.lax.scan(step_autoencoder, states.both, (numbers, pairs))
    pair = jax.tree.map(lambda leaf: leaf[-1], pairs)
    unsure = states.uncertainty[pair.others.index]
    both, of_critic = self.players.step_critic(both, pair, unsure, *how)
    of_steps = jax.tree.map(lambda each: jnp.sum(each, axis=0), seen)
    seen = {**of_steps, **of_critic, **self._seen(pair, unsure)}
    moved = states.replace(
      both=both,
      course=self._counted(at, seen),
      labelled=plans.advance(
        jax.random.fold_in(order_key, 2), states.labelled, self._pairs
      ),
      shown=sheets.kept(
        states.shown, pair.others.inputs, pair.others.index >= 0
      ),
    )
    frozen = at.finished | at.waits | task.waits
    if self.in_turn:
      frozen |= ~task.finished
    states = course.unless(frozen, states, moved)
    state = state.replace(states=states)
    return state, self.progress(state)

  def _pairs_of(self, batches):
    """Splits the batches into one Pair per VAE step, along a leading axis."""
    return Pair(
      *(
        _divided(batches[name], self.vae_steps, self.pair_size)
        for name in ('with_label', 'without_label')
      )
    )

  def _target_loss(self, pair, pool, coded):
    """Computes the loss of a head that predicts targets; 0 without a head."""
    del pair, pool, coded
    return jnp.zeros(()), {}

  def _seen(self, pair, unsure):
    """Returns further quantities to accumulate."""
    del pair, unsure
    return {}

  def _counted(self, at, seen):
    """Counts a step of the second training."""
    return self.states_rules.count(at, seen)

  def progress(self, state: Adversarial) -> Progress:
    """Returns the progress of both phases."""
    task = self.rules.progress(state.task.course)
    states = self.states_rules.progress(state.states.course)
    due, phase = states.due, jnp.int32(_TASK)
    if self.in_turn:
      due = {name: of & task.done for name, of in due.items()}
      phase = jnp.where(task.done, _STATES, _TASK)
    return Progress(
      done=task.done & states.done,
      due={**task.due, **due},
      step=task.step + states.step,
      metrics={**task.metrics, **states.metrics},
      running={**task.running, **states.running},
      phase=phase,
    )

  def apply(self, state, inputs, *, keys=None):
    """See `interfaces.Learner`; dropout samples have no critic logit."""
    output = super().apply(state.task, inputs, keys=keys)
    if keys is not None:
      return output
    errors.check_free(self.name, UNLABELLED, output.extras)
    both = state.states.both
    latents = self.players.coded(both.autoencoder.variables, inputs).mean
    logits = self.players.criticised(both.critic.variables, latents)
    return output._replace(extras={**output.extras, UNLABELLED: logits})

  def variables(self, state):
    """See `interfaces.Learner`."""
    return super().variables(state.task)

  def finite(self, state):
    """See `interfaces.Learner`."""
    of_task = super().finite(state.task)
    return {**of_task, **self.players.finite(state.states.both)}

  @property
  def surveys(self):
    """The task's validation survey, if its stop rule has patience."""

    def of_task(survey):
      def absorb(key, state, measured, held_out):
        task = survey.absorb(key, state.task, measured, held_out)
        return state.replace(task=task)

      return survey._replace(absorb=absorb)

    return {name: of_task(survey) for name, survey in super().surveys.items()}

  def most_steps(self, num_labels):
    """See `interfaces.Learner`."""
    of_task = super().most_steps(num_labels)
    if self.in_turn:
      return of_task, self.iterations
    return max(of_task, self.iterations)

  @property
  def pictures(self):
    """Makes a sheet of reconstructions if images have 1 or 3 channels."""
    return self._pictures if self.facts.example.shape[-1] in (1, 3) else None

  def _pictures(self, key, state, pool):
    del key, pool
    return self.players.pictures(state.states.both, state.states.shown)


def _divided(batch, number, size):
  """Divides into [number, size, ...]; slices overlap if there are few rows."""
  size = min(size, len(batch.index))
  starts = np.minimum(np.arange(number) * size, len(batch.index) - size)
  rows = starts[:, np.newaxis] + np.arange(size)
  return jax.tree.map(lambda leaf: leaf[rows], batch)

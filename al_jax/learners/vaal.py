"""A variational autoencoder, and a critic that tells what has a label."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch, NetFns, Phase, Progress
from al_jax.learners import one_network
from al_jax.learners.one_network import Training
from al_jax.learners.supervised import Supervised
from al_jax.models import common, generative
from al_jax.training import course, networks, objectives, plans
from al_jax.training.course import Course, Mean
from al_jax.training.networks import Network

# What `apply` adds for strategies: the critic's logit that nothing is known.
UNLABELLED = 'unlabelled'
# How the two terms of an autoencoder's loss are weighed.
KL_SCALES = ('elbo', 'example', 'batch')
# Latents whose means vary less than this over examples tell nothing of them.
_ACTIVE = 0.01
# Examples of a sheet of reconstructions.
_SHOWN = 10
# The phases of a round.
_TASK, _STATES = range(2)


@flax.struct.dataclass
class States:
  """The networks that tell what is labelled, and where their training is.

  Attributes:
    autoencoder: of labelled and other examples.
    critic: of its latents.
    course: over the examples without a label.
    labelled: passes over those with one.
    shown: [10, ...], examples of the last step, for pictures.
  """

  autoencoder: Network
  critic: Network
  course: Course
  labelled: plans.Epochs
  shown: jax.Array


@flax.struct.dataclass
class Adversarial:
  """The state of a task's network, and what is trained after it.

  Attributes:
    task: the network of the task, and its course.
    states: what is trained after it.
    uncertainty: float32[N], what the critic is to say of an example without a
      label.
  """

  task: Training
  states: States
  uncertainty: jax.Array


class _Pair(NamedTuple):
  """A batch of labelled examples, and one of others."""

  labelled: Batch
  others: Batch


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Vaal(Supervised):
  """Trains a network as `supervised`, and then what tells labelled from others.

  A variational autoencoder (VAE) learns what both kinds of examples look like,
  and a critic learns to tell them apart by the mean of their latents. With R
  the squared errors of a reconstruction, and D(x) the critic's probability that
  x has no label, steps minimise in turns

    VAE:     w_r (R + beta KL) + w_a (BCE(D(x_L), s) + BCE(D(x_U), s)),
    critic:  BCE(D(x_L), 0) + BCE(D(x_U), 1).

  Each is a mean over labelled examples x_L and one over others, x_U. With s = 0
  the VAE makes both look labelled to the critic. What still looks unlabelled is
  queried.

  Sinha et al. 2019, "Variational Adversarial Active Learning". The paper and
  its code train all networks side by side. As the task shares no weight with
  the VAE, one after the other is the same, and the task's network is that of
  `supervised`, bit for bit.

  Outputs have `extras['unlabelled']`, the logit of D. Beside what `supervised`
  reports, `Progress.metrics` has, of the last whole pass over the unlabelled
  examples: `reconstruction`, squared errors per number; `kl` in nats;
  `active_latents`, how many latents tell examples apart; `adversarial_loss`,
  `critic_loss`, and `critic_accuracy`.

  Attributes:
    iterations: of both networks in a round.
    vae_steps: of the VAE in each, with a batch of its own; the critic takes one
      step, on the last of them.
    pair_size: labelled examples of a step, and likewise unlabelled ones.
    vae: keywords of `models.generative.autoencoder`.
    critic: keywords of `models.generative.critic`.
    vae_optimizer: keywords of `training.optimizers.build`.
    critic_optimizer: likewise.
    beta: weight of the KL divergence, at least 0.
    kl_scale: `'elbo'`: R and KL are sums over an example, and both are divided
      by the numbers that an example has. The others are of published code: R is
      a mean over these numbers, and KL is the sum over an example (`'example'`,
      SRAAL's code), or over the whole batch (`'batch'`, VAAL's).
    reconstruction_weight: w_r, at least 0.
    adversarial_weight: w_a, at least 0.
    adversarial_state: s: 0 is labelled, 1 unlabelled.
  """

  iterations: int = 39_062
  vae_steps: int = 2
  pair_size: int = 128
  vae: Mapping[str, Any] | None = None
  critic: Mapping[str, Any] | None = None
  vae_optimizer: Mapping[str, Any] | None = None
  critic_optimizer: Mapping[str, Any] | None = None
  beta: float = 1.0
  kl_scale: str = 'elbo'
  reconstruction_weight: float = 1.0
  adversarial_weight: float = 1.0
  adversarial_state: float = 0.0

  name: ClassVar[str] = "learner 'vaal'"
  predicts_targets: ClassVar[bool] = False
  vae_defaults: ClassVar[Mapping[str, Any]] = {}
  critic_defaults: ClassVar[Mapping[str, Any]] = {}
  # Names of surveys that the states wait for.
  own_surveys: ClassVar[tuple[str, ...]] = ()
  # The states come after the task, and not side by side with it.
  in_turn: ClassVar[bool] = True

  def check(self):
    """See `OneNetwork`."""
    generative.check(self.name, self.facts)
    most = errors.MOST_COUNTED
    errors.check_number('iterations', self.iterations, int, least=1, most=most)
    errors.check_number('vae_steps', self.vae_steps, int, least=1)
    errors.check_number('pair_size', self.pair_size, int, least=1)
    errors.check_name('kl_scale', self.kl_scale, KL_SCALES)
    for name in ('beta', 'reconstruction_weight', 'adversarial_weight'):
      errors.check_number(name, getattr(self, name), least=0)
    errors.check_number(
      'adversarial_state', self.adversarial_state, least=0, most=1
    )
    _ = self.vae_trainer, self.critic_trainer, self.states_rules
    if self.target_size and not self.predicts_targets:
      raise ValueError(
        f'vae.target_latent is {self.target_size}; {self.name} predicts no '
        "targets from a latent, which learner 'sraal' does: leave it out."
      )
    super().check()

  @functools.cached_property
  def autoencoder(self) -> NetFns:
    """The VAE."""
    return errors.made_of(
      'vae',
      self.vae,
      functools.partial(
        generative.autoencoder, self.facts, **self.vae_defaults
      ),
    )

  @property
  def target_size(self) -> int:
    """Numbers of a latent that targets are predicted from."""
    return self._latents[1]

  @property
  def latent_size(self) -> int:
    """Numbers of a latent."""
    return sum(self._latents)

  @property
  def _latents(self):
    given = inspect.signature(generative.autoencoder).parameters
    options = {**self.vae_defaults, **(self.vae or {})}
    return tuple(
      options.get(name, given[name].default)
      for name in ('latent', 'target_latent')
    )

  @functools.cached_property
  def critic_net(self) -> NetFns:
    """The critic."""
    return errors.made_of(
      'critic',
      self.critic,
      functools.partial(
        generative.critic, self.latent_size, **self.critic_defaults
      ),
    )

  @functools.cached_property
  def vae_trainer(self) -> networks.Trainer:
    """How the VAE moves."""
    return self._trainer('vae_optimizer', self.autoencoder)

  @functools.cached_property
  def critic_trainer(self) -> networks.Trainer:
    """How the critic moves."""
    return self._trainer('critic_optimizer', self.critic_net)

  def _trainer(self, option, net):
    given = getattr(self, option)
    built = networks.trainer(
      net.init,
      optimizer={'name': 'adam', 'learning_rate': 5e-4} | dict(given or {}),
      weights=self.weights,
    )
    return built

  @functools.cached_property
  def states_rules(self) -> course.Rules:
    """How the phase of the states goes on: passes over what has no label."""
    return course.rules(
      stop={'epochs': errors.MOST_COUNTED, 'steps': self.iterations},
      capacity=self.facts.num_examples,
      batch_size=self.others_of_step,
      watched=dict.fromkeys(self.watched_states, ())
      | dict.fromkeys(('latent', 'sq_latent'), (self.latent_size,)),
      report=_reported,
      surveys=self.own_surveys,
    )

  @property
  def watched_states(self) -> tuple[str, ...]:
    """What steps of the states see, beside latents."""
    return (
      'reconstruction',
      'kl',
      'adversarial_loss',
      'critic_loss',
      'critic_accuracy',
    )

  @property
  def others_of_step(self) -> int:
    """Unlabelled examples of a step; at most all there are."""
    return min(self.vae_steps * self.pair_size, self.facts.num_examples)

  def init(self, key):
    """See `interfaces.Learner`."""
    keys = jax.random.split(key, 3)
    # With the weights of `supervised`.
    task = super().init(key)
    vae = self.vae_trainer.first(keys[0])
    example = self.facts.example
    return Adversarial(
      task=task,
      states=States(
        autoencoder=vae,
        critic=self.critic_trainer.first(keys[1]),
        course=self.states_rules.begin(keys[2], vae.variables),
        labelled=plans.empty(self.facts.label_budget, self._pairs),
        shown=jnp.zeros((_SHOWN, *example.shape), example.dtype),
      ),
      uncertainty=jnp.ones(self.facts.num_examples, jnp.float32),
    )

  @property
  def _pairs(self):
    return self.vae_steps * self.pair_size

  def start(self, key, state, pool):
    """See `interfaces.Learner`."""
    keys = jax.random.split(jax.random.fold_in(key, 1), 5)
    states = state.states
    vae = self.vae_trainer.begin(keys[0], states.autoencoder)
    begun = self.states_rules.begin(keys[1], vae.variables)
    labelled = pool_lib.labelled_indices(pool, self.facts.label_budget)
    others = pool_lib.unlabelled_indices(pool)
    epochs = plans.begin(keys[2], *others, self.states_rules.batch_size)
    nothing_to_tell = (labelled[1] == 0) | (others[1] == 0)
    due = dict.fromkeys(self.own_surveys, ~nothing_to_tell)
    return state.replace(
      task=super().start(key, state.task, pool),
      states=states.replace(
        autoencoder=vae,
        critic=self.critic_trainer.begin(keys[3], states.critic),
        course=begun.replace(
          epochs=epochs, finished=nothing_to_tell, due={**begun.due, **due}
        ),
        labelled=plans.begin(keys[4], *labelled, self._pairs),
      ),
      uncertainty=jnp.ones_like(state.uncertainty),
    )

  @property
  def phases(self) -> tuple[Phase, ...]:
    """The task, and then the states; or one phase of both."""
    if not self.in_turn:
      return (Phase(self._plan_both, self._step_both),)
    return (
      Phase(self.plan, self.step),
      Phase(self.plan_states, self.step_states),
    )

  def _plan_both(self, state, pool):
    return {**self.plan(state, pool), **self.plan_states(state, pool)}

  def _step_both(self, state, batches, pool):
    """Each holds while the other waits for a survey."""
    moved, _ = self.step(state, batches, pool)
    task = jax.tree.map(
      lambda old, new: jnp.where(state.states.course.waits, old, new),
      state.task,
      moved.task,
    )
    both, _ = self.step_states(state, batches, pool)
    both = both.replace(task=task)
    return both, self.progress(both)

  def plan(self, state, pool):
    """See `interfaces.Phase`; of the task."""
    return super().plan(state.task, pool)

  def step(self, state, batches, pool):
    """See `interfaces.Phase`; of the task."""
    task, _ = super().step(state.task, batches, pool)
    state = state.replace(task=task)
    return state, self.progress(state)

  def plan_states(self, state, pool):
    """See `interfaces.Phase`; labelled examples repeat, if there are few."""
    del pool
    states, size = state.states, self.states_rules.batch_size
    return {
      'with_label': plans.full_batch(states.labelled, self._pairs),
      'without_label': plans.full_batch(states.course.epochs, size),
    }

  def step_states(self, state, batches, pool):
    """See `interfaces.Phase`: steps of the VAE, and one of the critic."""
    task, states = state.task.course, state.states
    moved, seen = states, []
    parts = zip(
      self._divided(batches['with_label']),
      self._divided(batches['without_label']),
      strict=True,
    )
    for number, pair in enumerate(map(_Pair._make, parts)):
      moved, of_step = self._step_of_vae(moved, number, pair, pool)
      seen.append(of_step)
    moved, of_step = self._step_of_critic(moved, pair, state.uncertainty)
    seen = {**_summed(seen), **of_step}
    order_key = jax.random.fold_in(course.step_keys(states.course)[1], 2)
    moved = moved.replace(
      course=self._counted(states.course, seen),
      labelled=plans.advance(order_key, states.labelled, self._pairs),
      shown=_first_rows(states.shown, pair.others.inputs),
    )
    frozen = task.waits | states.course.finished | states.course.waits
    if self.in_turn:
      frozen |= ~task.finished
    states = jax.tree.map(
      lambda old, new: jnp.where(frozen, old, new), states, moved
    )
    state = state.replace(states=states)
    return state, self.progress(state)

  def _counted(self, at, seen):
    """The course of the states after a step."""
    return self.states_rules.count(at, seen)

  def progress(self, state: Adversarial) -> Progress:
    """What the host may read, of both phases."""
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
    """See `interfaces.Learner`; dropout samples have no state."""
    output = super().apply(state.task, inputs, keys=keys)
    if keys is not None:
      return output
    errors.check_free(self.name, UNLABELLED, output.extras)
    logits = self._criticised(
      state.states.critic.variables,
      self._coded(state.states.autoencoder.variables, inputs).mean,
    )
    return output._replace(extras={**output.extras, UNLABELLED: logits})

  def finite(self, state):
    """See `interfaces.Learner`."""
    return {
      **super().finite(state.task),
      'autoencoder': networks.is_finite(state.states.autoencoder.variables),
      'critic': networks.is_finite(state.states.critic.variables),
    }

  @property
  def surveys(self):
    """That of the task's patience, if there is any."""

    def of_task(survey):
      def absorb(key, state, measured, held_out):
        task = survey.absorb(key, state.task, measured, held_out)
        return state.replace(task=task)

      return survey._replace(absorb=absorb)

    return {name: of_task(survey) for name, survey in super().surveys.items()}

  def most_steps(self, num_labels):
    """See `interfaces.Learner`."""
    return super().most_steps(num_labels) + self.iterations

  @property
  def pictures(self):
    """Makes a sheet of reconstructions, if images are grey or of colours."""
    return self._pictures if self.facts.example.shape[-1] in (1, 3) else None

  def _pictures(self, key, state, pool):
    """Examples that have no label, and below them what the VAE makes of them."""
    del key, pool
    raw = state.states.shown
    made = self._coded(state.states.autoencoder.variables, raw).reconstruction
    mean, std = common.moments(self.facts)
    both = jnp.concatenate([raw.astype(jnp.float32), made * std + mean])
    low, high = 0.0, 255.0
    if raw.dtype != jnp.uint8:
      low, high = jnp.min(raw), jnp.max(raw)
    both = (both - low) / jnp.maximum(high - low, 1e-6)
    return {'reconstructions': jnp.clip(both, 0.0, 1.0)}

  def _divided(self, batch):
    """A batch for each step of the VAE; the last may share rows with others."""
    size = min(self.pair_size, len(batch.index))
    starts = [
      min(step * size, len(batch.index) - size)
      for step in range(self.vae_steps)
    ]
    return [
      jax.tree.map(lambda leaf, at=at: leaf[at : at + size], batch)
      for at in starts
    ]

  def _normalised(self, inputs):
    mean, std = common.moments(self.facts)
    return (inputs.astype(jnp.float32) - mean) / std

  def _coded(self, variables, inputs):
    """What the trained VAE makes of a batch, by the means of its latents."""
    coded, _ = self.autoencoder.apply(
      variables, self._normalised(inputs), jnp.zeros(())
    )
    return coded

  def _criticised(self, variables, latents):
    return self.critic_net.apply(variables, latents)[0]

  def _step_of_vae(self, states, number, pair, pool):
    """Moves the VAE, and what it saw."""
    variables = states.autoencoder.variables
    real = _Pair(*(batch.index >= 0 for batch in pair))
    keys = jax.random.split(
      jax.random.fold_in(course.step_keys(states.course)[0], number)
    )

    def coded(params, statistics, of, batch):
      images = self._normalised(batch.inputs)
      noise = jax.random.normal(keys[of], (len(images), self.latent_size))
      found, statistics = self.autoencoder.apply(
        {**variables, 'params': params, 'statistics': statistics},
        images,
        noise,
        training=True,
        real=real[of],
      )
      errors_of = jnp.square(found.reconstruction - images)
      return found, jnp.sum(errors_of, axis=(1, 2, 3)), statistics

    def objective(params):
      statistics = variables.get('statistics') or {}
      both = []
      for of, batch in enumerate(pair):
        *found, statistics = coded(params, statistics, of, batch)
        both.append(found)
      to_minimise, seen = self._vae_loss(states, both, real, pair, pool)
      return to_minimise, (statistics, seen)

    gradients, (statistics, seen) = jax.grad(objective, has_aux=True)(
      variables['params']
    )
    share = self.states_rules.share_of_round(states.course)
    count = states.course.epochs.count
    moved = self.vae_trainer.moved(
      states.autoencoder, gradients, statistics, share, count
    )
    return states.replace(autoencoder=moved), seen

  def _vae_loss(self, states, both, real, pair, pool):
    """What a step of the VAE minimises, and what it saw.

    Args:
      states: before the step.
      both: `Coded` and squared errors of the labelled, and of the others.
      real: bool[B] of each.
      pair: the examples.
      pool: the labelled set.
    """
    (labelled, _), _ = both
    sizes = self._kl_sizes(labelled.mean.shape[-1])
    numbers = self.facts.example.size
    loss, seen = self._target_loss(labelled, pair, real, pool)
    totals = {'reconstruction': [], 'kl': [], 'adversarial_loss': []}
    for (coded, sq_errors), is_real, size in zip(
      both, real, sizes, strict=True
    ):
      kl = _kl(coded, size)
      logits = self._criticised(states.critic.variables, coded.mean)
      fooled = _bce(logits, self.adversarial_state)
      kl_scale = {
        'elbo': 1 / numbers,
        'example': 1.0,
        'batch': jnp.sum(is_real).astype(jnp.float32),
      }[self.kl_scale]
      of_each = sq_errors / numbers + self.beta * kl_scale * kl
      loss += self.reconstruction_weight * objectives.masked_mean(
        of_each, is_real
      )
      loss += self.adversarial_weight * objectives.masked_mean(fooled, is_real)
      for name, values in (
        ('reconstruction', sq_errors / numbers),
        ('kl', kl),
        ('adversarial_loss', fooled),
      ):
        totals[name].append(mean_of(values, is_real))
    for name, means in totals.items():
      seen[name] = jax.tree.map(jnp.add, *means)
    codes = jnp.concatenate([coded.mean for coded, _ in both])
    rows = jnp.concatenate(real)
    seen['latent'] = mean_of(codes, rows)
    seen['sq_latent'] = mean_of(jnp.square(codes), rows)
    return loss, seen

  def _kl_sizes(self, size):
    """How many latents of labelled examples, and of others, are kept small."""
    return size, size

  def _target_loss(self, labelled, pair, real, pool):
    """The loss of a head for targets, and what is seen of it; none here."""
    del labelled, pair, real, pool
    return jnp.zeros(()), {}

  def _step_of_critic(self, states, pair, uncertainty):
    """Moves the critic; the VAE is as it would be used, and stays."""
    codes = [
      self._coded(states.autoencoder.variables, batch.inputs).mean
      for batch in pair
    ]
    codes = jnp.concatenate(codes)
    real = jnp.concatenate([batch.index >= 0 for batch in pair])
    targets = jnp.concatenate(
      [jnp.zeros(len(pair.labelled.index)), uncertainty[pair.others.index]]
    )
    row = jnp.arange(len(real))
    is_other = row >= len(pair.labelled.index)

    def objective(params):
      logits = self._criticised({'params': params}, codes)
      losses = _bce(logits, targets)
      seen = {
        'critic_loss': mean_of(losses, real),
        'critic_accuracy': mean_of(
          ((logits > 0) == is_other).astype(jnp.float32), real
        ),
      }
      loss = objectives.masked_mean(losses, real & ~is_other)
      return loss + objectives.masked_mean(losses, real & is_other), seen

    params = states.critic.variables['params']
    gradients, seen = jax.grad(objective, has_aux=True)(params)
    share = self.states_rules.share_of_round(states.course)
    count = states.course.epochs.count
    moved = self.critic_trainer.moved(
      states.critic, gradients, {}, share, count
    )
    return states.replace(critic=moved), seen


vaal = one_network.factory(Vaal)


def _bce(logits, targets):
  """Binary cross-entropies float32[B] of logits."""
  return jax.nn.softplus(logits) - targets * logits


def _kl(coded, size):
  """KL divergences float32[B] of the first latents from the normal prior."""
  mean, log_variance = coded.mean[:, :size], coded.log_variance[:, :size]
  terms = jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance
  return jnp.sum(terms, axis=-1) / 2


def mean_of(values: jax.Array, real: jax.Array) -> Mean:
  """A Mean over real rows.

  Args:
    values: float32[B, ...].
    real: bool[B].

  Returns:
    A Mean of [...].
  """
  mask = real.reshape(-1, *(1,) * (values.ndim - 1))
  total = jnp.sum(jnp.where(mask, values, 0.0), axis=0)
  return Mean(total, jnp.sum(real, dtype=jnp.int32))


def _summed(means: Sequence[Mapping[str, Mean]]) -> Mapping[str, Mean]:
  """What several steps saw together."""
  return jax.tree.map(lambda *each: sum(each), *means)


def _first_rows(shown, inputs):
  """As many rows as are shown; the last ones stay, if there are fewer."""
  number = min(len(shown), len(inputs))
  return jnp.concatenate([inputs[:number], shown[number:]])


def _reported(means):
  """Metrics of what was seen: latents that vary over examples are counted."""
  variance = means['sq_latent'] - jnp.square(means['latent'])
  others = {
    name: mean
    for name, mean in means.items()
    if name not in ('latent', 'sq_latent')
  }
  active = jnp.sum(variance > _ACTIVE).astype(jnp.float32)
  return {**others, 'active_latents': active}

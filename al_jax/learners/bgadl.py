"""Trains a classifier on labelled examples and on images made from them."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import errors, tasks
from al_jax.interfaces import Generator, Phase, Progress
from al_jax.learners import one_network
from al_jax.learners.supervised import Supervised
from al_jax.models import common, generative
from al_jax.training import (
  acgan,
  course,
  forward,
  networks,
  objectives,
  sheets,
)
from al_jax.training.acgan import Making, Three
from al_jax.training.course import Course
from al_jax.training.networks import Network
from al_jax.training.partners import Pairing, Partners

# Sources of the made examples of a step.
PARTNERS = ('store', 'online', 'prior')
_ADAM = {'name': 'adam', 'learning_rate': 2e-4, 'beta1': 0.5}
# Upper bound that catches typos: each is a pass over the labelled examples.
_MOST_SAMPLES = 10_000
# The phases of a round.
_PARTNERS, _TRAINING = range(2)
# Number of examples with partners on one sheet. The other has as many images of
# each class as there are classes, so that each class fills a row.
_SHOWN, _MOST_CLASSES = 10, 10


@flax.struct.dataclass
class Generating:
  """State: a classifier, the networks that make images, and partners.

  Attributes:
    network: the classifier.
    course: course of the passes over the labelled examples.
    three: encoder, generator and discriminator.
    partners: partners of the labelled examples.
    shown: [10, ...], examples of the last step, for pictures.
    shown_classes: int32[10], their labels.
  """

  network: Network
  course: Course
  three: Three
  partners: Partners
  shown: jax.Array
  shown_classes: jax.Array


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Bgadl(Supervised):
  """Trains a classifier on labelled examples and on images made of them.

  A variational autoencoder (encoder e, generator g) and a discriminator d learn
  alongside the classifier c. The partner of a labelled example x of class y is
  x' = g(e(x), y); its label costs nothing. With u a code drawn from the prior,
  each step updates four networks in this order:

    e:  w_r MSE(g(e(x), y), x) + beta KL(e(x)),
    g:  w_d (BCE(d(g(u, y)), 1) + BCE(d(x'), 1))
        + w_c (CE(c(g(u, y)), y) + CE(c(x'), y)) + w_r MSE(x', x),
    d:  BCE(d(x), 0.9) + BCE(d(g(u, y)), 0) + BCE(d(x'), 0),
    c:  CE(c(x), y) + w (sum of CE(c(made), y)).

  `partners` selects the made images that c trains on:

    'store':   x' and g(u, y), where x' was made once, before the round, by the
               networks of the previous round. The first round has no x'.
    'online':  x' and g(u, y), made by the current networks in each step.
    'prior':   g(u, y) alone: Bayesian data augmentation, which ignores the
               queries.

  Tran et al. 2019, "Bayesian Generative Active Deep Learning".

  Batch normalisation of c takes its statistics from real images alone. With
  w = 0 the classifier is bit-identical to that of `supervised`.

  `Progress.metrics` adds to those of `supervised`, over the last epoch:
  `reconstruction`, `kl`, `generator_loss`, `discriminator_loss`,
  `discriminator_accuracy`, and `made_accuracy`, the accuracy of c on the made
  images it trained on. Others describe the newest queries x, before the round
  and with all networks of the previous one: `partner_distance`, the root mean
  squared difference of x and x'; `query_bald`, `partner_bald` and `prior_bald`,
  the BALD scores of x, x' and g(u, y) under c; and `bald_correlation`, the
  correlation of the first two scores.

  Attributes:
    partners: source of the made images for the classifier, one of `PARTNERS`.
    made_weight: w, at least 0. Made images never weigh more than real ones:
      with two kinds of made images, w is at most 1/2.
    makers: keyword arguments of `models.generative.acgan`.
    makers_optimizer: keyword arguments of `training.optimizers.build`, for each
      of e, g and d. Without a `name`, Adam with a rate of 2e-4 and a beta1 of
      0.5.
    reconstruction_weight: w_r, at least 0.
    beta: weight of the KL divergence, at least 0. Squared errors and KL are
      sums over an example, divided by the number of its values.
    realism_weight: w_d, at least 0.
    class_weight: w_c, at least 0.
    real_target: target of d for real images, above 0 and at most 1.
    samples: number of dropout samples for the BALD scores of the newest
      queries. If 0, the scores are not computed.
  """

  partners: str = 'store'
  made_weight: float = 1.0
  makers: Mapping[str, Any] | None = None
  makers_optimizer: Mapping[str, Any] | None = None
  reconstruction_weight: float = 1.0
  beta: float = 1.0
  realism_weight: float = 1.0
  class_weight: float = 1.0
  real_target: float = 0.9
  samples: int = 20

  # Partners are made by the networks of the previous round.
  continues: ClassVar = True

  def check(self):
    """See `OneNetwork`."""
    generative.check("learner 'bgadl'", self.facts)
    tasks.need_classes(self.facts.task, "learner 'bgadl'")
    errors.check_name('partners', self.partners, PARTNERS)
    if self.makers_optimizer is not None:
      errors.check_mapping('makers_optimizer', self.makers_optimizer)
    for name in (
      *('made_weight', 'reconstruction_weight', 'beta'),
      *('realism_weight', 'class_weight'),
    ):
      errors.check_number(name, getattr(self, name), least=0)
    errors.check_number('real_target', self.real_target, above=0, most=1)
    errors.check_number(
      'samples', self.samples, int, least=0, most=_MOST_SAMPLES
    )
    _ = self.making, self.pairing.rules
    super().check()

  @property
  def watched(self):
    """See `OneNetwork`."""
    return {**super().watched, **acgan.WATCHED, 'made_accuracy': ()}

  @functools.cached_property
  def making(self) -> Making:
    """The networks that make images, with their optimizers."""
    make = functools.partial(generative.acgan, self.facts)
    with errors.within('makers', errors.options_of(make)):
      nets = errors.made_of('makers', self.makers, make)
    given = self.makers_optimizer or {}
    optimizer = given if 'name' in given else {**_ADAM, **given}
    moves = Three(
      *(
        networks.trainer(
          net.init,
          optimizer=optimizer,
          weights=self.weights,
        )
        for net in (nets.encoder, nets.generator, nets.discriminator)
      )
    )
    weights = acgan.Weights(
      reconstruction=self.reconstruction_weight,
      beta=self.beta,
      realism=self.realism_weight,
      classes=self.class_weight,
      real=self.real_target,
    )
    return Making(self.facts, nets, moves, weights, self._class_losses)

  @functools.cached_property
  def pairing(self) -> Pairing:
    """The pass that makes partners."""
    return Pairing(self.model, self.making, self.batch_size, self.samples)

  def init(self, key):
    """See `interfaces.Learner`."""
    # The key is passed on as it is, to get the same weights as `supervised`.
    network, begun = self.init_training(key)
    keys = jax.random.split(jax.random.fold_in(key, 1))
    three, example = self.making.first(keys[0]), self.facts.example
    return Generating(
      network=network,
      course=begun,
      three=three,
      partners=self.pairing.first(keys[1], _makers(network, three)),
      shown=jnp.zeros((_SHOWN, *example.shape), example.dtype),
      shown_classes=jnp.zeros(_SHOWN, jnp.int32),
    )

  def start(self, key, state, pool):
    """See `interfaces.Learner`."""
    init_key, round_key, order_key = jax.random.split(key, 3)
    keys = jax.random.split(jax.random.fold_in(key, 1), 3)
    network, begun = self.begin_training(init_key, round_key, state)
    return state.replace(
      network=network,
      course=self.rules.over_labelled(order_key, begun, pool),
      three=self.making.begin(keys[0], state.three),
      partners=self.pairing.begin(
        (keys[1], keys[2]),
        state.partners,
        _makers(state.network, state.three),
        state.course.step > 0,
        pool,
      ),
    )

  @property
  def phases(self) -> tuple[Phase, ...]:
    """Making partners, then training all networks."""
    return (
      Phase(self.plan_partners, self.step_partners),
      Phase(self.plan, self.step),
    )

  def plan_partners(self, state, pool):
    """See `interfaces.Phase`."""
    del pool
    return {'labelled': self.pairing.rules.next_batch(state.partners.course)}

  def step_partners(self, state, batches, pool):
    """See `interfaces.Phase`: makes the partners of a batch."""
    partners = self.pairing.step(state.partners, batches['labelled'], pool)
    state = state.replace(partners=partners)
    return state, self.progress(state)

  def step(self, state, batches, pool):
    """See `interfaces.Phase`: updates all networks on a batch."""
    batch, partners = batches['labelled'], state.partners
    real, task = batch.index >= 0, self.facts.task
    targets = forward.targets_of(pool.targets, batch.index)
    at = state.course
    key = jax.random.fold_in(course.step_keys(at)[1], 1)
    makers_key, made_key = jax.random.split(key)
    variables = state.network.variables
    three, fakes, seen_by_makers = self.making.step(
      makers_key,
      state.three,
      batch,
      targets,
      variables,
      self.rules.share_of_round(at),
      at.epochs.count,
    )
    of_params = self.in_training(state, batch)
    made, are_there = self._made(partners, fakes, batch)

    def objective(params):
      output, statistics = of_params(params)
      losses = self.losses(output.predictions, targets)
      seen = forward.watch(task, output.predictions, losses, targets, real)
      loss, seen_made = self._made_loss(
        made_key, {**variables, 'params': params}, made, targets, are_there
      )
      loss += objectives.masked_mean(losses, real)
      return loss, (statistics, {**seen, **seen_by_makers, **seen_made})

    network, counted = self.updated(state, objective)
    moved = state.replace(
      network=network,
      course=counted,
      three=three,
      shown=sheets.kept(state.shown, batch.inputs, real),
      shown_classes=sheets.kept(state.shown_classes, targets, real),
    )
    frozen = at.finished | at.waits | ~partners.course.finished
    state = course.unless(frozen, state, moved)
    return state, self.progress(state)

  def _made(self, partners, fakes, batch):
    """Lists the made images of a step by kind, normalised, with their masks."""
    real = batch.index >= 0
    kinds, are_there = [fakes.prior], [real]
    if self.partners == 'online':
      kinds.append(fakes.decoded)
      are_there.append(real)
    elif self.partners == 'store':
      raw = partners.images[partners.row[batch.index]]
      kinds.append(common.normalised(self.facts, raw))
      are_there.append(real & partners.are_there)
    return kinds, are_there

  def _made_loss(self, key, variables, kinds, targets, are_there):
    """Computes the classifier's loss and its accuracy on made images."""
    number = len(kinds)
    images, real = jnp.concatenate(kinds), jnp.concatenate(are_there)
    # If the generator diverges, the next check of `finite` names it. Until then
    # the classifier ignores its images.
    is_finite = jnp.all(jnp.isfinite(images), axis=(1, 2, 3))
    images = jnp.where(is_finite[:, None, None, None], images, 0.0)
    real &= is_finite
    targets = jnp.tile(targets, number)
    output, _ = self.model.train(
      variables, self._unnormalised(images), key, real=real
    )
    losses = self.losses(output.predictions, targets)
    loss = jnp.zeros(())
    for of_kind, there in zip(
      jnp.split(losses, number), jnp.split(real, number), strict=True
    ):
      loss += objectives.masked_mean(of_kind, there)
    right = self.facts.task.decide(output.predictions) == targets
    accuracy = course.mean_of(right.astype(jnp.float32), real)
    weight = min(self.made_weight, 1 / number)
    return weight * loss, {'made_accuracy': accuracy}

  def _class_losses(self, images, classes, variables):
    """Computes the classifier's losses on normalised images, in inference."""
    output = self.model.apply(variables, self._unnormalised(images))
    return self.facts.task.losses(output.predictions, classes)

  def _unnormalised(self, images):
    """Undoes the normalisation, since models normalise their inputs."""
    return common.unnormalised(self.facts, images)

  def progress(self, state: Generating) -> Progress:
    """Returns the progress of both phases."""
    pairing = self.pairing.rules.progress(state.partners.course)
    training = self.rules.progress(state.course)
    return training._replace(
      done=pairing.done & training.done,
      step=pairing.step + training.step,
      metrics={**training.metrics, **pairing.metrics},
      running={**training.running, **pairing.running},
      phase=jnp.where(pairing.done, _TRAINING, _PARTNERS),
    )

  def finite(self, state):
    """See `interfaces.Learner`."""
    return {**super().finite(state), **self.making.finite(state.three)}

  def most_steps(self, num_labels):
    """See `interfaces.Learner`."""
    of_partners = self.pairing.rules.most_steps(num_labels)
    return of_partners, super().most_steps(num_labels)

  @property
  def generator(self) -> Generator:
    """Makes examples with the encoder, the generator and the discriminator."""
    return Generator(self.making.prior, self._encode, self._decode, self._real)

  def _encode(self, state, inputs, *, key=None):
    images = common.normalised(self.facts, inputs)
    return self.making.code(key, state.three.encoder.variables, images)

  def _decode(self, state, codes, classes):
    variables = state.three.generator.variables
    return self._unnormalised(self.making.made(variables, codes, classes))

  def _real(self, state, inputs):
    images = common.normalised(self.facts, inputs)
    variables = state.three.discriminator.variables
    logits, _ = self.making.nets.discriminator.apply(variables, images)
    return jax.nn.log_sigmoid(logits)

  @property
  def pictures(self):
    """Makes sheets of made images if images have 1 or 3 channels."""
    return self._pictures if self.facts.example.shape[-1] in (1, 3) else None

  def _pictures(self, key, state, pool):
    del pool
    prior_key, code_key = jax.random.split(key)
    encoder, generator, _ = _makers(state.network, state.three)
    number = min(len(self.facts.task.class_names), _MOST_CLASSES)
    classes = jnp.repeat(jnp.arange(number), number)
    codes = self.making.prior(prior_key, len(classes))
    drawn = self.making.made(generator, codes, classes)
    images = common.normalised(self.facts, state.shown)
    codes = self.making.code(code_key, encoder, images)
    partners = self.making.made(generator, codes, state.shown_classes)
    return {
      'generated_sheet': sheets.of_images(self.facts, drawn),
      'partners_sheet': sheets.of_images(
        self.facts, jnp.concatenate([images, partners])
      ),
    }


bgadl = one_network.factory(Bgadl)


def _makers(network, three):
  return (
    three.encoder.variables,
    three.generator.variables,
    network.variables,
  )

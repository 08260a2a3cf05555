"""Partners: images that a generator makes of labelled examples, before a round.

The networks of the previous round make them. BALD scores measure the worth of
their labels to the classifier of that round.
"""

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp

from al_jax import kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch, ModelFns, PyTree
from al_jax.kernels import _padding
from al_jax.models import common
from al_jax.pool import PoolState
from al_jax.training import acgan, course, forward
from al_jax.training.course import Course

# Means over the newest queries: BALD scores and their products.
_BALDS = ('query', 'partner', 'prior', 'sq_query', 'sq_partner', 'product')


@flax.struct.dataclass
class Partners:
  """Images that the previous round's networks make of labelled examples.

  Attributes:
    makers: variables of encoder, generator and classifier after the previous
      round.
    course: course of the one pass over the labelled examples.
    images: [label budget, ...], raw, one for each labelled example.
    row: int32[N], row of an example's partner in `images`; -1 without a label.
    are_there: bool, whether there are any partners.
  """

  makers: tuple[PyTree, PyTree, PyTree]
  course: Course
  images: jax.Array
  row: jax.Array
  are_there: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class Pairing:
  """Makes partners in a pass over the labelled examples.

  Attributes:
    model: the classifier.
    making: the networks that make images.
    batch_size: number of labelled examples in a step.
    samples: number of dropout samples of BALD scores. If 0, there are no
      scores.
  """

  model: ModelFns
  making: acgan.Making
  batch_size: int
  samples: int

  @functools.cached_property
  def rules(self) -> course.Rules:
    """Rules of the pass."""
    watched = ('distance', *(_BALDS if self.samples else ()))
    return course.rules(
      stop={'epochs': 1},
      capacity=self.making.facts.label_budget,
      batch_size=self.batch_size,
      watched=dict.fromkeys(watched, ()),
      report=functools.partial(_compared, samples=self.samples),
    )

  def first(
    self, key: jax.Array, makers: tuple[PyTree, PyTree, PyTree]
  ) -> Partners:
    """Makes the state before any round."""
    facts = self.making.facts
    example = facts.example
    return Partners(
      makers=makers,
      course=self.rules.begin(key, {}),
      images=jnp.zeros((facts.label_budget, *example.shape), example.dtype),
      row=jnp.full(facts.num_examples, -1, jnp.int32),
      are_there=jnp.zeros((), jnp.bool_),
    )

  def begin(
    self,
    keys: tuple[jax.Array, jax.Array],
    partners: Partners,
    makers: tuple[PyTree, PyTree, PyTree],
    has_learnt: jax.Array,
    pool: PoolState,
  ) -> Partners:
    """Begins a round.

    Args:
      keys: key of the pass, and key of its order.
      partners: state after the previous round.
      makers: variables after the previous round, see `Partners`.
      has_learnt: bool, whether there was a previous round. If not, no partners
        are made.
      pool: the labelled set.

    Returns:
      The state before the first step.
    """
    begun = self.rules.over_labelled(
      keys[1], self.rules.begin(keys[0], {}), pool
    )
    labelled = pool_lib.trainable(pool)
    row = jnp.cumsum(labelled, dtype=jnp.int32) - 1
    return partners.replace(
      makers=makers,
      course=begun.replace(finished=begun.finished | ~has_learnt),
      row=jnp.where(labelled, row, -1),
      are_there=has_learnt,
    )

  def step(self, partners: Partners, batch: Batch, pool: PoolState) -> Partners:
    """Makes the partners of a batch, and compares the newest queries.

    Args:
      partners: state before the step.
      batch: labelled examples.
      pool: the labelled set.

    Returns:
      The state after the step.
    """
    facts, making = self.making.facts, self.making
    encoder, generator, classifier = partners.makers
    code_key, prior_key, samples_key = jax.random.split(
      jax.random.fold_in(partners.course.key, partners.course.step), 3
    )
    classes = forward.targets_of(pool.targets, batch.index)
    images = common.normalised(facts, batch.inputs)
    codes = making.code(code_key, encoder, images)
    made = making.made(generator, codes, classes)
    is_newest = _newest(pool)[batch.index] & (batch.index >= 0)
    distance = jnp.sqrt(jnp.mean(jnp.square(made - images), axis=(1, 2, 3)))
    seen = {'distance': course.mean_of(distance, is_newest)}
    if self.samples:
      codes = making.prior(prior_key, len(images))
      kinds = images, made, making.made(generator, codes, classes)
      seen |= self._balds(samples_key, classifier, kinds, is_newest)
    rows = jnp.where(batch.index >= 0, partners.row[batch.index], -1)
    rows = _padding.past_end(rows, len(partners.images))
    raw = common.as_raw(facts, common.unnormalised(facts, made))
    moved = partners.replace(
      course=self.rules.count(partners.course, seen),
      images=partners.images.at[rows].set(raw, mode='drop'),
    )
    return course.hold(partners.course, partners, moved)

  def _balds(self, key, classifier, kinds, real):
    """Computes BALD scores of each kind of image, and their products."""
    keys = jax.random.split(key, self.samples)

    def bald(images):
      raw = common.unnormalised(self.making.facts, images)
      output = forward.apply(self.model, classifier, raw, keys=keys)
      return kernels.bald(output.predictions)

    query, partner, prior = map(bald, kinds)
    of = {
      'query': query,
      'partner': partner,
      'prior': prior,
      'sq_query': jnp.square(query),
      'sq_partner': jnp.square(partner),
      'product': query * partner,
    }
    return {name: course.mean_of(values, real) for name, values in of.items()}


def _newest(pool):
  """Finds the examples of the last round that acquired labels: bool[N]."""
  asked = jnp.where(pool_lib.trainable(pool), pool.acquired_round, -1)
  return pool.acquired_round == jnp.max(asked)


def _compared(means, *, samples):
  """Makes metrics of the newest queries from accumulated means."""
  found = {'partner_distance': means['distance']}
  if not samples:
    return found
  query, partner = means['query'], means['partner']
  covariance = means['product'] - query * partner
  variances = (
    jnp.maximum(means['sq_query'] - jnp.square(query), 0.0),
    jnp.maximum(means['sq_partner'] - jnp.square(partner), 0.0),
  )
  return {
    **found,
    'query_bald': query,
    'partner_bald': partner,
    'prior_bald': means['prior'],
    # NaN if all scores are the same.
    'bald_correlation': covariance / jnp.sqrt(variances[0] * variances[1]),
  }

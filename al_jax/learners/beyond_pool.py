"""Training on examples that are not in the pool, beside those that are."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from al_jax import made, sources
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch, Facts, Learner, Phase


def beyond_pool(build: Callable[[Facts], Learner], facts: Facts) -> Learner:
  """Lets a learner train on what was made and answered.

  The learner within sees a pool of N + M examples. Of those beyond N it is
  given the ones that have a label; what it plans of the others is padding.

  Args:
    build: makes a learner, `(facts) -> Learner`.
    facts: of the task; `made_capacity` says M, at least 1.

  Returns:
    A Learner.

  Raises:
    ValueError: there is no room for made examples, or the learner looks over
      the pool, where they are not.
  """
  if facts.made_capacity < 1:
    raise ValueError(
      f'made_capacity is {facts.made_capacity}; a learner beyond the pool '
      'needs room for 1 example or more.'
    )
  inner = build(
    facts._replace(
      num_examples=facts.num_examples + facts.made_capacity, made_capacity=0
    )
  )
  for name, survey in inner.surveys.items():
    if survey.source == 'pool':
      lacks = ''
      if inner.generator is None:
        lacks = 'has no generator to make examples with; besides, it '
      raise ValueError(
        f'the learner {lacks}looks over the pool for its survey {name!r}, and '
        'examples that were made are not in it.'
      )
  return _Beyond(inner).bound()


@dataclasses.dataclass(frozen=True, eq=False)
class _Beyond:
  """Functions of a learner over the pool and what was made.

  Attributes:
    inner: a learner of N + M examples.
  """

  inner: Learner

  def bound(self) -> Learner:
    """Binds the functions that are other than those of the learner within."""
    phases = tuple(
      Phase(
        functools.partial(self.plan, phase), functools.partial(self.step, phase)
      )
      for phase in self.inner.phases
    )
    pseudo_labels = self.pseudo_labels if self.inner.pseudo_labels else None
    return self.inner._replace(
      start=self.start,
      phases=phases,
      pseudo_labels=pseudo_labels,
      beyond_pool=True,
    )

  def start(self, key, state, pool):
    """See `interfaces.Learner`."""
    return self.inner.start(key, state, made.joined(pool))

  def plan(self, phase, state, pool):
    """See `interfaces.Phase`; only what is in the pool can be fetched."""
    found = self._planned(phase, state, pool)
    return {
      name: index
      if name in sources.HELD_OUT
      else jnp.where(index < pool.num_examples, index, -1)
      for name, index in found.items()
    }

  def step(self, phase, state, batches, pool):
    """See `interfaces.Phase`."""
    planned = self._planned(phase, state, pool)
    whole = {
      name: batch
      if name in sources.HELD_OUT
      else _with_made(pool, planned[name], batch)
      for name, batch in batches.items()
    }
    return phase.step(state, whole, made.joined(pool))

  def pseudo_labels(self, state, pool):
    """See `interfaces.Learner`; those of the pool."""
    labels = self.inner.pseudo_labels(state, made.joined(pool))
    return labels[: pool.num_examples]

  def _planned(self, phase, state, pool) -> Mapping[str, jax.Array]:
    """Positions up to N + M; of what was made those that have a label."""
    everything = made.joined(pool)
    is_there = pool_lib.trainable(everything).at[: pool.num_examples].set(True)
    return {
      name: index
      if name in sources.HELD_OUT
      else jnp.where((index >= 0) & is_there[index], index, -1)
      for name, index in phase.plan(state, everything).items()
    }


def _with_made(pool, index, batch):
  """The batch with the inputs of what was made filled in."""
  beyond = index >= pool.num_examples

  def filled(own, of_made):
    column = beyond.reshape(-1, *[1] * (own.ndim - 1))
    return jnp.where(column, of_made, own)

  inputs = jax.tree.map(filled, batch.inputs, made.inputs_of(pool, index))
  return Batch(index, inputs)

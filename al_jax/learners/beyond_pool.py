"""Trains on labelled made examples besides those of the pool."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from al_jax import made, sources
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch, Facts, Learner, Phase


def beyond_pool(build: Callable[[Facts], Learner], facts: Facts) -> Learner:
  """Lets a learner train on made examples that have a label.

  The inner learner sees a pool of N + M examples. Made examples, from position
  N on, are replaced by padding in its plans unless they have a label.

  Args:
    build: `(facts) -> Learner`.
    facts: facts of the task; `made_capacity` is M, at least 1.

  Returns:
    A Learner.

  Raises:
    ValueError: there is no room for made examples, or the learner surveys the
      pool, which does not contain them.
  """
  if facts.made_capacity < 1:
    raise ValueError(
      f'made_capacity is {facts.made_capacity}; a learner beyond the pool '
      'needs room for at least 1 example.'
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
        lacks = 'has no generator to make examples with, and it '
      raise ValueError(
        f'the learner {lacks}looks over the pool for its survey {name!r}; the '
        'pool does not contain made examples.'
      )
  return _Beyond(inner).bound()


@dataclasses.dataclass(frozen=True, eq=False)
class _Beyond:
  """Functions of a learner over the pool and the made examples.

  Attributes:
    inner: learner over N + M examples.
  """

  inner: Learner

  def bound(self) -> Learner:
    """Replaces the functions of the inner learner that must differ."""
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
    """See `interfaces.Phase`; only pool examples are fetched."""
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
    """See `interfaces.Learner`; covers the pool alone."""
    labels = self.inner.pseudo_labels(state, made.joined(pool))
    return labels[: pool.num_examples]

  def _planned(self, phase, state, pool) -> Mapping[str, jax.Array]:
    """Plans positions below N + M; unlabelled made examples become -1."""
    everything = made.joined(pool)
    is_there = pool_lib.trainable(everything).at[: pool.num_examples].set(True)
    return {
      name: index
      if name in sources.HELD_OUT
      else jnp.where((index >= 0) & is_there[index], index, -1)
      for name, index in phase.plan(state, everything).items()
    }


def _with_made(pool, index, batch):
  """Fills the inputs of made examples into a batch."""
  beyond = index >= pool.num_examples

  def filled(own, of_made):
    column = beyond.reshape(-1, *[1] * (own.ndim - 1))
    return jnp.where(column, of_made, own)

  inputs = jax.tree.map(filled, batch.inputs, made.inputs_of(pool, index))
  return Batch(index, inputs)

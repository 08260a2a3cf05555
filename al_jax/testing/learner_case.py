"""Trains a learner under test on a few examples."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import pool as pool_lib
from al_jax.interfaces import (
  Facts,
  Learner,
  LearnerState,
  Progress,
  PyTree,
)
from al_jax.pool import PoolState
from al_jax.sources import Source, Sources
from al_jax.testing import tracing
from al_jax.testing.report import Broken
from al_jax.training import fit

# Number of labels by round. Odd, so that even batches have padding.
NUM_LABELS = (7, 11)
# Limit on the calls of a round if the learner has no `most_steps`.
_MOST_CALLS = 10_000
KEY = jax.random.key(5)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
  """A learner under test, and its data.

  Attributes:
    learner: The learner under test.
    facts: Facts of the task.
    inputs: NumPy array [N, ...].
    targets: Pytree of [N, ...].
  """

  learner: Learner
  facts: Facts
  inputs: np.ndarray
  targets: PyTree

  @functools.cached_property
  def pool(self) -> PoolState:
    """The labelled set of the last round; hidden targets are filler."""
    return self.pools[-1]

  @functools.cached_property
  def pools(self) -> list[PoolState]:
    """The labelled set of each round."""
    return [self._pool_of(number) for number in NUM_LABELS]

  def _pool_of(self, number):
    return pool_lib.reveal(
      pool_lib.of(self.facts),
      jnp.arange(number, dtype=jnp.int32),
      jax.tree.map(lambda leaf: jnp.asarray(leaf[:number]), self.targets),
      pool_lib.ORACLE,
      round=0,
    )

  @functools.cached_property
  def sources(self) -> Sources:
    """The pool, and a validation split of the same examples."""
    # On the host, so that each step is a call and padding rows can be changed.
    known = pool_lib.fully_labelled(self.targets)
    return {
      'pool': Source(self.inputs),
      'validation': Source(self.inputs, known),
    }

  @functools.cached_property
  def fns(self) -> fit.FitFns:
    """The compiled functions of one lane, with one call per step."""
    return fit.compile_fit(
      self.learner, self.facts, self.sources, chunk_size=len(self.inputs)
    )

  @functools.cached_property
  def init(self) -> Callable[[jax.Array], LearnerState]:
    """`init`, compiled."""
    return jax.jit(self.learner.init)

  @functools.cached_property
  def apply(self) -> Callable[..., PyTree]:
    """`apply`, compiled."""
    return jax.jit(self.learner.apply)

  @functools.cached_property
  def trained(self) -> tuple[LearnerState, Progress]:
    """The state after the rounds of seed 0, and its last Progress."""
    return self.train(0)

  def train(
    self, seed: int, *, pools: Sequence[PoolState] | None = None
  ) -> tuple[LearnerState, Progress]:
    """Trains the rounds of a seed, from its initial state."""
    state = self.init(jax.random.key(seed))
    for round, pool in enumerate(pools or self.pools):
      key = _round_key(seed, round)
      state, progress = self._to_the_end(
        self.fns, [key], [state], [pool], NUM_LABELS[round]
      )
    return state, progress

  def resumed(self) -> tuple[LearnerState, int]:
    """Trains seed 0, saving and restoring its state within the last round.

    Returns:
      The state after the rounds, and the step at which it was restored.
    """
    last = len(self.pools) - 1
    state, key = self.init(jax.random.key(0)), _round_key(0, last)
    for round, pool in enumerate(self.pools[:-1]):
      first = _round_key(0, round)
      state, _ = self._to_the_end(
        self.fns, [first], [state], [pool], NUM_LABELS[round]
      )
    given = self.fns, [key], [key], [state], [self.pool]
    state, progress = next(fit.fit(*given, stop_every=3))
    step, state = int(progress.step[0]), _through_host(self.learner, state)
    if not np.all(progress.done):
      state, _ = self._to_the_end(
        self.fns, [key], [state], [self.pool], NUM_LABELS[-1], resume=True
      )
    return state, step

  def in_lanes(self, seeds: Sequence[int]) -> list[LearnerState]:
    """Trains several seeds together, one lane each."""
    placed = {
      name: source._replace(inputs=jnp.asarray(source.inputs))
      for name, source in self.sources.items()
    }
    fns = fit.compile_fit(
      self.learner,
      self.facts,
      placed,
      num_lanes=len(seeds),
      chunk_size=len(self.inputs),
    )
    states = [self.init(jax.random.key(seed)) for seed in seeds]
    for round, pool in enumerate(self.pools):
      keys = [_round_key(seed, round) for seed in seeds]
      packed, _ = self._to_the_end(
        fns, keys, states, [pool] * len(seeds), NUM_LABELS[round]
      )
      states = fns.unpack(packed)
    return states

  def reported(self, chunk_size: int) -> dict[str, float]:
    """Measures the report on all examples, `chunk_size` at once."""
    # Imported here: the loop needs the extra `experiments`.
    from al_jax.loop import evaluation

    known = self.sources['validation'].pool
    evaluate = evaluation.make_evaluate(
      self.learner,
      Source(jnp.asarray(self.inputs), known),
      self.facts.task,
      chunk_size=chunk_size,
    )
    found, _ = evaluate(KEY, self.trained[0])
    declared = [metric.name for metric in self.learner.report.metrics]
    return {name: float(found[name]) for name in declared}

  def _to_the_end(self, fns, keys, states, pools, num_labels, **more):
    most = self.learner.most_steps
    most = _MOST_CALLS if most is None else np.sum(most(num_labels))
    calls = fit.fit(fns, keys, keys, states, pools, **more)
    for number, last in enumerate(calls):
      step = np.max(last[1].step)
      if step > most or number > most + 10:
        raise Broken(
          f'a round with {num_labels} labels is not over after {step} steps; '
          f'most_steps allows {most}'
        )
    return last


def _round_key(seed, round):
  return jax.random.fold_in(jax.random.fold_in(KEY, seed), round)


def _through_host(learner, state):
  """Converts a state to NumPy and back by a template, as a checkpoint does."""
  template = jax.eval_shape(learner.init, KEY)
  problem = tracing.difference(template, tracing.shapes(state))
  if problem:
    raise Broken(f'it cannot be restored by the shapes of init: {problem}')

  def restored(wanted, leaf):
    if jnp.issubdtype(wanted.dtype, jax.dtypes.prng_key):
      data = jnp.asarray(np.asarray(jax.random.key_data(leaf)))
      return jax.random.wrap_key_data(data)
    return jnp.asarray(np.array(leaf), wanted.dtype)

  return jax.tree.map(restored, template, state)

"""A learner and a strategy that fit together, as tracing them shows."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from al_jax import errors, inference, xla
from al_jax.interfaces import (
  Batch,
  Facts,
  Learner,
  LearnerState,
  PyTree,
  Strategy,
)

# Examples of the batch that is traced: a number that no other axis is likely to
# have.
_FEW = 3


@dataclasses.dataclass(frozen=True, eq=False)
class System:
  """A learner and a strategy that fit together.

  The properties are found by tracing the learner, once per system: whoever
  compiles a system that was built does not trace it again.

  Attributes:
    name: as records have it, see `systems.canonical`.
    learner: how to train.
    strategy: what to ask.
    facts: of the task that both were built for.
  """

  name: str
  learner: Learner
  strategy: Strategy
  facts: Facts

  @functools.cached_property
  def state(self) -> LearnerState:
    """The shapes of the learner's state."""
    key = jax.random.key(0)
    return jax.eval_shape(lambda: self.learner.init(key))

  @functools.cached_property
  def has_dropout(self) -> bool:
    """Whether the learner's samples differ from each other."""
    return 'random_bits' in xla.used_by(
      lambda key, state, inputs: self.learner.apply(
        state, inputs, keys=key[None]
      ),
      jax.random.key(0),
      self.state,
      _few_rows(self.facts),
    )

  @functools.cached_property
  def _predictions(self) -> PyTree:
    """The shapes of the predictions of a few examples."""
    output = jax.eval_shape(
      self.learner.apply, self.state, _few_rows(self.facts)
    )
    return jax.tree.map(lambda leaf: leaf.shape, output.predictions)

  def check_predictions(self) -> None:
    """Refuses a learner whose predictions are not those of the task.

    Raises:
      ValueError: with the shape of the predictions.
    """
    task = self.facts.task
    wanted = jax.tree.map(lambda size: (_FEW, size), task.outputs)
    if self._predictions != wanted:
      raise ValueError(
        f'for {_FEW} examples the predictions of the learner have shape '
        f'{self._predictions}; for {task.describe()} it must be {wanted}.'
      )

  def check_measurement(self, model: str) -> None:
    """Refuses a strategy that needs something which the learner lacks.

    Args:
      model: the name of the network, for the message.

    Raises:
      ValueError: an output or dropout is missing, or the strategy does not
        measure a row per example.
    """
    asking, sampled = _looking(self.strategy), []

    def measure(key, state, inputs):
      def apply(inputs, *, keys=None):
        sampled.append(keys is not None)
        return self.learner.apply(state, inputs, keys=keys)

      batch = Batch(jnp.arange(_FEW, dtype=jnp.int32), inputs)
      return [strategy.measure(key, apply, batch) for strategy in asking]

    try:
      measured = jax.eval_shape(
        measure, jax.random.key(0), self.state, _few_rows(self.facts)
      )
    except KeyError as error:
      raise ValueError(
        f'system {self.name!r} needs the output {error} of a model; '
        f'{model!r} has no such output.'
      ) from error
    except TypeError as error:
      raise ValueError(
        f'system {self.name!r} cannot be traced as configured: '
        f'{errors.in_one_line(error)}'
      ) from error
    try:
      inference.check_rows(measured, _FEW)
    except ValueError as error:
      raise ValueError(f'system {self.name!r}: {error}') from error
    if any(sampled) and not self.has_dropout:
      raise ValueError(
        f'system {self.name!r} needs dropout samples; model {model!r} has no '
        'dropout as configured: set its dropout rate above 0.'
      )


def _looking(strategy):
  """A strategy and those before it, without those that look at nothing."""
  before = [] if strategy.prefilter is None else _looking(strategy.prefilter[0])
  return before if strategy.measure is None else [strategy, *before]


def _few_rows(facts):
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((_FEW, *leaf.shape), leaf.dtype),
    facts.example,
  )

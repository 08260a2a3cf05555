"""Pairs a learner with a strategy; tracing them checks that they fit."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from al_jax import errors, inference, parts, strategies, xla
from al_jax.interfaces import (
  Batch,
  Facts,
  Learner,
  LearnerState,
  ModelFns,
  ModelOutput,
  Strategy,
)
from al_jax.strategies import needs

# Size of the traced batch: a number that no other axis is likely to have.
_FEW = 3


@dataclasses.dataclass(frozen=True, eq=False)
class System:
  """A learner and a strategy that fit together.

  The properties trace the learner once per system; compiling the system uses
  them without another trace.

  Attributes:
    name: name of the system in records, see `systems.canonical`.
    learner: learner of the system.
    strategy: strategy of the system.
    facts: facts of the task that both were built for.
    own: parts that were given as objects, see `parts.own_among`. A checkpoint
      with other parts is rejected.
    parts: names in records, by role, of the user's own parts and of a loss that
      replaces the task's.
  """

  name: str
  learner: Learner
  strategy: Strategy
  facts: Facts
  own: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
  parts: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def state(self) -> LearnerState:
    """Returns the shapes of the learner's state."""
    key = jax.random.key(0)
    return jax.eval_shape(lambda: self.learner.init(key))

  @functools.cached_property
  def has_dropout(self) -> bool:
    """Returns whether the learner's samples differ from each other."""
    return 'random_bits' in xla.used_by(
      lambda key, state, inputs: self.learner.apply(
        state, inputs, keys=key[None]
      ),
      jax.random.key(0),
      self.state,
      _few_rows(self.facts),
    )

  @functools.cached_property
  def _output(self) -> ModelOutput:
    """Returns the shapes of the learner's output for a few examples."""
    return jax.eval_shape(self.learner.apply, self.state, _few_rows(self.facts))

  @property
  def has_embedding(self) -> bool:
    """Returns whether the learner's output has an embedding."""
    return self._output.embedding is not None

  @property
  def extras(self) -> frozenset[str]:
    """Returns the names of the learner's further outputs."""
    return frozenset(self._output.extras)

  def need_embedding(self, who: str) -> None:
    """Raises ValueError if the model has no embedding.

    Args:
      who: name of the part that needs it, for the message.
    """
    if not self.has_embedding:
      raise _lacking(
        f'{who} needs', needs.EMBEDDING, f' of a model; that of {self.name!r}'
      )

  def check_predictions(self) -> None:
    """Checks that the learner fits the task.

    Raises:
      ValueError: its predictions have the wrong shape, or it would not train on
        made examples.
    """
    if self.facts.made_capacity and not self.learner.beyond_pool:
      raise ValueError(
        f'made_capacity is {self.facts.made_capacity}, but the learner of '
        f'system {self.name!r} trains only on the pool: wrap it in '
        'learners.beyond_pool.'
      )
    task = self.facts.task
    wanted = jax.tree.map(lambda size: (_FEW, size), task.outputs)
    found = jax.tree.map(lambda leaf: leaf.shape, self._output.predictions)
    if found != wanted:
      raise ValueError(
        f'for {_FEW} examples the predictions of the learner have shape '
        f'{found}; for {task.describe()} it must be {wanted}.'
      )
    if not self.has_embedding:
      for name, survey in self.learner.surveys.items():
        self._traced([survey.measure], f'that of the survey {name!r}')

  def check_strategy(self, model: str) -> None:
    """Checks that the system has everything that the strategy needs.

    Args:
      model: name of the network, for the message.

    Raises:
      ValueError: a need that is declared or found by tracing is not met, or the
        strategy does not measure a row per example.
    """
    for need, reason in needs.of(self.strategy).items():
      self._check_need(need, model, reason)
    if self._draws_samples(model):
      self._check_need(needs.DROPOUT, model)

  def _check_need(self, need, model, reason=''):
    """Raises ValueError unless a need is met."""
    if need == needs.ANSWERS:
      return
    start, why = f'system {self.name!r} needs', f': {reason}' if reason else ''
    if need == needs.CLASSES:
      if needs.has_classes(self.facts):
        return
      *others, last = strategies.without(need)
      task = self.facts.task
      alone = ' alone' if task.class_names else ''
      raise ValueError(
        f'{start} classes{alone}, but the task is {task.describe()}{why}. '
        f'{", ".join(others)} and {last} work without classes.'
      )
    if need == needs.DROPOUT:
      if self.has_dropout:
        return
      raise ValueError(
        f'{start} dropout samples{why}; model {model!r} has no dropout as '
        'configured: set its dropout rate above 0.'
      )
    name = need.removeprefix(needs.EXTRAS)
    has_it = self.has_embedding and need == needs.EMBEDDING
    if not has_it and name not in self.extras:
      raise _lacking(start, name, f' of a model{why}; {model!r}')

  def _draws_samples(self, model):
    """Traces the measurement; returns whether it draws dropout samples."""
    measures = [strategy.measure for strategy in _looking(self.strategy)]
    measured, draws = self._traced(measures, model)
    try:
      inference.check_rows(measured, _FEW)
    except ValueError as error:
      raise ValueError(f'system {self.name!r}: {error}') from error
    return draws

  def _traced(self, measures, model):
    """Returns shapes of measurements, and whether they draw samples."""
    sampled = []

    def measure(key, state, inputs):
      def apply(inputs, *, keys=None):
        sampled.append(keys is not None)
        output = self.learner.apply(state, inputs, keys=keys)
        return output if self.has_embedding else _NoEmbedding(*output)

      batch = Batch(jnp.arange(_FEW, dtype=jnp.int32), inputs)
      return [each(key, apply, batch) for each in measures]

    try:
      measured = jax.eval_shape(
        measure, jax.random.key(0), self.state, _few_rows(self.facts)
      )
    except KeyError as error:
      raise _lacking(
        f'system {self.name!r} needs', error.args[0], f' of a model; {model!r}'
      ) from error
    except TypeError as error:
      raise ValueError(
        f'system {self.name!r} cannot be traced as configured: '
        f'{errors.in_one_line(error)}'
      ) from error
    return measured, any(sampled)


def is_own(part: object) -> bool:
  """Returns whether a part is the user's own object, not a name or options."""
  return callable(part) or isinstance(part, Learner | ModelFns | Strategy)


def own_names(given: Mapping[str, Any]) -> dict[str, str]:
  """Names the user's own parts.

  Args:
    given: a part or a list of parts by role. A part is an object, a dotted
      path, a name of the library, or a mapping with one of these as `name`, and
      options.

  Returns:
    Names by role, for roles with an own part. A list with an own part is named
    by all its parts.
  """
  found = {}
  for role, part in given.items():
    # Some parts are named tuples.
    is_list = isinstance(part, tuple | list) and not hasattr(part, '_fields')
    listed = part if is_list else [part]
    if any(map(_is_yours, listed)):
      found[role] = ', '.join(map(parts.name_of, listed))
  return found


def _is_yours(part):
  name = part.get('name') if isinstance(part, Mapping) else part
  return is_own(name) or parts.is_dotted(name)


class _NoEmbedding(ModelOutput):
  """Output without an embedding: reading it raises KeyError, as for extras."""

  @property
  def embedding(self):
    raise KeyError(needs.EMBEDDING)


def _lacking(start, name, of_model):
  """Makes an error about an output that a model lacks."""
  way = ''
  if name == needs.EMBEDDING:
    way = ' To give one, return (logits, embedding) from your module.'
  return ValueError(
    f'{start} the output {name!r}{of_model} has no such output.{way}'
  )


def _looking(strategy):
  """Lists a strategy and those before it that measure something."""
  before = [] if strategy.prefilter is None else _looking(strategy.prefilter[0])
  return before if strategy.measure is None else [strategy, *before]


def _few_rows(facts):
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((_FEW, *leaf.shape), leaf.dtype),
    facts.example,
  )

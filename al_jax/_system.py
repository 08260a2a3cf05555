"""A learner and a strategy that fit together, as tracing them shows."""

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
    own: the parts that were given as objects, see `parts.own_among`: a run does
      not go on from a checkpoint of others.
    parts: what records call the parts that are yours, and a loss in place of
      the task's: names by role.
  """

  name: str
  learner: Learner
  strategy: Strategy
  facts: Facts
  own: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
  parts: Mapping[str, str] = dataclasses.field(default_factory=dict)

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
  def _output(self) -> ModelOutput:
    """The shapes of what the learner says of a few examples."""
    return jax.eval_shape(self.learner.apply, self.state, _few_rows(self.facts))

  @property
  def has_embedding(self) -> bool:
    """Whether the learner has an embedding of an example."""
    return self._output.embedding is not None

  @property
  def extras(self) -> frozenset[str]:
    """Names of the further outputs that the learner has of an example."""
    return frozenset(self._output.extras)

  def need_embedding(self, who: str) -> None:
    """Raises ValueError for a model without an embedding.

    Args:
      who: needs it, for the message.
    """
    if not self.has_embedding:
      raise _lacking(
        f'{who} needs', needs.EMBEDDING, f' of a model; that of {self.name!r}'
      )

  def check_predictions(self) -> None:
    """Refuses a learner that does not fit the task.

    Raises:
      ValueError: its predictions have another shape, or it would leave made
        examples out.
    """
    if self.facts.made_capacity and not self.learner.beyond_pool:
      raise ValueError(
        f'made_capacity is {self.facts.made_capacity}, and the learner of '
        f'system {self.name!r} trains on the pool alone: wrap it in '
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
    """Refuses a strategy that needs something which the system lacks.

    Args:
      model: the name of the network, for the message.

    Raises:
      ValueError: a need that was declared or shows in the trace is not met, or
        the strategy does not measure a row per example.
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
        f'{start} classes{alone}, and the task is {task.describe()}{why}. '
        f'{", ".join(others)} and {last} ask without classes.'
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
    """Traces the measurement, and tells whether it draws dropout samples."""
    measures = [strategy.measure for strategy in _looking(self.strategy)]
    measured, draws = self._traced(measures, model)
    try:
      inference.check_rows(measured, _FEW)
    except ValueError as error:
      raise ValueError(f'system {self.name!r}: {error}') from error
    return draws

  def _traced(self, measures, model):
    """Shapes of what is measured, and whether it draws dropout samples."""
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
  """Tells a part of your own from a name, or from options."""
  return callable(part) or isinstance(part, Learner | ModelFns | Strategy)


def own_names(given: Mapping[str, Any]) -> dict[str, str]:
  """Names the parts that are your own.

  Args:
    given: by role, a part or a list of parts: objects, dotted paths, names of
      the library, or mappings with one of these as `name`, and options.

  Returns:
    Names by role. Of a list with a part of yours, those of all its parts; roles
    without any are left out.
  """
  found = {}
  for role, part in given.items():
    # Parts are named tuples, some of them.
    is_list = isinstance(part, tuple | list) and not hasattr(part, '_fields')
    listed = part if is_list else [part]
    if any(map(_is_yours, listed)):
      found[role] = ', '.join(map(parts.name_of, listed))
  return found


def _is_yours(part):
  name = part.get('name') if isinstance(part, Mapping) else part
  return is_own(name) or parts.is_dotted(name)


class _NoEmbedding(ModelOutput):
  """An output without an embedding: reading one is an error like any other."""

  @property
  def embedding(self):
    raise KeyError(needs.EMBEDDING)


def _lacking(start, name, of_model):
  """An error about an output that a model does not have."""
  way = ''
  if name == needs.EMBEDDING:
    way = ' To give one, return (logits, embedding) from your module.'
  return ValueError(
    f'{start} the output {name!r}{of_model} has no such output.{way}'
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

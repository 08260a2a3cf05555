"""Compiled functions of a stream: look ahead, then decide in order."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from al_jax import inference, kernels
from al_jax._system import System
from al_jax.interfaces import LearnerState, PyTree
from al_jax.loop import stream as stream_lib
from al_jax.loop.stream import Stream, StreamState

# Rows per forward pass, which starts at a multiple of this number: whatever the
# lookahead, an example is computed by the same program at the same row.
_ROWS = 64


class CompiledStream(NamedTuple):
  """The compiled functions of a stream.

  Attributes:
    options: options of the stream.
    num_examples: number of examples, N.
    look: `(key, learner state, where) -> (scores, classes)`, the scores,
      float32[N], and the predicted classes, int32[N]; zeros where the mask
      `where`, bool[N], is False. All scores are 0 without a manager, or if
      queries are drawn at random.
    decide: `(key, stream state, begin, scores, most) -> (stream state, asked)`
      for scores float32[L] of the examples starting at `begin`; `asked` is
      bool[L]. Skips the examples before the position, and all after the
      `most`-th query.
  """

  options: Stream
  num_examples: int
  look: Callable[[jax.Array, LearnerState, jax.Array], PyTree]
  decide: Callable[..., tuple[StreamState, jax.Array]]

  # The reason why a run ends.
  OVER = 'the stream is over'

  def is_over(self, state: StreamState) -> bool:
    """Whether no example is left."""
    return int(state.position) >= self.num_examples

  def ahead(self, position: int) -> tuple[int, int]:
    """Returns the start and the length of the next look ahead."""
    size = -(-self.options.lookahead // _ROWS) * _ROWS
    return position - position % _ROWS, size


def compile_stream(
  options: Stream, system: System, inputs: PyTree
) -> CompiledStream:
  """Compiles the functions of a stream.

  Args:
    options: options of the stream.
    system: the system whose learner predicts and whose strategy scores.
    inputs: inputs of the pool.

  Returns:
    The CompiledStream.

  Raises:
    ValueError: the system does not support a stream.
  """
  options.check(system)
  by_chance = stream_lib.draws(options, system)
  has_scores = options.batch_window is None and not by_chance
  task, num_examples = system.facts.task, system.facts.num_examples

  def look(args, batch):
    _, state = args
    predicted = system.learner.apply(state, batch.inputs).predictions
    classes = task.decide(predicted).astype(jnp.int32)
    scores = jnp.zeros(len(classes))
    if has_scores:
      scores = stream_lib.score(system, args, batch).astype(jnp.float32)
    return scores, classes

  spend = _manager(options, system, by_chance)

  @jax.jit
  def decide(key, state, begin, scores, most):
    def step(carried, example):
      state, left = carried
      position, score = example
      is_next = (position == state.position) & (position < num_examples)
      is_next &= left > 0
      own = jax.random.fold_in(key, position)
      spending, ask = spend(own, state.spending, score)
      after = StreamState(position + 1, spending)
      state = jax.tree.map(functools.partial(jnp.where, is_next), after, state)
      ask &= is_next
      return (state, left - ask), ask

    positions = begin + jnp.arange(len(scores), dtype=jnp.int32)
    (state, _), asked = jax.lax.scan(step, (state, most), (positions, scores))
    return state, asked

  map_pool = inference.make_pool_map(look, chunk_size=_ROWS)
  return CompiledStream(
    options,
    num_examples,
    lambda key, state, where: map_pool((key, state), inputs, where),
    decide,
  )


def _manager(options, system, by_chance):
  """Returns `(key, spending, score) -> (spending, ask)`."""
  own = {'budget': options.budget}
  if by_chance:
    return lambda key, state, _: kernels.spend_balanced(
      key, state, jax.random.uniform(key), tolerance=options.tolerance, **own
    )
  own |= {
    name: getattr(options, name)
    for name, readers in stream_lib.READ_BY.items()
    if options.manager in readers
  }
  if options.manager == 'fixed':
    own['num_classes'] = len(system.facts.task.class_names)
  spend = {
    'balanced': kernels.spend_balanced,
    'quantile': kernels.spend_quantile,
    'fixed': kernels.spend_fixed,
    'variable': kernels.spend_variable,
    'random_variable': kernels.spend_random_variable,
  }[options.manager]
  return functools.partial(spend, **own)

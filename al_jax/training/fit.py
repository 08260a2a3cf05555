"""fit: the explicit loop of a round's training over compiled chunks of steps.

The state carries everything, and a step of a done or stale state changes
nothing: how many steps go into one call changes speed and nothing else.

On a CPU the gradients that JAX derives of a convolution are ten to fifty times
slower inside a loop than alone, so a learner whose step holds one is run one
step a call there. Everything else loops on the device, the convolutions of
`models.conv` too: they are laid out as XLA's fast kernels want them.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, inference, sources, xla
from al_jax import pool as pool_lib
from al_jax.interfaces import (
  Batch,
  Facts,
  Learner,
  LearnerState,
  Progress,
  PyTree,
)
from al_jax.pool import PoolState
from al_jax.sources import Sources

# Steps per call where steps loop on the device. A call ends early when the
# training is over; only how often the host can look depends on it.
_STEPS_PER_CALL = 256

# Images [B, height, width, channels], kernels [height, width, in, out]: what
# XLA need not bring into another form, which it does outside of loops only.
_FAST_LAYOUT = jax.lax.conv_dimension_numbers(
  (1, 1, 1, 1), (1, 1, 1, 1), ('NHWC', 'HWIO', 'NHWC')
)


class FitFns(NamedTuple):
  """The compiled functions of `fit`, made once per run.

  With several lanes (seeds) `start` and `advance` take and return pytrees with
  a leading lane axis; with one lane, plain ones.

  Attributes:
    num_lanes: how many seeds advance in one call.
    steps_in_loop: many steps are one call, a loop on the device; otherwise each
      step is a call.
    start: `(key, state, pool) -> state`.
    advance: `(state, pool, num_steps) -> (state, Progress)`: so many steps, or
      fewer if they would change nothing.
    survey: `(key, state, pool) -> state`, of one lane; None if the learner has
      none.
    pack: a list of one pytree per lane -> what `advance` takes.
    unpack: and back.
  """

  num_lanes: int
  steps_in_loop: bool
  start: Callable[..., LearnerState]
  advance: Callable[..., tuple[LearnerState, Progress]]
  survey: Callable[..., LearnerState] | None
  pack: Callable[[Sequence[PyTree]], PyTree]
  unpack: Callable[[PyTree], list[PyTree]]


def compile_fit(
  learner: Learner,
  facts: Facts,
  all_sources: Sources,
  *,
  num_lanes: int = 1,
  chunk_size: int = 1000,
) -> FitFns:
  """Makes the compiled functions of a learner.

  Args:
    learner: how to train.
    facts: of the task.
    all_sources: the examples, by name; `'pool'` must be there.
    num_lanes: how many seeds share a call. More than one are `vmap`ped, and
      need every source on the device.
    chunk_size: of the survey's pass.

  Returns:
    FitFns.
  """
  errors.check_number('num_lanes', num_lanes, int, least=1)
  inputs = {name: source.inputs for name, source in all_sources.items()}
  on_device = all(sources.is_on_device(leaf) for leaf in inputs.values())
  if on_device:
    inputs = sources.on(inputs, jax.local_devices()[:1])
  steps_in_loop = on_device and (
    num_lanes > 1 or not _loops_are_slow(learner, facts, inputs)
  )
  if not on_device:
    if num_lanes > 1:
      raise ValueError(
        f'num_lanes is {num_lanes} with inputs on the host; several seeds in '
        "one call need placement='device'."
      )
    advance = _advance_through_host(learner, inputs)
  elif steps_in_loop:
    advance = _advance_in_loop(learner, inputs, num_lanes)
  else:
    advance = _advance_by_call(learner, inputs)
  start = jax.vmap(learner.start) if num_lanes > 1 else learner.start
  pack, unpack = _packing(num_lanes)
  return FitFns(
    num_lanes=num_lanes,
    steps_in_loop=steps_in_loop,
    start=jax.jit(start),
    advance=advance,
    survey=_compile_survey(learner, all_sources, chunk_size),
    pack=pack,
    unpack=unpack,
  )


def fit(
  fns: FitFns,
  start_keys: Sequence[jax.Array],
  survey_keys: Sequence[jax.Array],
  states: Sequence[LearnerState],
  pools: Sequence[PoolState],
  *,
  resume: bool = False,
  stop_every: int | None = None,
) -> Iterator[tuple[PyTree, Progress]]:
  """Trains one round: a generator that yields after every call of the device.

  Args:
    fns: the compiled functions.
    start_keys: a key per lane, for `learner.start`.
    survey_keys: a key per lane, for the surveys of this round.
    states: a learner state per lane.
    pools: a labelled set per lane.
    resume: the states are in the middle of this round's training.
    stop_every: end a call whenever the step is a multiple of this, so that the
      caller can save there.

  Yields:
    The packed states (`fns.unpack`) and their Progress on the host, with
    leading lane axis throughout. The last one is done in every lane.
  """
  state = fns.pack(states)
  pool = fns.pack(pools)
  if not resume:
    state = fns.start(fns.pack(start_keys), state, pool)
  step = 0
  while True:
    num_steps = _STEPS_PER_CALL
    if stop_every is not None:
      num_steps = min(num_steps, stop_every - step % stop_every)
    state, progress = fns.advance(state, pool, num_steps)
    progress = jax.tree.map(np.atleast_1d, jax.device_get(progress))
    yield state, progress
    if np.all(progress.done):
      return
    step = int(np.max(progress.step))
    if np.any(progress.stale):
      lanes = fns.unpack(state)
      for lane in np.flatnonzero(progress.stale):
        key = jax.random.fold_in(survey_keys[lane], int(progress.step[lane]))
        lanes[lane] = fns.survey(key, lanes[lane], pools[lane])
      state = fns.pack(lanes)


def step_from(learner: Learner) -> Callable[..., tuple]:
  """One step that draws its own batches, gathering them on the device.

  Args:
    learner: how to train.

  Returns:
    `(state, pool, inputs) -> (state, Progress)`, not compiled; `inputs` are
    those of the sources, by name.
  """

  def step(state, pool, inputs):
    batches = {
      name: Batch(index, sources.gather(_drawn_from(inputs, name), index))
      for name, index in learner.plan(state, pool).items()
    }
    return learner.step(state, batches, pool)

  return step


def _drawn_from(inputs, name):
  """A batch named like a source draws from it, any other from the pool."""
  return inputs.get(name, inputs['pool'])


def _loops_are_slow(learner, facts, inputs):
  if jax.default_backend() != 'cpu':
    return False
  state = jax.eval_shape(lambda: learner.init(jax.random.key(0), facts))
  pool = jax.eval_shape(lambda: pool_lib.create(facts.num_examples))
  step = step_from(learner)
  layouts = xla.convolutions(step, state, pool, inputs)
  return any(layout != _FAST_LAYOUT for layout in layouts)


def _advance_in_loop(learner, inputs, num_lanes):
  """Many steps a call; the loop ends when a step would change nothing."""
  step = step_from(learner)

  def advance(state, pool, inputs, num_steps):
    shape = jax.eval_shape(step, state, pool, inputs)[1]
    unknown = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape)

    def goes_on(carry):
      taken, _, progress = carry
      return (taken < num_steps) & ~progress.done & ~progress.stale

    def body(carry):
      taken, state, _ = carry
      return taken + 1, *step(state, pool, inputs)

    taken = jnp.zeros((), jnp.int32)
    _, state, progress = jax.lax.while_loop(
      goes_on, body, (taken, state, unknown)
    )
    return state, progress

  if num_lanes > 1:
    advance = jax.vmap(advance, in_axes=(0, 0, None, None))
  compiled = jax.jit(advance)
  return lambda state, pool, num_steps: compiled(
    state, pool, inputs, np.int32(num_steps)
  )


def _advance_by_call(learner, inputs):
  """One step a call, for steps that are slow inside a loop."""
  compiled = jax.jit(step_from(learner))

  def advance(state, pool, num_steps):
    for _ in range(num_steps):
      state, progress = compiled(state, pool, inputs)
      if progress.done or progress.stale:
        break
    return state, progress

  return advance


def _advance_through_host(learner, inputs):
  """One step a call, with the rows of its batches gathered on the host."""
  plan = jax.jit(learner.plan)
  step = jax.jit(learner.step)

  def advance(state, pool, num_steps):
    for _ in range(num_steps):
      batches = {
        name: Batch(
          index,
          sources.gather_on_host(_drawn_from(inputs, name), index),
        )
        for name, index in plan(state, pool).items()
      }
      state, progress = step(state, batches, pool)
      if progress.done or progress.stale:
        break
    return state, progress

  return advance


def _compile_survey(learner, all_sources, chunk_size):
  if learner.survey is None:
    return None
  survey = learner.survey
  source = all_sources[survey.source]

  def measure(args, batch):
    key, state = args
    return survey.measure(key, functools.partial(learner.apply, state), batch)

  map_source = inference.make_pool_map(measure, chunk_size=chunk_size)
  absorb = jax.jit(survey.absorb)

  def take(key, state, pool):
    measured = map_source((key, state), source.inputs)
    held = pool if source.pool is None else source.pool
    return absorb(key, state, measured, held)

  return take


def _packing(num_lanes):
  if num_lanes == 1:
    return (lambda lanes: lanes[0]), (lambda packed: [packed])
  pack = jax.jit(lambda *lanes: jax.tree.map(_stack, *lanes))
  unpack = jax.jit(
    lambda packed: [
      jax.tree.map(lambda leaf, i=i: leaf[i], packed) for i in range(num_lanes)
    ]
  )
  return (lambda lanes: pack(*lanes)), unpack


def _stack(*leaves):
  return jnp.stack(leaves)

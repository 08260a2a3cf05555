"""Trains a round: an explicit loop over compiled calls of several steps.

The state carries everything. A step changes nothing if the state is done or
waits for a survey, so the number of steps per call affects only the speed.

On a CPU the gradients that JAX derives for a convolution are ten to fifty times
slower inside a loop than alone. So a learner whose step has such a gradient
runs one step per call there. All other steps loop on the device, including
those with convolutions of `models.conv`, which have the layout of XLA's fast
kernels.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
  Phase,
  Progress,
  PyTree,
)
from al_jax.pool import PoolState
from al_jax.sources import Sources

# Target time of a call, after which the host can report progress or stop.
_SECONDS_PER_CALL = 0.5
# Steps of the first calls, which may compile, and the upper limit.
_FIRST_STEPS, _MOST_STEPS = 64, 2**16

# Images [B, height, width, channels], kernels [height, width, in, out]: what
# XLA need not bring into another form, which it does outside of loops only.
_FAST_LAYOUT = jax.lax.conv_dimension_numbers(
  (1, 1, 1, 1), (1, 1, 1, 1), ('NHWC', 'HWIO', 'NHWC')
)


class FitFns(NamedTuple):
  """Compiled functions of `fit`, made once per run.

  With several lanes (seeds), `start` and `advance` take and return pytrees with
  a leading lane axis; with one lane, pytrees without it.

  Attributes:
    num_lanes: number of seeds that advance in one call.
    steps_in_loop: whether a call runs many steps in a loop on the device;
      otherwise each step is a call.
    start: `(key, state, pool) -> state`.
    advance: `(state, pool, num_steps) -> (state, Progress)` for each phase. It
      stops early if further steps would change nothing.
    surveys: `(key, state, pool) -> state` of one lane, by name.
    finite: `(state) -> {network: bool}`.
    pack: function from a list of pytrees, one per lane, to an argument of
      `advance`.
    unpack: inverse of `pack`.
  """

  num_lanes: int
  steps_in_loop: bool
  start: Callable[..., LearnerState]
  advance: Sequence[Callable[..., tuple[LearnerState, Progress]]]
  surveys: Mapping[str, Callable[..., LearnerState]]
  finite: Callable[..., Mapping[str, jax.Array]]
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
  """Compiles the functions that train a learner.

  Args:
    learner: learner to train.
    facts: facts of the task.
    all_sources: sources of examples by name, including `'pool'`.
    num_lanes: number of seeds that share a call. Several seeds are `vmap`ped
      and need all sources on one device.
    chunk_size: number of examples per call in the pass of a survey.

  Returns:
    FitFns.
  """
  errors.check_number('num_lanes', num_lanes, int, least=1)
  inputs = {name: source.inputs for name, source in all_sources.items()}
  together = all(map(sources.is_on_one_device, inputs.values()))
  if together:
    inputs = {name: sources.on_first(leaf) for name, leaf in inputs.items()}
  steps_in_loop = together and (
    num_lanes > 1 or not _loops_are_slow(learner, facts, inputs)
  )
  if not together:
    if num_lanes > 1:
      raise ValueError(
        f'num_lanes is {num_lanes} with inputs on the host or on several '
        'devices; several seeds in one call need them on one device.'
      )
    advance = _advance_by_rows
  elif steps_in_loop:
    advance = functools.partial(_advance_in_loop, num_lanes=num_lanes)
  else:
    advance = _advance_by_call
  start, finite = learner.start, learner.finite
  if num_lanes > 1:
    start, finite = jax.vmap(start), jax.vmap(finite)
  pack, unpack = _packing(num_lanes)
  return FitFns(
    num_lanes=num_lanes,
    steps_in_loop=steps_in_loop,
    start=jax.jit(start),
    advance=[
      advance(learner, number, inputs) for number in range(len(learner.phases))
    ],
    surveys={
      name: _compile_survey(learner, survey, all_sources, chunk_size)
      for name, survey in learner.surveys.items()
    },
    finite=jax.jit(finite),
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
  """Trains one round, and yields after every call of the device.

  Args:
    fns: compiled functions of the learner.
    start_keys: a key per lane, for `learner.start`.
    survey_keys: a key per lane, for the surveys of this round.
    states: a learner state per lane.
    pools: a labelled set per lane.
    resume: whether the states are in the middle of this round's training.
    stop_every: a call ends whenever the step is a multiple of this, so that the
      caller can save there. If None, calls do not end for that.

  Yields:
    The packed states (see `fns.unpack`) and their Progress on the host, whose
    leaves all have a leading lane axis. The last Progress is done in every
    lane.
  """
  state = fns.pack(states)
  pool = fns.pack(pools)
  if not resume:
    state = fns.start(fns.pack(start_keys), state, pool)
  step = phase = 0
  pace = _FIRST_STEPS
  while True:
    num_steps = pace
    if stop_every is not None:
      num_steps = min(num_steps, stop_every - step % stop_every)
    begin = time.perf_counter()
    state, progress = fns.advance[phase](state, pool, num_steps)
    progress = _by_lane(jax.device_get(progress), fns.num_lanes)
    seconds = time.perf_counter() - begin
    before, step = step, int(np.max(progress.step))
    pace = _next_pace(pace, step - before, seconds)
    yield state, progress
    if np.all(progress.done):
      return
    # Lanes may be in different phases. Take that of the first unfinished lane;
    # the step changes nothing in lanes of other phases.
    phase = int(progress.phase[np.argmin(progress.done)])
    if any(np.any(is_due) for is_due in progress.due.values()):
      lanes = fns.unpack(state)
      for lane, key in enumerate(survey_keys):
        lanes[lane] = _surveyed(
          fns, key, lanes[lane], pools[lane], _lane(progress, lane)
        )
      state = fns.pack(lanes)


def _next_pace(pace, taken, seconds):
  """Computes the steps of the next call from the time of the last one."""
  if not taken:
    return pace  # The state waited for a survey, or the call compiled.
  wanted = taken * _SECONDS_PER_CALL / max(seconds, 1e-6)
  # The time of a call that compiled or ended early is unreliable, so limit the
  # change.
  return int(np.clip(wanted, max(pace // 4, 1), min(4 * pace, _MOST_STEPS)))


def _by_lane(progress, num_lanes):
  """Adds a lane axis to Progress, also to a phase left at its default."""
  progress = jax.tree.map(np.atleast_1d, progress)
  return progress._replace(phase=np.broadcast_to(progress.phase, (num_lanes,)))


def _lane(progress, lane):
  return jax.tree.map(lambda leaf: leaf[lane], progress)


def _surveyed(fns, key, state, pool, progress):
  """Takes the surveys of a lane that are due, each with its own key."""
  key = jax.random.fold_in(key, int(progress.step))
  for number, (name, survey) in enumerate(fns.surveys.items()):
    if progress.due.get(name, False):
      own_key = jax.random.fold_in(key, number) if number else key
      state = survey(own_key, state, pool)
  return state


def step_from(phase: Phase) -> Callable[..., tuple]:
  """Makes a step that plans and gathers its own batches on the device.

  Args:
    phase: phase of a learner.

  Returns:
    `(state, pool, inputs) -> (state, Progress)`, not compiled. `inputs` are the
    inputs of the sources, by name.
  """

  def step(state, pool, inputs):
    batches = {
      name: Batch(index, sources.gather(_drawn_from(inputs, name), index))
      for name, index in phase.plan(state, pool).items()
    }
    state, progress = phase.step(state, batches, pool)
    number = jnp.asarray(progress.phase, jnp.int32)
    return state, progress._replace(phase=number)

  return step


def _drawn_from(inputs, name):
  """Returns the inputs of the source of that name, or else of the pool."""
  return inputs.get(name, inputs['pool'])


def _loops_are_slow(learner, facts, inputs):
  if jax.default_backend() != 'cpu':
    return False
  state = jax.eval_shape(lambda: learner.init(jax.random.key(0)))
  pool = jax.eval_shape(lambda: pool_lib.of(facts))
  return any(
    layout != _FAST_LAYOUT
    for phase in learner.phases
    for layout in xla.convolutions(step_from(phase), state, pool, inputs)
  )


def _waits(progress):
  """Returns bool, whether any survey is due."""
  waits = jnp.zeros((), jnp.bool_)
  for is_due in progress.due.values():
    waits |= is_due
  return waits


def _advance_in_loop(learner, number, inputs, *, num_lanes):
  """Makes a call of many steps, which ends when a step would change nothing."""
  step = step_from(learner.phases[number])
  has_phases = len(learner.phases) > 1

  def advance(state, pool, inputs, num_steps):
    shape = jax.eval_shape(step, state, pool, inputs)[1]
    unknown = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape)
    if has_phases:
      unknown = unknown._replace(phase=unknown.phase + number)

    def goes_on(carry):
      taken, _, progress = carry
      goes_on = (taken < num_steps) & ~progress.done & ~_waits(progress)
      if has_phases:
        goes_on &= progress.phase == number
      return goes_on

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


def _ends_call(progress, number):
  """Returns, on the host, whether another step would change nothing."""
  return bool(progress.done or _waits(progress) or progress.phase != number)


def _advance_by_call(learner, number, inputs):
  """Makes a loop on the host, for steps that are slow in a device's loop."""
  compiled = jax.jit(step_from(learner.phases[number]))

  def advance(state, pool, num_steps):
    for _ in range(num_steps):
      state, progress = compiled(state, pool, inputs)
      if _ends_call(progress, number):
        break
    return state, progress

  return advance


def _advance_by_rows(learner, number, inputs):
  """Makes a loop on the host for rows on the host or on several devices."""
  plan, step = map(jax.jit, learner.phases[number])
  readers = {name: sources.reader(leaf) for name, leaf in inputs.items()}

  def advance(state, pool, num_steps):
    for _ in range(num_steps):
      batches = {
        name: Batch(index, _drawn_from(readers, name)(index))
        for name, index in plan(state, pool).items()
      }
      state, progress = step(state, batches, pool)
      if _ends_call(progress, number):
        break
    return state, progress

  return advance


def _compile_survey(learner, survey, all_sources, chunk_size):
  source = all_sources[survey.source]

  def measure(args, batch):
    key, state = args
    return survey.measure(key, functools.partial(learner.apply, state), batch)

  map_source = inference.make_pool_map(measure, chunk_size=chunk_size)
  absorb = jax.jit(survey.absorb)
  where = None if survey.where is None else jax.jit(survey.where)

  def take(key, state, pool):
    held = pool if source.pool is None else source.pool
    some = None if where is None else where(state, held)
    measured = map_source((key, state), source.inputs, some)
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

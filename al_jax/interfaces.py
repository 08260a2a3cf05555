"""The two seams of the library: a Learner trains, a Strategy asks.

A system of the literature is a pair of these, and `al_jax.loop` threads the
labelled set through both. Everything here is a plain tuple of pure functions:
nothing is subclassed, nothing holds data, and what is carried from one call to
the next is an opaque pytree.

Axis letters, here and in every docstring of the library: N pool, B batch,
C classes, D features, S samples, K picks.
"""

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

# A pytree of arrays (or of their shapes), whatever its structure.
PyTree = Any
# Opaque to the library: only the functions that made one look inside.
LearnerState = PyTree
StrategyState = PyTree


class Facts(NamedTuple):
  """What may be known of a task before any label is paid for.

  Attributes:
    num_examples: N, the size of the pool.
    task: `'classification'` or `'regression'`.
    num_classes: C, a fact of the data set; None for regression.
    label_budget: the most labels that a run can ever hold: the fixed capacity
      of every buffer of labelled examples.
    example: one input as a pytree of `jax.ShapeDtypeStruct`, without the batch
      axis.
    mean: subtracted from the inputs on device, broadcast against one example.
    std: divides the inputs on device, likewise. Raw inputs are uint8 or
      float32; `mean` and `std` are in raw units.
  """

  num_examples: int
  task: str
  num_classes: int | None
  label_budget: int
  example: PyTree
  mean: PyTree
  std: PyTree


class Batch(NamedTuple):
  """What flows through apply, measure and the step.

  Attributes:
    index: int32[B], positions in the pool; padding rows have -1.
    inputs: pytree of [B, ...], raw (uint8 or float32); zeros in padding rows.
  """

  index: jax.Array
  inputs: PyTree


class ModelOutput(NamedTuple):
  """What a model says of a batch. What nobody asks for costs nothing under jit.

  Attributes:
    predictions: logits [..., C]; values for regression; a dict for hybrids.
    embedding: [..., D], the input of the last dense layer.
    extras: named further outputs (hidden layers, a predicted loss, ...).
  """

  predictions: PyTree
  embedding: jax.Array
  extras: Mapping[str, jax.Array]


class ModelFns(NamedTuple):
  """A network as pure functions; `variables` is an opaque pytree.

  Attributes:
    init: `(key) -> variables`. The pytree has `'params'`, which is trained,
      and may have `'statistics'`, which is not (BatchNorm).
    apply: `(variables, inputs, *, key=None) -> ModelOutput`, evaluation. With a
      key dropout is active and its mask is shared by the whole batch, so that
      one key is one sampled network; nothing else changes.
    train: `(variables, inputs, key, *, real=None) -> (ModelOutput,
      statistics)`, training: a dropout mask per example; `real` bool[B] is
      False in padding rows, which leave the statistics alone.
  """

  init: Callable[..., PyTree]
  apply: Callable[..., ModelOutput]
  train: Callable[..., tuple[ModelOutput, PyTree]]


class NetFns(NamedTuple):
  """A network that is no model: an encoder, a decoder, a critic.

  Attributes:
    init: `(key) -> variables`, a pytree as that of `ModelFns`: `'params'`, and
      `'statistics'` if the network has BatchNorm.
    apply: `(variables, *inputs, key=None, training=False, real=None) ->
      (outputs, statistics)`. With a key dropout is active: in training with a
      mask per example, otherwise with one that the batch shares. In training
      BatchNorm normalises by the batch, of which `real` bool[B] is False in
      padding rows, and the statistics are new; otherwise they are those of
      `variables`, `{}` if it has none.
  """

  init: Callable[..., PyTree]
  apply: Callable[..., tuple[PyTree, PyTree]]


class Progress(NamedTuple):
  """What the host may read between steps.

  Attributes:
    done: bool, the round's training is over: further steps change nothing.
    due: surveys to be taken before the next step, by name: bool; until then
      steps change nothing.
    step: int32, steps taken in this round.
    metrics: named scalars: loss, accuracy, ..., of the last whole epoch.
    running: the same of the epoch under way, for those who look on; NaN at its
      beginning.
    phase: int32, the position in `Learner.phases` of the phase under way.
  """

  done: jax.Array
  due: Mapping[str, jax.Array]
  step: jax.Array
  metrics: Mapping[str, jax.Array]
  running: Mapping[str, jax.Array] | None = None
  phase: jax.Array | int = 0


class Phase(NamedTuple):
  """A part of a round with steps of its own.

  Attributes:
    plan: `(state, pool) -> {name: int32[b]}`: which examples the next step
      needs, by position; -1 pads. A name is the learner's own (`'labelled'`);
      one that is also the name of a source draws from that source instead of
      the pool.
    step: `(state, {name: Batch}, pool) -> (state, Progress)`. A state that is
      done, waits for a survey, or is in another phase is a fixed point.
  """

  plan: Callable[..., Mapping[str, jax.Array]]
  step: Callable[..., tuple[LearnerState, Progress]]


class Survey(NamedTuple):
  """A look over a whole source of examples, taken when `Progress.due` says so.

  Attributes:
    measure: `(key, apply, Batch) -> pytree of [B, ...]`, as in a Strategy.
    absorb: `(key, state, measured, pool) -> state`: what was seen goes into the
      learner's state (pseudo-labels, cluster ids, a validation loss). After it
      the survey is no longer due.
    source: which source to look over: `'pool'`, or `'validation'`, a held-out
      split whose PoolState has every target revealed.
    where: `(state, pool) -> bool[N]`, the examples to look at. If None, all.
  """

  measure: Callable[..., PyTree]
  absorb: Callable[..., LearnerState]
  source: str = 'pool'
  where: Callable[..., jax.Array] | None = None


class Learner(NamedTuple):
  """How to train: pure functions over a state that holds everything.

  Parameters of every network, optimizers, buffers, counters and stop rules are
  in the state; nothing is remembered elsewhere, so saving it is all that
  resuming needs. Every leaf keeps its shape, dtype and weak type.

  Attributes:
    init: `(key) -> state`, full-size; `jax.eval_shape` of it is the template
      for restoring.
    start: `(key, state, pool) -> state`, begins a round: weights (cold or
      warm), optimizer, counters.
    phases: the parts of a round, one as a rule; `Progress.phase` tells which is
      under way, from the first on.
    apply: `(state, inputs, *, keys=None) -> ModelOutput`, evaluation; with
      keys[S], S dropout samples on a new leading axis, masks shared by the
      batch.
    surveys: looks over a whole source, by name. Those that are due together are
      taken in this order.
    finite: `(state) -> {network: bool}`, whether all variables of each network
      are finite.
    pseudo_labels: `(state, pool) -> int32[N]`, the labels that nobody paid for
      and that it trains on now, -1 elsewhere; None if there are none ever. Only
      the oracle can say how right they are, for the record.
    most_steps: `(num_labels) -> int`, the most steps that a round with so many
      labels takes, for `--dry_run`; None if that is not known.
    continues: a round begins with the model of the round before (warm weights,
      self-training), so that repeating a round means repeating all before it.
    warnings: sentences to log after a round's training, by the name of the
      metric that is above 0 when they are true.
    pictures: `(key, state, pool) -> {name: images}`, sample sheets of a trained
      round for people to look at: uint8, or float32 from 0 to 1, [n, height,
      width] or [n, height, width, 1 or 3], n at most 100. If None, there are
      none. They are made only if somebody looks, and change no result.
  """

  init: Callable[..., LearnerState]
  start: Callable[..., LearnerState]
  phases: tuple[Phase, ...]
  apply: Callable[..., ModelOutput]
  finite: Callable[..., Mapping[str, jax.Array]]
  surveys: Mapping[str, Survey] = types.MappingProxyType({})
  pseudo_labels: Callable[..., jax.Array] | None = None
  most_steps: Callable[[int], int] | None = None
  continues: bool = False
  warnings: Mapping[str, str] = types.MappingProxyType({})
  pictures: Callable[..., Mapping[str, jax.Array]] | None = None


class Strategy(NamedTuple):
  """What to ask: a map over examples, then a decision over the set.

  Neither function sees an answer that has not been paid for: what they are
  given cannot contain one.

  Attributes:
    init: `(facts) -> state`; `()` for nearly all.
    measure: `(key, apply, Batch) -> pytree of [B, ...]`, per example: a score,
      an embedding, samples. Every chunk of the pool gets the same key: draws
      shared by the pool (dropout masks) come from it, draws per example from
      `fold_in(key, index)`. None: it looks at nothing, and `select` is given
      `()`.
    select: `(key, state, measured, pool, k) -> (state, Selection)`, which k of
      the whole pool; k is a static int.
    where: `(key, state, pool) -> bool[N]`: measure only these; elsewhere the
      measured floats are NaN, which kernels never pick. None: measure all.
    prefilter: `(strategy, m)`: that one is asked first, for m candidates, and
      this one measures only those and what was asked about before. None: there
      is no such. See `strategies.chain`.
  """

  init: Callable[[Facts], StrategyState]
  measure: Callable[..., PyTree] | None
  select: Callable[..., tuple[StrategyState, Any]]
  where: Callable[..., jax.Array] | None = None
  prefilter: 'tuple[Strategy, int] | None' = None

"""How to train: pure functions over a state that holds everything."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import jax

from al_jax.interfaces.base import (
  Applied,
  Batch,
  LearnerState,
  Measure,
  ModelOutput,
  PyTree,
)
from al_jax.tasks import Metric

if TYPE_CHECKING:
  from al_jax.pool import PoolState


class Progress(NamedTuple):
  """What the host may read between steps.

  Attributes:
    done: bool, the round's training is over: further steps change nothing.
    due: surveys to be taken before the next step, by name: bool; until then
      steps change nothing.
    step: int32, steps taken in this round.
    metrics: named scalars: loss, accuracy, ..., of the last whole epoch.
    running: the same of the epoch under way, for observers; NaN at its
      beginning.
    phase: int32, the position in `Learner.phases` of the phase under way.
  """

  done: jax.Array
  due: Mapping[str, jax.Array]
  step: jax.Array
  metrics: Mapping[str, jax.Array]
  running: Mapping[str, jax.Array] | None = None
  phase: jax.Array | int = 0


class Plan(Protocol):
  """Says which examples the next step needs."""

  def __call__(
    self, state: LearnerState, pool: PoolState
  ) -> Mapping[str, jax.Array]:
    """Returns positions by the name of a batch.

    Args:
      state: of the learner.
      pool: the labelled set.

    Returns:
      int32[b] each; -1 pads. A name is the learner's own (`'labelled'`); one
      that is also the name of a source draws from that source instead of the
      pool.
    """


class Step(Protocol):
  """Takes a step of a phase."""

  def __call__(
    self, state: LearnerState, batches: Mapping[str, Batch], pool: PoolState
  ) -> tuple[LearnerState, Progress]:
    """Returns the state after a step.

    Args:
      state: of the learner. One that is done, waits for a survey, or is in
        another phase is a fixed point.
      batches: the examples that were planned, by name.
      pool: the labelled set.

    Returns:
      The state, and what the host may read of it.
    """


class Phase(NamedTuple):
  """A part of a round with steps of its own.

  Attributes:
    plan: see `Plan`.
    step: see `Step`.
  """

  plan: Plan
  step: Step


class Absorb(Protocol):
  """Takes what a survey saw into the state of a learner."""

  def __call__(
    self, key: jax.Array, state: LearnerState, measured: PyTree, pool: PoolState
  ) -> LearnerState:
    """Returns the state, in which the survey is no longer due.

    Args:
      key: of the survey.
      state: in which the survey is due.
      measured: pytree of [N, ...]; zeros where nothing was measured.
      pool: the labelled set; of a held-out split all of its targets.

    Returns:
      The state with pseudo-labels, cluster ids, a validation loss.
    """


class SurveyWhere(Protocol):
  """Says which examples a survey looks at."""

  def __call__(self, state: LearnerState, pool: PoolState) -> jax.Array:
    """Returns bool[N]."""


class Survey(NamedTuple):
  """A look over a whole source of examples, taken when `Progress.due` says so.

  Attributes:
    measure: see `Measure`.
    absorb: see `Absorb`.
    source: which source to look over: `'pool'`, or `'validation'`, a held-out
      split whose PoolState has every target revealed.
    where: the examples to look at, see `SurveyWhere`; `absorb` reads no other
      row. If None, all.
  """

  measure: Measure
  absorb: Absorb
  source: str = 'pool'
  where: SurveyWhere | None = None


class MeasureReport(Protocol):
  """Measures the examples of a test split, whose targets it is given."""

  def __call__(
    self, key: jax.Array, apply: Applied, batch: Batch, targets: PyTree
  ) -> PyTree:
    """Returns a pytree of [B, ...].

    Args:
      key: of the evaluation.
      apply: the model, as in `Measure`.
      batch: examples of the split.
      targets: pytree of [B, ...], those of the batch.

    Returns:
      The values that the metrics are made of.
    """


class ReduceReport(Protocol):
  """Makes metrics of what was measured."""

  def __call__(self, measured: PyTree) -> Mapping[str, jax.Array]:
    """Returns a scalar for each declared metric.

    Args:
      measured: pytree of [N, ...], the whole split.
    """


class Report(NamedTuple):
  """Test metrics of a learner's own, such as how well it ranks losses.

  Attributes:
    measure: see `MeasureReport`.
    reduce: see `ReduceReport`.
    metrics: what `reduce` returns, by name: units, directions, meanings.
  """

  measure: MeasureReport
  reduce: ReduceReport
  metrics: tuple[Metric, ...]


class InitLearner(Protocol):
  """Makes the state of a learner before any round."""

  def __call__(self, key: jax.Array) -> LearnerState:
    """Returns a full-size state; its shapes are the template for restoring."""


class Start(Protocol):
  """Begins a round: weights (cold or warm), optimizer, counters."""

  def __call__(
    self, key: jax.Array, state: LearnerState, pool: PoolState
  ) -> LearnerState:
    """Returns the state before the first step.

    Args:
      key: of the round.
      state: after the round before, or that of `init`.
      pool: the labelled set.

    Returns:
      The state.
    """


class ApplyLearner(Protocol):
  """Evaluates what a learner has learnt."""

  def __call__(
    self, state: LearnerState, inputs: PyTree, *, keys: jax.Array | None = None
  ) -> ModelOutput:
    """Returns what `base.Applied` does, with the weights of the state."""


class Finite(Protocol):
  """Tells whether the variables of each network are finite."""

  def __call__(self, state: LearnerState) -> Mapping[str, jax.Array]:
    """Returns a bool by the name of each network."""


class PseudoLabels(Protocol):
  """Tells which labels a learner gave itself, and nobody paid for."""

  def __call__(self, state: LearnerState, pool: PoolState) -> jax.Array:
    """Returns int32[N], class numbers; -1 elsewhere."""


class ModelVariables(Protocol):
  """Finds the weights of the model that a learner was given."""

  def __call__(self, state: LearnerState) -> PyTree:
    """Returns variables with which the model predicts as `apply` does."""


class MostSteps(Protocol):
  """Bounds the steps of a round, for `--dry_run`."""

  def __call__(self, num_labels: int) -> int | tuple[int, ...]:
    """Returns the most steps of a round; of several phases, those of each.

    Args:
      num_labels: number of labels that the round trains on.
    """


class Pictures(Protocol):
  """Makes sample sheets of a trained round, for people to look at."""

  def __call__(
    self, key: jax.Array, state: LearnerState, pool: PoolState
  ) -> Mapping[str, jax.Array]:
    """Returns images by the name of a sheet; they change no result.

    Args:
      key: of the round's pictures.
      state: after the round's training.
      pool: the labelled set.

    Returns:
      uint8, or float32 from 0 to 1, [n, height, width] or [n, height, width,
      1 or 3], n at most 100.
    """


class DrawCodes(Protocol):
  """Draws codes from the prior of a generator."""

  def __call__(self, key: jax.Array, number: int) -> jax.Array:
    """Returns float32[number, Z]."""


class Encode(Protocol):
  """Finds the codes that a generator makes given examples of."""

  def __call__(
    self,
    state: LearnerState,
    inputs: PyTree,
    *,
    key: jax.Array | None = None,
  ) -> jax.Array:
    """Returns float32[B, Z].

    Args:
      state: of the learner.
      inputs: pytree of [B, ...], raw.
      key: draws the codes. If None, their means.
    """


class Decode(Protocol):
  """Makes examples of codes."""

  def __call__(
    self, state: LearnerState, codes: jax.Array, classes: jax.Array
  ) -> PyTree:
    """Returns a pytree of float32[B, ...] in raw units, not rounded.

    Args:
      state: of the learner.
      codes: float32[B, Z].
      classes: int32[B], which class to make; a generator without classes does
        not read them.
    """


class Realism(Protocol):
  """Tells how real examples look."""

  def __call__(self, state: LearnerState, inputs: PyTree) -> jax.Array:
    """Returns float32[B], log probabilities of being real.

    Args:
      state: of the learner.
      inputs: pytree of [B, ...], raw or in raw units.
    """


class Generator(NamedTuple):
  """Makes examples by the networks of a learner; every function is smooth.

  Attributes:
    prior: see `DrawCodes`.
    encode: see `Encode`.
    decode: see `Decode`.
    realism: see `Realism`.
  """

  prior: DrawCodes
  encode: Encode
  decode: Decode
  realism: Realism


class Learner(NamedTuple):
  """How to train: pure functions over a state that holds everything.

  Parameters of every network, optimizers, buffers, counters and stop rules are
  in the state; nothing is remembered elsewhere, so saving it is all that
  resuming needs. Every leaf keeps its shape, dtype and weak type.

  Attributes:
    init: see `InitLearner`.
    start: see `Start`.
    phases: the parts of a round, one as a rule; `Progress.phase` tells which is
      under way, from the first on.
    apply: see `ApplyLearner`.
    finite: see `Finite`.
    surveys: looks over a whole source, by name. Those that are due together are
      taken in this order.
    pseudo_labels: see `PseudoLabels`; None if there never are any. Only the
      oracle can say how right they are, for the record.
    most_steps: see `MostSteps`; None if that is not known.
    continues: a round begins with the model of the round before (warm weights,
      self-training), so that repeating a round means repeating all before it.
    warnings: sentences to log after a round's training, by the name of the
      metric that is above 0 when they are true.
    pictures: see `Pictures`; None if there are none. They are made only if
      somebody looks.
    report: test metrics of its own; None if it has none.
    beyond_pool: it trains on made examples, at positions from N on.
    generator: makes examples; None if it cannot.
    variables: see `ModelVariables`; None if predictions are not those of the
      model that it was given. What is exported is the model with these.
  """

  init: InitLearner
  start: Start
  phases: tuple[Phase, ...]
  apply: ApplyLearner
  finite: Finite
  surveys: Mapping[str, Survey] = types.MappingProxyType({})
  pseudo_labels: PseudoLabels | None = None
  most_steps: MostSteps | None = None
  continues: bool = False
  warnings: Mapping[str, str] = types.MappingProxyType({})
  pictures: Pictures | None = None
  report: Report | None = None
  beyond_pool: bool = False
  generator: Generator | None = None
  variables: ModelVariables | None = None

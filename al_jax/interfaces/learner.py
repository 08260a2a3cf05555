"""Interface of learners: pure functions over a state that holds everything."""

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
  """Values that the host may read between steps.

  Attributes:
    done: bool, True once the round's training is over; further steps change
      nothing.
    due: Whether a survey is due before the next step, bool by name. While one
      is due, steps change nothing.
    step: int32, number of steps taken in this round.
    metrics: Scalars of the last whole epoch by name: loss, accuracy, ...
    running: Scalars of the current epoch by name, for observers; NaN at its
      beginning.
    phase: int32, position of the current phase in `Learner.phases`.
  """

  done: jax.Array
  due: Mapping[str, jax.Array]
  step: jax.Array
  metrics: Mapping[str, jax.Array]
  running: Mapping[str, jax.Array] | None = None
  phase: jax.Array | int = 0


class Plan(Protocol):
  """Chooses the examples of the next step."""

  def __call__(
    self, state: LearnerState, pool: PoolState
  ) -> Mapping[str, jax.Array]:
    """Returns pool indices by the name of a batch.

    Args:
      state: State of the learner.
      pool: Labelled set.

    Returns:
      int32[b] each; -1 is padding. A name is the learner's own (`'labelled'`);
      a name that is also the name of a source draws from that source instead of
      the pool.
    """


class Step(Protocol):
  """Takes a step of a phase."""

  def __call__(
    self, state: LearnerState, batches: Mapping[str, Batch], pool: PoolState
  ) -> tuple[LearnerState, Progress]:
    """Returns the state after a step.

    Args:
      state: State of the learner. A step does not change a state that is done,
        waits for a survey, or is in another phase.
      batches: Planned examples by name.
      pool: Labelled set.

    Returns:
      The state, and the values that the host may read.
    """


class Phase(NamedTuple):
  """Part of a round with steps of its own.

  Attributes:
    plan: See `Plan`.
    step: See `Step`.
  """

  plan: Plan
  step: Step


class Absorb(Protocol):
  """Adds the measurements of a survey to the state of a learner."""

  def __call__(
    self, key: jax.Array, state: LearnerState, measured: PyTree, pool: PoolState
  ) -> LearnerState:
    """Returns the state, in which the survey is no longer due.

    Args:
      key: Random key of the survey.
      state: State in which the survey is due.
      measured: Pytree of [N, ...]; zeros in rows that were not measured.
      pool: Labelled set; for a held-out split it has all targets.

    Returns:
      The state with pseudo-labels, cluster ids, a validation loss.
    """


class SurveyWhere(Protocol):
  """Chooses the examples that a survey measures."""

  def __call__(self, state: LearnerState, pool: PoolState) -> jax.Array:
    """Returns bool[N]."""


class Survey(NamedTuple):
  """Measurement of a whole source of examples, taken when it is due.

  Attributes:
    measure: See `Measure`.
    absorb: See `Absorb`.
    source: Source to measure: `'pool'`, or `'validation'`, a held-out split
      whose PoolState has every target revealed.
    where: Examples to measure, see `SurveyWhere`; `absorb` reads no other row.
      If None, all.
  """

  measure: Measure
  absorb: Absorb
  source: str = 'pool'
  where: SurveyWhere | None = None


class MeasureReport(Protocol):
  """Measures the examples of a test split, given their targets."""

  def __call__(
    self, key: jax.Array, apply: Applied, batch: Batch, targets: PyTree
  ) -> PyTree:
    """Returns a pytree of [B, ...].

    Args:
      key: Random key of the evaluation.
      apply: Model, as in `Measure`.
      batch: Examples of the split.
      targets: Targets of the batch, pytree of [B, ...].

    Returns:
      The values from which `ReduceReport` computes metrics.
    """


class ReduceReport(Protocol):
  """Computes metrics from measurements."""

  def __call__(self, measured: PyTree) -> Mapping[str, jax.Array]:
    """Returns a scalar for each declared metric.

    Args:
      measured: Pytree of [N, ...], the whole split.
    """


class Report(NamedTuple):
  """Test metrics of the learner's own, such as how well it ranks losses.

  Attributes:
    measure: See `MeasureReport`.
    reduce: See `ReduceReport`.
    metrics: Metrics that `reduce` returns: names, units, directions, meanings.
  """

  measure: MeasureReport
  reduce: ReduceReport
  metrics: tuple[Metric, ...]


class InitLearner(Protocol):
  """Makes the state of a learner before any round."""

  def __call__(self, key: jax.Array) -> LearnerState:
    """Returns a full-size state, whose shapes are the restore template."""


class Start(Protocol):
  """Begins a round: weights (cold or warm), optimizer, counters."""

  def __call__(
    self, key: jax.Array, state: LearnerState, pool: PoolState
  ) -> LearnerState:
    """Returns the state before the first step.

    Args:
      key: Random key of the round.
      state: State after the previous round, or from `init`.
      pool: Labelled set.

    Returns:
      The state.
    """


class ApplyLearner(Protocol):
  """Evaluates the model of a learner."""

  def __call__(
    self, state: LearnerState, inputs: PyTree, *, keys: jax.Array | None = None
  ) -> ModelOutput:
    """Returns the output of `base.Applied`, with the weights of the state."""


class Finite(Protocol):
  """Checks whether the variables of each network are finite."""

  def __call__(self, state: LearnerState) -> Mapping[str, jax.Array]:
    """Returns a bool by the name of each network."""


class PseudoLabels(Protocol):
  """Returns the pseudo-labels of a learner."""

  def __call__(self, state: LearnerState, pool: PoolState) -> jax.Array:
    """Returns class numbers, int32[N]; -1 where there is no pseudo-label."""


class ModelVariables(Protocol):
  """Returns the weights of the model that the learner was built with."""

  def __call__(self, state: LearnerState) -> PyTree:
    """Returns variables with which the model predicts as `apply` does."""


class MostSteps(Protocol):
  """Bounds the steps of a round, for `--dry_run`."""

  def __call__(self, num_labels: int) -> int | tuple[int, ...]:
    """Returns the maximum steps of a round; for several phases, those of each.

    Args:
      num_labels: Number of labels that the round trains on.
    """


class Pictures(Protocol):
  """Makes sample sheets of a trained round, for people to look at."""

  def __call__(
    self, key: jax.Array, state: LearnerState, pool: PoolState
  ) -> Mapping[str, jax.Array]:
    """Returns images by the name of a sheet; they change no result.

    Args:
      key: Random key of the round's pictures.
      state: State after the round's training.
      pool: Labelled set.

    Returns:
      uint8, or float32 from 0 to 1, [n, height, width] or [n, height, width,
      1 or 3], n at most 100.
    """


class DrawCodes(Protocol):
  """Draws codes from the prior of a generator."""

  def __call__(self, key: jax.Array, number: int) -> jax.Array:
    """Returns float32[number, Z]."""


class Encode(Protocol):
  """Finds the codes from which a generator makes given examples."""

  def __call__(
    self,
    state: LearnerState,
    inputs: PyTree,
    *,
    key: jax.Array | None = None,
  ) -> jax.Array:
    """Returns float32[B, Z].

    Args:
      state: State of the learner.
      inputs: Pytree of [B, ...], raw.
      key: Random key that draws the codes. If None, returns their means.
    """


class Decode(Protocol):
  """Makes examples from codes."""

  def __call__(
    self, state: LearnerState, codes: jax.Array, classes: jax.Array
  ) -> PyTree:
    """Returns a pytree of float32[B, ...] in raw units, not rounded.

    Args:
      state: State of the learner.
      codes: float32[B, Z].
      classes: Classes to make, int32[B]; a generator without classes ignores
        them.
    """


class Realism(Protocol):
  """Scores how real examples look."""

  def __call__(self, state: LearnerState, inputs: PyTree) -> jax.Array:
    """Returns float32[B], log probabilities of being real.

    Args:
      state: State of the learner.
      inputs: Pytree of [B, ...], raw or in raw units.
    """


class Generator(NamedTuple):
  """Smooth functions that make examples with the networks of a learner.

  Attributes:
    prior: See `DrawCodes`.
    encode: See `Encode`.
    decode: See `Decode`.
    realism: See `Realism`.
  """

  prior: DrawCodes
  encode: Encode
  decode: Decode
  realism: Realism


class Learner(NamedTuple):
  """Learner as pure functions over a state that holds everything.

  The state holds the parameters of every network, optimizers, buffers, counters
  and stop rules. Nothing is kept elsewhere, so that saving the state is enough
  to resume. Every leaf keeps its shape, dtype and weak type.

  Attributes:
    init: See `InitLearner`.
    start: See `Start`.
    phases: Phases of a round, usually one. `Progress.phase` is the current one,
      starting from the first.
    apply: See `ApplyLearner`.
    finite: See `Finite`.
    surveys: Surveys by name. Surveys that are due together are taken in this
      order.
    pseudo_labels: See `PseudoLabels`; None if there never are any. Only the
      oracle can say how right they are, for the record.
    most_steps: See `MostSteps`; None if unknown.
    continues: Whether a round begins with the model of the previous round (warm
      weights, self-training), so that repeating a round means repeating all
      rounds before it.
    warnings: Sentences to log after a round's training, each by the name of the
      metric that is above 0 when it applies.
    pictures: See `Pictures`; None if there are none. They are made only on
      request.
    report: Test metrics of the learner's own; None if it has none.
    beyond_pool: Whether it trains on made examples, at pool indices from N on.
    generator: Generator of examples; None if it has none.
    variables: See `ModelVariables`; None if predictions do not come from the
      model that the learner was built with. An export is that model with these
      variables.
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

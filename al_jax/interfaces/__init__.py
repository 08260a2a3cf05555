"""Interfaces of the library: a Learner trains, a Strategy chooses queries.

A system of the literature is a pair of these, and `al_jax.loop` passes the
labelled set through both. Each is a plain tuple of pure functions, whose types
are Protocols with named arguments. Nothing is subclassed and nothing holds
data; the state passed from call to call is an opaque pytree.

Axis letters, here and in every docstring of the library: N pool, B batch,
C classes, D features, S samples, K picks, M made examples.
"""

from al_jax.interfaces.base import (
  Applied,
  Batch,
  Facts,
  LearnerState,
  PyTree,
  StrategyState,
)
from al_jax.interfaces.learner import (
  Generator,
  Learner,
  Phase,
  Progress,
  Report,
  Survey,
)
from al_jax.interfaces.model import ModelFns, ModelOutput, NetFns
from al_jax.interfaces.oracle import Answers, Oracle, Question
from al_jax.interfaces.strategy import (
  Strategy,
  picks_problem,
  result_problem,
)

__all__ = [
  'Answers',
  'Applied',
  'Batch',
  'Facts',
  'Generator',
  'Learner',
  'LearnerState',
  'ModelFns',
  'ModelOutput',
  'NetFns',
  'Oracle',
  'Phase',
  'Progress',
  'PyTree',
  'Question',
  'Report',
  'Strategy',
  'StrategyState',
  'Survey',
  'picks_problem',
  'result_problem',
]

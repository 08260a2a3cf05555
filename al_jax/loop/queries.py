"""Predictions for the queries of a round, for people to look at."""

from typing import NamedTuple

import jax
import numpy as np

from al_jax import pool as pool_lib
from al_jax.interfaces import PyTree
from al_jax.loop.acquisition import Proposal
from al_jax.loop.program import Program
from al_jax.loop.run_state import Run
from al_jax.storage.records import RoundRecord
from al_jax.tasks.base import Targets


class RoundQueries(NamedTuple):
  """The queries at the end of a round.

  Attributes:
    system: name of the system.
    seed: seed of the run.
    round: the trained round.
    picks: int32[k], pool indices in order of choice, without made examples.
    predicted: predictions of the model for them, as targets.
    probabilities: float32[k], probabilities of the predicted classes; None for
      a task that has other parts than classes.
    values: float[k], the score that each was chosen by, see `Strategy.score`.
    score: name of the score; if empty, the values are not shown.
  """

  system: str
  seed: int
  round: int
  picks: np.ndarray
  predicted: Targets
  probabilities: np.ndarray | None
  values: np.ndarray
  score: str


class RoundMade(NamedTuple):
  """The made queries of a round, with their answers.

  Attributes:
    system: name of the system.
    seed: seed of the run.
    round: the round at whose end they were queried.
    ids: names of the examples, which include their origins.
    inputs: pytree of [k, ...], raw.
    targets: pytree of [k, ...], the answers; a filler if there is none.
    is_valid: bool[k], False if the answer is that the example shows nothing.
  """

  system: str
  seed: int
  round: int
  ids: list[str]
  inputs: PyTree
  targets: Targets
  is_valid: np.ndarray


def made_of_round(program: Program, run: Run, record: RoundRecord) -> RoundMade:
  """Collects the made queries of a round and their answers.

  Args:
    program: the compiled system.
    run: the run, after the answers.
    record: record of the round.

  Returns:
    RoundMade.
  """
  picks = np.asarray(record.picks, np.int32)
  is_made = picks >= len(program.ids)
  rows = picks[is_made] - len(program.ids)
  inputs, answers = run.state.pool.made.inputs, run.state.pool.made.answers

  def taken(of):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], of)

  return RoundMade(
    system=program.system.name,
    seed=run.seed,
    round=record.round,
    ids=[record.pick_ids[row] for row in np.flatnonzero(is_made)],
    inputs=taken(inputs),
    targets=taken(answers.targets),
    is_valid=taken(pool_lib.trainable(answers)),
  )


def of_round(program: Program, run: Run, proposal: Proposal) -> RoundQueries:
  """Has the model of a round predict its queries.

  Args:
    program: the compiled system.
    run: the run, after its training.
    proposal: the queries.

  Returns:
    RoundQueries.
  """
  in_pool = proposal.picks < len(program.ids)
  picks = proposal.picks[in_pool]
  predicted, probabilities = program.predict(run.state.learner, picks)
  return RoundQueries(
    system=program.system.name,
    seed=run.seed,
    round=run.round,
    picks=picks,
    predicted=predicted,
    probabilities=probabilities,
    values=proposal.values[in_pool],
    score=program.system.strategy.score,
  )

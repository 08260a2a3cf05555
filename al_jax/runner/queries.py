"""Writes queries.jsonl: the model's predictions for the queries of the pool."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import files
from al_jax.loop.queries import RoundQueries
from al_jax.tasks import Task

NAME = 'queries.jsonl'
# For marks, which are in units of a picture's width.
_DECIMALS = 4


class Said(NamedTuple):
  """Predictions for the queries of a round, in order of choice.

  Attributes:
    picks: pool indices.
    predicted: the predicted targets, spelled out.
    probabilities: probabilities of the predicted classes; None for a task with
      other parts.
    values: the score that each was chosen by.
    score: name of the score; if empty, the values are not shown.
    marks: lines that show each predicted target in its picture, see
      `Task.marks`; empty for targets without a position.
  """

  picks: list[int]
  predicted: list[str]
  probabilities: list[float] | None
  values: list[float]
  score: str
  marks: Sequence[Sequence[Any]] = ()


class QueriesFile:
  """Observer that appends a line for each round of each system and seed."""

  def __init__(self, path: pathlib.Path, task: Task):
    """Writes nothing yet.

    Args:
      path: path of the file.
      task: the task.
    """
    self._path, self._task = path, task

  def on_queries(self, queries: RoundQueries) -> None:
    """Appends the line of a round; none if all queries are made examples."""
    if not len(queries.picks):
      return
    probabilities = queries.probabilities
    targets = list(_rows(queries.predicted, len(queries.picks)))
    marks = [
      [
        np.round(np.asarray(line, float), _DECIMALS).tolist()
        for line in self._task.marks(target)
      ]
      for target in targets
    ]
    said = Said(
      picks=queries.picks.tolist(),
      predicted=[self._task.spell(target) for target in targets],
      probabilities=None if probabilities is None else probabilities.tolist(),
      values=np.asarray(queries.values, float).tolist(),
      score=queries.score,
      marks=marks if any(marks) else (),
    )
    place = {
      'system': queries.system,
      'seed': queries.seed,
      'round': queries.round,
    }
    line = json.dumps(files.json_value({**place, **said._asdict()}))
    files.append_line(self._path, line)


def _rows(targets, number):
  """Yields the target of each example."""
  leaves, form = jax.tree.flatten(targets)
  for row in range(number):
    yield jax.tree.unflatten(form, [leaf[row] for leaf in leaves])


def read(path: pathlib.Path) -> dict[tuple[str, int, int], Said]:
  """Reads the file, by system, seed and round.

  If a round was rerun, its last line counts. Truncated lines are skipped.

  Args:
    path: path of the file; the result is empty if it does not exist.
  """
  found: dict[tuple[str, int, int], Said] = {}
  if not path.exists():
    return found
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      said: dict[str, Any] = json.loads(line)
      place = said.pop('system'), said.pop('seed'), said.pop('round')
      # Infinities are strings in JSON.
      said['values'] = [float(value) for value in said['values']]
      found[place] = Said(**said)
    except (AttributeError, KeyError, TypeError, ValueError):
      continue
  return found

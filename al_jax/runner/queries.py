"""Writes what the model said of each query of the pool: queries.jsonl."""

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
# Of marks, in widths of a picture.
_DECIMALS = 4


class Said(NamedTuple):
  """What the model of a round said of its queries, in order of choice.

  Attributes:
    picks: positions in the pool.
    predicted: the predicted targets, spelled out.
    probabilities: of the predicted classes; None for a task with other parts.
    values: what each was chosen by.
    score: what the values are; empty: nothing to show.
    marks: lines that show each predicted target in its picture, see
      `Task.marks`; empty for targets without a place.
  """

  picks: list[int]
  predicted: list[str]
  probabilities: list[float] | None
  values: list[float]
  score: str
  marks: Sequence[Sequence[Any]] = ()


class QueriesFile:
  """An observer; it adds a line for each round of each system and seed."""

  def __init__(self, path: pathlib.Path, task: Task):
    """Writes nothing yet.

    Args:
      path: of the file.
      task: what is predicted.
    """
    self._path, self._task = path, task

  def on_queries(self, queries: RoundQueries) -> None:
    """Adds the line of a round; none if all queries were made."""
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
  """The target of each example."""
  leaves, form = jax.tree.flatten(targets)
  for row in range(number):
    yield jax.tree.unflatten(form, [leaf[row] for leaf in leaves])


def read(path: pathlib.Path) -> dict[tuple[str, int, int], Said]:
  """Reads the file, by system, seed and round.

  Of a round that was run again the last line counts. A line that was cut short
  is left out.

  Args:
    path: of the file; without it there is nothing.
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

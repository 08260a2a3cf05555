"""What observers see of a run."""

import numpy as np
import pytest

from al_jax.loop import events
from al_jax.storage import checkpoint
from tests.factories import a_task
from tests.loop import runs
from tests.loop.rounds_test import deterministic


@pytest.fixture(scope='module')
def task():
  return a_task()


class Watching:
  def __init__(self):
    self.seen, self.records = [], []

  def on_progress(self, progress):
    self.seen.append(progress)

  def on_record(self, record):
    self.records.append(record)


class WatchingQueries:
  def __init__(self):
    self.queries = []

  def on_queries(self, queries):
    self.queries.append(queries)

  def check(self, rows):
    picks = {(row.seed, row.round): row.picks for row in rows if row.picks}
    found = {(each.seed, each.round): each for each in self.queries}
    assert {at: each.picks.tolist() for at, each in found.items()} == picks
    for each in found.values():
      assert each.system == 'margin' and each.score.startswith('minus the gap')
      assert each.predicted.dtype == np.int32 and len(each.predicted) == 10
      # The least margins come first; two probabilities add up to 1 at most.
      assert np.all(np.diff(each.values) <= 0) and np.all(each.values <= 0)
      assert np.all(each.probabilities <= (1 - each.values) / 2 + 1e-5)


class OnlyRecords:
  def __init__(self):
    self.records = []

  def on_record(self, record):
    self.records.append(record)


@pytest.mark.parametrize('num_lanes', [1, 2])
def test_rounds_under_way_and_records_are_seen(task, num_lanes, monkeypatch):
  monkeypatch.setattr(events, '_SECONDS_BETWEEN', 0.0)
  # Epochs of 20 labels have two steps: most looks are within one.
  margin = runs.compiled(task, 'margin', num_lanes=num_lanes)
  watching, other, asked = Watching(), OnlyRecords(), WatchingQueries()
  seeds = tuple(range(num_lanes))
  rows, _ = runs.run(
    task, margin, seeds=seeds, observers=(watching, other, asked)
  )
  alone, _ = runs.run(task, margin, seeds=seeds)
  assert deterministic(rows) == deterministic(alone)
  assert watching.records == other.records == rows
  asked.check(rows)
  for seed in seeds:
    for number in range(runs.PROTOCOL.rounds):
      of_round = [
        each
        for each in watching.seen
        if (each.seed, each.round) == (seed, number)
      ]
      steps = [each.step for each in of_round]
      assert steps == sorted(set(steps)) and steps
      assert {each.labels for each in of_round} == {20 + 10 * number}
  first = watching.seen[0]
  assert (first.system, first.step) == ('margin', 7)
  assert all(
    np.isfinite(list(each.metrics.values())).all() for each in watching.seen
  )
  assert {'loss', 'accuracy'} == set(first.metrics)


def test_within_a_second_it_is_told_once(task):
  margin = runs.compiled(task, 'margin')
  watching = Watching()
  runs.run(task, margin, observers=(watching,))
  assert len(watching.seen) < 20


def test_earlier_records_of_a_resumed_run_are_seen(task, tmp_path):
  margin = runs.compiled(task, 'margin')
  with checkpoint.Checkpointer(tmp_path / 'run') as saves:
    rows, _ = runs.run(task, margin, checkpointer=saves)
  watching = Watching()
  with checkpoint.Checkpointer(tmp_path / 'run') as saves:
    runs.run(task, margin, checkpointer=saves, observers=(watching,))
  assert watching.records == rows

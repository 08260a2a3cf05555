"""How calls are timed, on ones that take no time."""

import sys

import numpy as np
import pytest

from experiments.benchmarks import peers, table, timing
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Peer


def compiled_call():
  return CompiledCall(lambda x: x + 1, np.ones(4, np.float32))


def test_rates_of_the_machine():
  machine, rows = timing.measure_machine(1, long_enough=1e-6, scaled=1024)
  assert machine.operations_per_second > 0
  assert machine.bytes_per_second > 0
  assert 'GF/s' in table.line(rows[0])
  assert 'GB/s' in table.line(rows[1])


def test_measurements_are_taken_in_turns():
  ours, other = iter([9.0, 1.0, 3.0, 2.0]), iter([9.0, 2.0, 3.0, 8.0])
  first, median, against, ratio = timing.in_turns(
    lambda: next(ours), lambda: next(other), 3
  )
  assert (first, median, against, ratio) == (9.0, 2.0, 3.0, 0.5)


def test_a_peer_that_is_missing_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'faiss', None)
  with pytest.raises(peers.NotInstalled, match='faiss-cpu'):
    peers.faiss_neighbors(np.ones((4, 2), np.float32), 1)
  (row,) = timing.beside(
    'a kernel',
    compiled_call(),
    [Peer('faiss', lambda: peers.imported('faiss', 'faiss-cpu'), at_most=1.0)],
  )
  assert row.seconds > 0
  assert row.ratio is None
  assert row.is_met is None
  assert table.line(row).endswith('faiss-cpu is not installed')


def test_extrapolation_from_few_picks(monkeypatch):
  seconds = {2: 1.0, 6: 3.0}
  monkeypatch.setattr(timing, 'seconds_of', lambda call: seconds[call()])
  assert timing.extrapolated(lambda k: k, 2, 6, 10) == 1.0 + 8 * 0.5


def test_a_bound_and_memory_that_are_aimed_at():
  row = timing.beside_floor('a', compiled_call(), 'the floor', 1e3, at_most=1.5)
  assert row.is_met
  row = row._replace(extra_bytes=2e6, bytes_at_most=1e6)
  assert not row.is_met
  assert 'memory at most 1.0 MB' in table.line(row)
  assert Row('a', 1.0).is_met is None

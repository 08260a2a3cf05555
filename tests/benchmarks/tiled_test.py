"""The benchmark of selections from files, on a small pool."""

import pytest

from experiments.benchmarks import tiled

POOL = tiled.Pool(3_000, 12, 'float16', part=500)


@pytest.mark.parametrize('name', tiled.SELECTIONS)
def test_a_selection_from_files_is_that_in_memory(name, tmp_path):
  tiled.make(POOL, tmp_path)
  found = tiled.select(name, POOL, 30, tmp_path)
  assert found.picks == 30 and found.are_equal
  assert 1 <= found.passes <= 4
  assert found.peak_bytes > 0 and found.seconds > 0

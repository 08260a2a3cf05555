"""Rows of the table."""

from experiments.benchmarks import table
from experiments.benchmarks.table import Row


def test_a_row_says_whether_the_aim_is_met():
  row = Row('a', 0.002, 0.004, 'b', 0.5, at_most=0.4)
  assert table.line(row).endswith('NO')
  assert table.line(row._replace(at_most=0.6)).endswith('yes')
  assert table.line(row._replace(enough=0.01)).endswith('yes')
  assert '2.000 ms' in table.line(row)
  assert '3.50 s' in table.line(row._replace(compiling=3.5))

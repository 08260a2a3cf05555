"""Each measurement once, far too small to say how fast anything is."""

import pytest

from experiments.benchmarks import convolutions, table


@pytest.mark.parametrize('name', ['dilation 2', 'max pool 3x3, stride 2'])
def test_a_layer_beside_others(name):
  layers = convolutions.pairs(batch=1, side=4, channels=16)
  (layer,) = (pair for pair in layers if pair.name == name)
  rows = list(convolutions.measure([layer], repeats=1))
  assert len(rows) == (4 if layer.plain else 3)
  for row in rows:
    assert row.seconds > 0
    assert row.against > 0
    assert row.what in table.line(row)


def test_plain_convolutions_have_as_many_operations():
  """Products are kernel, times pixels that it is applied to."""
  for pair in convolutions.pairs(batch=1, side=8, channels=16):
    if pair.plain is None:
      continue
    counts = [
      convolutions.products(*layer)
      for layer in ((pair.ours, pair.shape), pair.plain)
    ]
    assert counts[0] == counts[1], pair.name

import re

import matplotlib.colors
import numpy as np
import pytest

from al_jax import plotting
from al_jax.plotting import style
from al_jax.plotting.scatter import medians

LABELS = {'x_label': 'predicted', 'y_label': 'true'}


def some_points(rng, size):
  return np.exp(rng.normal(size=(2, size)))


def test_medians_are_of_equal_parts_along_x(rng):
  x, y = some_points(rng, 200)
  found = medians(x, y)
  order = sorted(range(200), key=lambda i: x[i])
  parts = [order[10 * i : 10 * i + 10] for i in range(20)]
  np.testing.assert_allclose(found[0], [np.median(x[part]) for part in parts])
  np.testing.assert_allclose(found[1], [np.median(y[part]) for part in parts])


@pytest.mark.parametrize(('size', 'number'), [(1, 1), (9, 1), (10, 2)])
def test_few_points_have_few_medians(rng, size, number):
  x, y = some_points(rng, size)
  found = medians(x, y)
  assert [len(of) for of in found] == [number, number]
  if number == 1:
    assert found[1] == np.median(y)


def test_each_system_has_a_panel_and_its_colour(tmp_path, rng):
  points = {name: some_points(rng, 30) for name in ('a$b', 'second', 'third')}
  path = tmp_path / 'points.svg'
  order = ['random', *points]
  figure = plotting.scatter(
    points, path, logarithmic_y=True, systems=order, title='data', **LABELS
  )
  texts = re.findall(r'<!-- (.*?) -->', path.read_text())
  for name in (*points, 'data'):
    assert texts.count(name) == 1, name
  assert texts.count('predicted') == 3 and texts.count('true') == 2
  panels = [axes for axes in figure.axes if axes.axison]
  for axes, (system, (x, y)) in zip(panels, points.items(), strict=True):
    (drawn,) = axes.collections
    np.testing.assert_allclose(drawn.get_offsets(), np.stack([x, y], axis=1))
    colour = style.COLOURS[order.index(system)]
    assert matplotlib.colors.to_hex(drawn.get_facecolor()) == (colour.lower())
    assert (axes.get_xscale(), axes.get_yscale()) == ('linear', 'log')
  # Pixels: a thousand points take no more room than thirty.
  before = path.stat().st_size
  plotting.scatter({'many': some_points(rng, 2000)}, path, **LABELS)
  assert path.stat().st_size < 4 * before


def test_without_a_system_there_is_no_picture():
  with pytest.raises(ValueError, match='points is empty'):
    plotting.scatter({}, None, **LABELS)

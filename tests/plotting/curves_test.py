import re

import numpy as np
import pytest

from al_jax import plotting
from al_jax.analysis import curves
from al_jax.plotting import style


def a_curve(mean, labels=(10, 20, 30), error=0.01):
  size = len(labels)
  return curves.Curve(
    np.array(labels),
    np.full(size, mean) + np.arange(size) / 100,
    np.full(size, error),
    np.full(size, 3),
  )


def drawn(tmp_path, panels, **options):
  """The picture as text; a comment goes before each text in an SVG."""
  path = tmp_path / 'panels.svg'
  plotting.curve_panels(panels, path, **options)
  return path.read_text()


def texts(svg):
  return re.findall(r'<!-- (.*?) -->', svg)


def test_panels_have_one_legend_and_their_names(tmp_path):
  panels = {
    'test.accuracy': {'random': a_curve(0.5), 'margin': a_curve(0.6)},
    'test.log_loss': {'random': a_curve(1.5), 'margin': a_curve(1.2)},
  }
  shares = ['test.accuracy']
  found = texts(drawn(tmp_path, panels, title='a title', in_percent=shares))
  for name in ('test accuracy', 'test log loss', 'a title', 'random', '50%'):
    assert found.count(name) == 1, name
  assert 'mean ± s.e., 3 seeds' in found


def test_systems_are_named_in_the_order_in_which_they_end(tmp_path):
  curves = {'low': a_curve(0.1), 'high': a_curve(0.9), 'middle': a_curve(0.5)}
  found = texts(drawn(tmp_path, {'accuracy': curves}, references={'top': 0.8}))
  names = [name for name in found if name in (*curves, 'top')]
  assert names == ['top', 'high', 'middle', 'low']


def test_a_system_keeps_its_colour_in_another_picture(tmp_path):
  order = ['random', 'margin', 'badge']
  colours = [colour.lower() for colour in style.COLOURS]
  svg = drawn(tmp_path, {'accuracy': {'badge': a_curve(0.5)}}, systems=order)
  assert colours[2] in svg and colours[0] not in svg


def test_what_is_not_finite_is_left_out(tmp_path):
  curve = a_curve(0.5)._replace(
    mean=np.array([np.nan, -np.inf, np.inf]), standard_error=[np.nan] * 3
  )
  svg = drawn(tmp_path, {'a': {'x': curve, 'y': a_curve(0.5)}})
  assert 'nan' not in svg.lower() and 'inf' not in svg.lower()
  drawn(tmp_path, {'a': {'x': curve}})


def test_the_horizontal_axis_counts_or_is_logarithmic(tmp_path):
  wide = {'a': {'x': a_curve(0.5, labels=(2, 20, 2000))}}
  options = {'x_label': 'samples', 'count': None}
  found = texts(drawn(tmp_path, wide, logarithmic_x=True, **options))
  assert 'samples' in found and '1,000' in found and '10' in found
  assert not any('s.e.' in text for text in found)
  found = texts(drawn(tmp_path, wide, **options))
  assert '1,000' in found and '10' not in found


def test_few_places_have_their_ticks_and_shares_have_some(tmp_path):
  few = {'y': {'x': a_curve(0.5, labels=(17, 37, 57, 77))}}
  found = texts(drawn(tmp_path, few))
  assert {'17', '37', '57', '77'} <= set(found) and '40' not in found
  shares = {'y': {'x': a_curve(0.5, labels=(0.05, 0.5, 0.95))}}
  found = texts(drawn(tmp_path, shares, x_label='share'))
  assert {'0.2', '0.4', '0.6', '0.8'} <= set(found)


def test_one_point_and_one_seed_are_drawn(tmp_path):
  one = curves.Curve(*map(np.array, ([10], [0.5], [np.nan], [1])))
  assert 'one seed' in texts(drawn(tmp_path, {'accuracy': {'x': one}}))


def test_panels_on_the_same_scale_show_the_same_range(tmp_path):
  panels = {'low': {'x': a_curve(0.1)}, 'high': {'x': a_curve(0.9)}}
  apart = texts(drawn(tmp_path, panels))
  together = texts(drawn(tmp_path, panels, same_scale=[['low', 'high']]))
  assert apart.count('0.900') == 1
  assert together.count('0.8') == together.count('0.2') == 2


def test_no_curve_is_refused(tmp_path):
  with pytest.raises(ValueError, match='panels has no curve'):
    plotting.curve_panels({'a': {}}, tmp_path / 'a.svg')

import re

import numpy as np
import pytest

from al_jax import plotting
from al_jax.analysis import comparison
from al_jax.plotting import style
from al_jax.tasks import Metric


def a_matrix():
  matrix = np.array([[0, 0, 0.25], [1.75, 0, 12], [0, 0, 0]])
  return comparison.PenaltyMatrix(
    ('random', 'margin', 'badge'), matrix, matrix.mean(0), 13
  )


def texts(path):
  return re.findall(r'<!-- (.*?) -->', path.read_text())


def test_the_matrix_shows_every_number_but_the_diagonal(tmp_path):
  path = tmp_path / 'matrix.svg'
  plotting.penalty_matrix(a_matrix(), path, title='by batch')
  found = texts(path)
  numbers = [text for text in found if re.fullmatch(r'[\d.]+', text)]
  # Best first: margin, random, badge; the column means come last.
  assert numbers == ['1.75', '12', '0', '0.25', '0', '0', '0', '0.58', '4.08']
  assert 'by batch' in found


def test_the_order_of_the_matrix_can_be_chosen(tmp_path):
  path = tmp_path / 'matrix.svg'
  order = ['badge', 'not there', 'random', 'margin']
  plotting.penalty_matrix(a_matrix(), path, order=order)
  names = [text for text in texts(path) if text in a_matrix().systems]
  assert names[:3] == names[3:] == ['badge', 'random', 'margin']


def test_a_matrix_without_any_win_is_drawn(tmp_path):
  nothing = comparison.PenaltyMatrix(
    ('a', 'b'), np.zeros((2, 2)), np.zeros(2), 1
  )
  plotting.penalty_matrix(nothing, tmp_path / 'matrix.png')
  assert list(tmp_path.iterdir()) == [tmp_path / 'matrix.png']


def test_error_distributions_name_each_system(tmp_path):
  path = tmp_path / 'errors.svg'
  found = {
    'random': comparison.weighted_cdf([1, 1], [1, 1]),
    'margin': comparison.weighted_cdf([0.5, 0.8, 0.1], [1, 1, 1]),
  }
  plotting.error_distributions(found, path, title='a title')
  shown = texts(path)
  assert {'random', 'margin', 'a title', '100%', '0.2'} <= set(shown)
  with pytest.raises(ValueError, match='found is empty'):
    plotting.error_distributions({}, path)


def test_time_against_score_draws_each_system_in_its_colour(tmp_path):
  path = tmp_path / 'time.svg'
  points = {
    'margin': (0.5, 0.9, 0.01),
    'random': (0.0, 0.8, np.nan),
  }
  order = ['random', 'badge', 'margin']
  plotting.time_against_score(points, path, systems=order)
  svg = path.read_text().lower()
  colours = [colour.lower() for colour in style.COLOURS]
  assert colours[0] in svg and colours[2] in svg and colours[1] not in svg
  assert {'margin', 'random', '90%'} <= set(texts(path))
  with pytest.raises(ValueError, match='points is empty'):
    plotting.time_against_score({}, path)


def test_times_that_are_alike_still_have_numbers(tmp_path):
  path = tmp_path / 'time.svg'
  points = {'a': (2.1, 0.5, 0.1), 'b': (2.9, 0.6, 0.1)}
  score = Metric('test.rmse', '', False)
  plotting.time_against_score(points, path, metric=score)
  assert 'test RMSE' in texts(path) and '%' not in ''.join(texts(path))
  shown = [text for text in texts(path) if re.fullmatch(r'[\d.]+', text)]
  assert {'0', '1', '2', '3'} <= {text.removesuffix('.0') for text in shown}


def test_bars_are_as_long_as_their_parts(tmp_path, monkeypatch):
  figures = []
  monkeypatch.setattr(
    style, 'save', lambda figure, path: figures.append(figure)
  )
  plotting.stacked_bars(
    {'random': {'fit': 1, 'select': 2}, 'margin': {'fit': 3}},
    tmp_path / 'bars.svg',
    x_label='seconds',
  )
  fit, select = figures[0].axes[0].containers
  assert [bar.get_width() for bar in fit] == [1, 3]
  assert [bar.get_x() for bar in select] == [1, 3]
  assert [bar.get_width() for bar in select] == [2, 0]
  with pytest.raises(ValueError, match='parts is empty'):
    plotting.stacked_bars({}, tmp_path / 'bars.svg', x_label='')

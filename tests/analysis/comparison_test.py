import math

import numpy as np
import pytest
import scipy.stats

from al_jax.analysis import comparison
from al_jax.tasks import Metric

RMSE = Metric('test.rmse', '', False)


def runs_of(curves):
  """Accuracy by system, seed and labels, of lists over seeds by labels."""
  return {
    system: {
      seed: {labels: values[seed] for labels, values in points.items()}
      for seed in range(len(next(iter(points.values()))))
    }
    for system, points in curves.items()
  }


def by_hand():
  """Two cells of three seeds, for which |t| > 4.303 is a win."""
  # random is at its end at 50: the checkpoints are 10, 20 and 30.
  first = runs_of(
    {
      'random': {
        10: [0.4, 0.5, 0.6],
        20: [0.6, 0.6, 0.6],
        30: [0.7, 0.7, 0.7],
        40: [0.8, 0.8, 0.8],
        50: [1.0, 1.0, 1.0],
      },
      # Less random: nothing; always 0.1; 0.01, 0.02, 0.03 (t = 3.46).
      'a': {
        10: [0.4, 0.5, 0.6],
        20: [0.7, 0.7, 0.7],
        30: [0.71, 0.72, 0.73],
      },
      # Less random: nothing; twice -0.02, -0.03, -0.04 (t = -5.2). a less b:
      # nothing; 0.12, 0.13, 0.14 (t = 22.5); 0.03, 0.05, 0.07 (t = 4.33).
      'b': {
        10: [0.4, 0.5, 0.6],
        20: [0.58, 0.57, 0.56],
        30: [0.68, 0.67, 0.66],
      },
    }
  )
  # At 20 labels random has all it will get: 10 is the only checkpoint.
  second = runs_of(
    {
      'random': {10: [0.5, 0.6, 0.7], 20: [0.9, 0.9, 0.9]},
      'a': {10: [0.6, 0.7, 0.8], 20: [0.1, 0.1, 0.1]},
      'b': {10: [0.5, 0.6, 0.7], 20: [0.9, 0.9, 0.9]},
    }
  )
  return [
    comparison.CellScores(first, {'batch': '10', 'model': 'mlp'}),
    comparison.CellScores(second, {'batch': '100', 'model': 'mlp'}),
  ]


def straight(cells):
  """The matrix as the text has it, with loops over recorded accuracies."""
  systems = list(cells[0])
  total = np.zeros((len(systems), len(systems)))
  for accuracies in cells:
    random = accuracies['random']
    end = max(random[0])

    def mean(labels, random=random):
      return np.mean([random[seed][labels] for seed in random])

    first, *later = sorted(random[0])
    at, k = [first], 1
    while later:
      labels = first + 2 ** (k - 1) * (later[0] - first)
      if labels > end or mean(labels) / mean(end) > 0.99:
        break
      at.append(labels)
      k += 1
    for labels in at:
      for i, a in enumerate(systems):
        for j, b in enumerate(systems):
          size = min(5, len(random))
          z = np.array(
            [
              accuracies[a][r][labels] - accuracies[b][r][labels]
              for r in range(size)
            ]
          )
          if i == j or size <= 1:
            continue
          if np.std(z, ddof=1) == 0:
            won = np.mean(z) > 0
          else:
            p_value = scipy.stats.ttest_1samp(z, 0).pvalue
            won = np.mean(z) > 0 and p_value < 0.05
          total[i, j] += won / len(at)
  return systems, total


def test_the_matrix_by_hand():
  found = comparison.penalty_matrix(by_hand())
  assert found.systems == ('random', 'a', 'b')
  expected = [[0, 0, 2 / 3], [1 / 3 + 1, 0, 2 / 3 + 1], [0, 0, 0]]
  np.testing.assert_allclose(found.matrix, expected)
  np.testing.assert_allclose(found.column_mean, [4 / 9, 0, 7 / 9])
  assert found.cells == 2


@pytest.mark.parametrize('seeds', [1, 2, 5, 7])
def test_the_matrix_agrees_with_a_straight_reference(rng, seeds):
  for _ in range(4):
    cells = []
    for rounds, batch in ((6, 10), (12, 7), (1, 10), (2, 100)):
      labels = [10 + batch * number for number in range(rounds)]
      # Steps of 1/16 are exact: ties and zero variances are frequent.
      cells.append(
        {
          system: {
            seed: {
              n: (k + skill + rng.integers(0, 3)) / 16
              for k, n in enumerate(labels, start=1)
            }
            for seed in range(seeds)
          }
          for system, skill in (('random', 0), ('a', 1), ('b', 2), ('c', 1))
        }
      )
    systems, expected = straight(cells)
    found = comparison.penalty_matrix(
      [comparison.CellScores(accuracies) for accuracies in cells]
    )
    assert list(found.systems) == systems
    np.testing.assert_allclose(found.matrix, expected)
    np.testing.assert_allclose(found.column_mean, expected.mean(0))
    assert np.any(expected > 0) == (seeds > 1)


def test_checkpoints_double_their_distance():
  rising = {n: n / 10_000 for n in range(100, 2001, 100)}
  found = comparison.checkpoints({0: rising})
  assert found == [100, 200, 300, 500, 900, 1700]


def test_checkpoints_stop_where_random_is_nearly_done():
  def checkpoints(at_400):
    return comparison.checkpoints(
      {0: {100: 0.1, 200: 0.5, 300: 0.9, 400: 0.95, 500: at_400, 600: 1.0}}
    )

  assert checkpoints(0.99) == [100, 200, 300, 500]
  assert checkpoints(0.991) == [100, 200, 300]
  # Whatever comes later does not count, even if it is lower.
  falling = {100: 0.1, 200: 0.999, 300: 0.5, 400: 1.0}
  assert comparison.checkpoints({0: falling}) == [100]


def test_the_first_set_is_a_checkpoint_even_if_nothing_is_learned():
  assert comparison.checkpoints({0: {100: 0.9}}) == [100]
  assert comparison.checkpoints({0: {100: 0.0, 200: 0.0}}) == [100, 200]


def test_labels_that_only_some_seeds_have_are_no_end():
  whole = {100: 0.1, 200: 0.2, 300: 0.3, 400: 0.4, 500: 0.5}
  part = {n: value for n, value in whole.items() if n <= 300}
  assert comparison.checkpoints({0: whole, 1: part}) == [100, 200]
  with pytest.raises(ValueError, match='no number of labels'):
    comparison.checkpoints({0: {100: 0.1}, 1: {200: 0.1}})


def test_rounds_of_different_sizes_are_refused():
  with pytest.raises(ValueError, match='no record at 300 labels'):
    comparison.checkpoints({0: {100: 0.1, 200: 0.2, 350: 0.3}})


def test_a_win_needs_the_critical_value():
  # With R = 5 that is |t| > 2.776: differences of mean m and deviation 1.
  shape = np.array([-1, -1, 0, 1, 1]) * 1.0
  base = {seed: {10: 0.0} for seed in range(5)}

  def beats(mean):
    return comparison.beats(
      {seed: {10: mean + shape[seed]} for seed in range(5)}, base, 10
    )

  assert beats(2.777 / np.sqrt(5))
  assert not beats(2.776 / np.sqrt(5))
  assert not beats(-10.0)


def test_only_the_first_five_common_seeds_are_compared():
  a = {seed: {10: 0.6} for seed in range(9)}
  b = {seed: {10: 0.5 if seed < 6 else 0.9} for seed in (8, 7, 6, 5, 4, 3, 1)}
  assert not comparison.beats(a, b, 10)
  assert comparison.beats(a, {**b, 0: {10: 0.5}, 2: {10: 0.5}}, 10)


def test_fewer_than_two_pairs_are_no_win():
  a, b = {0: {10: 0.9}, 1: {10: 0.9}}, {0: {10: 0.1}, 1: {20: 0.1}}
  assert not comparison.beats(a, b, 10)
  assert not comparison.beats(a, {7: {10: 0.1}, 8: {10: 0.1}}, 10)


def test_systems_that_a_cell_lacks():
  first, second = by_hand()
  lacking = comparison.CellScores(
    {name: second.runs[name] for name in ('a', 'random')}
  )
  found = comparison.penalty_matrix([first, lacking])
  assert found.systems == ('random', 'a')
  with pytest.raises(ValueError, match="System 'b' is not known"):
    comparison.penalty_matrix([first, lacking], systems=['a', 'b'])
  with pytest.raises(ValueError, match="System 'rand' is not known"):
    comparison.penalty_matrix([first], baseline='rand')
  with pytest.raises(ValueError, match='cells is empty'):
    comparison.penalty_matrix([])


def errors_of(cells):
  """The same cells in errors, of which smaller is better."""
  return [
    comparison.CellScores(
      {
        system: {
          seed: {labels: 1 - value for labels, value in run.items()}
          for seed, run in by_seed.items()
        }
        for system, by_seed in cell.runs.items()
      },
      cell.axes,
      RMSE,
    )
    for cell in cells
  ]


def test_the_matrix_of_errors_by_hand():
  # Halved, so that no error is 0.
  shifted = [
    cell._replace(
      runs={
        system: {
          seed: {labels: value / 2 for labels, value in run.items()}
          for seed, run in by_seed.items()
        }
        for system, by_seed in cell.runs.items()
      }
    )
    for cell in by_hand()
  ]
  found = comparison.penalty_matrix(errors_of(shifted))
  expected = comparison.penalty_matrix(by_hand())
  np.testing.assert_allclose(found.matrix, expected.matrix)


def test_checkpoints_stop_where_the_error_of_random_is_nearly_done():
  def checkpoints(at_300):
    falling = {100: 2.0, 200: 1.5, 300: at_300, 400: 1.2, 500: 1.0}
    return comparison.checkpoints({0: falling}, larger_is_better=False)

  assert checkpoints(1.02) == [100, 200, 300]
  assert checkpoints(1.01) == [100, 200]


def test_the_lowest_error_is_first():
  errors = {'a': 2.0, 'b': 1.0, 'c': 2.0}
  found = comparison.ranks(errors, larger_is_better=False)
  assert found == {'a': 2.5, 'b': 1, 'c': 2.5}
  found = comparison.mean_ranks([errors], larger_is_better=False)
  assert next(iter(found)) == 'b'


def test_errors_are_normalised_as_they_are():
  runs = {
    'random': {0: {10: 4.0, 20: 3.0, 30: 2.0}},
    'a': {0: {10: 3.0, 20: 3.0}},
  }
  found = comparison.normalised_errors([comparison.CellScores(runs, {}, RMSE)])
  np.testing.assert_allclose(found['a'].values, [0.75, 1])


def test_cells_are_grouped_by_an_axis():
  cells = by_hand()
  assert comparison.by_axis(cells[::-1], 'batch') == {
    '10': cells[:1],
    '100': cells[1:],
  }
  assert comparison.by_axis(cells, 'model') == {'mlp': cells}
  assert comparison.by_axis(cells, 'data') == {}


def test_numbers_are_sorted_by_value():
  values = ['mlp', '1000', '20', 'cnn', '100']
  assert sorted(values, key=comparison.numbers_first) == [
    '20',
    '100',
    '1000',
    'cnn',
    'mlp',
  ]


def test_the_highest_score_is_first_and_ties_share():
  found = comparison.ranks({'a': 0.5, 'b': 0.9, 'c': 0.5, 'd': 0.1})
  assert found == {'a': 2.5, 'b': 1, 'c': 2.5, 'd': 4}


def test_mean_ranks_by_hand():
  found = comparison.mean_ranks(
    [{'a': 0.1, 'b': 0.2, 'c': 0.3}, {'c': 0.8, 'b': 0.9, 'a': 0.1}]
  )
  assert list(found) == ['b', 'c', 'a']
  assert found['b'] == pytest.approx((1.5, 0.5, 2))
  assert found['a'] == pytest.approx((3, 0, 2))


def test_systems_that_a_cell_lacks_are_not_ranked():
  found = comparison.mean_ranks([{'a': 1, 'b': 2, 'c': 3}, {'a': 2, 'c': 1}])
  assert set(found) == {'a', 'c'}
  assert found['a'].mean == 1.5


def test_one_cell_has_no_error_and_none_is_refused():
  assert math.isnan(comparison.mean_ranks([{'a': 1.0}])['a'].standard_error)
  with pytest.raises(ValueError, match='scores is empty'):
    comparison.mean_ranks([])


def test_means_that_differ_by_rounding_share_their_rank():
  counts = {'a': (240, 313, 226, 215), 'b': (240, 319, 220, 215), 'c': (1, 2)}
  means = {
    name: float(np.mean([float(np.float32(n) / np.float32(360)) for n in of]))
    for name, of in counts.items()
  }
  assert comparison.ranks(means) == {'a': 1.5, 'b': 1.5, 'c': 3}


def cell(**curves):
  """One seed; a curve is a list of accuracies at 10, 20, ... labels."""
  return comparison.CellScores(
    {
      system: {0: {10 * (i + 1): value for i, value in enumerate(values)}}
      for system, values in curves.items()
    }
  )


def test_the_distribution_by_hand():
  cells = [
    # Checkpoints 10 and 20: ratios 1 and 0.5, of weight 1/2 each.
    cell(random=[0.5, 0.6, 0.9], a=[0.5, 0.8, 0.9]),
    # Checkpoint 10: ratio 0.75, of weight 1.
    cell(random=[0.6, 0.6], a=[0.7, 0.7]),
  ]
  found = comparison.normalised_errors(cells)
  np.testing.assert_allclose(found['a'].values, [0.5, 0.75, 1])
  np.testing.assert_allclose(found['a'].cumulative, [0.25, 0.75, 1])
  np.testing.assert_array_equal(found['random'].values, [1, 1, 1])


def test_seeds_are_averaged_before_the_ratio_is_taken():
  runs = {
    'random': {0: {10: 0.2}, 1: {10: 0.8}},
    'a': {0: {10: 0.6}, 1: {10: 0.9}},
  }
  found = comparison.normalised_errors([comparison.CellScores(runs)])
  np.testing.assert_allclose(found['a'].values, [0.25 / 0.5])


def test_a_checkpoint_without_errors_of_random_counts_on_neither_side():
  cells = [
    cell(random=[1.0, 1.0], a=[0.5, 1.0]),
    cell(random=[0.5, 0.6, 0.9], a=[0.5, 0.8, 0.9]),
  ]
  found = comparison.normalised_errors(cells)
  np.testing.assert_allclose(found['a'].values, [0.5, 1])
  np.testing.assert_allclose(found['a'].cumulative, [0.5, 1])
  assert comparison.normalised_errors(cells[:1]) == {}


def test_a_checkpoint_without_a_record_counts_on_neither_side():
  short = cell(random=[0.5, 0.6, 0.9], a=[0.75])
  found = comparison.normalised_errors([short])
  np.testing.assert_allclose(found['a'].values, [0.5])
  np.testing.assert_allclose(found['a'].cumulative, [1])
  assert len(found['random'].values) == 2


def test_the_distribution_agrees_with_counting(rng):
  values, weights = rng.random(20), rng.random(20)
  found = comparison.weighted_cdf(values, weights)
  for value, share in zip(*found, strict=True):
    below = weights[values <= value].sum() / weights.sum()
    assert share == pytest.approx(below)
  with pytest.raises(ValueError, match=r'\(0,\) and weights \(0,\)'):
    comparison.weighted_cdf([], [])


def test_a_cell_without_the_baseline_is_refused():
  with pytest.raises(ValueError, match="System 'random' is not known"):
    comparison.normalised_errors([cell(a=[0.5])])

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from al_jax.analysis import tests


def by_seed(values):
  return dict(enumerate(map(float, values)))


def enumerated(differences):
  """The exact p-value, over all signs of the differences that are not 0."""
  differences = np.array([d for d in differences if d])
  ranks = scipy.stats.rankdata(abs(differences))
  found = abs(sum(np.sign(differences) * ranks))
  sums = [
    abs(sum(np.array(signs) * ranks))
    for signs in itertools.product([-1, 1], repeat=len(ranks))
  ]
  return np.mean([total >= found - 1e-12 for total in sums])


def test_holm_by_hand():
  # 3 * 0.01, then 2 * 0.02, then the larger of 0.03 and the one before.
  corrected = tests.holm([0.03, 0.01, 0.02])
  np.testing.assert_allclose(corrected, [0.04, 0.03, 0.04])
  np.testing.assert_allclose(tests.holm([0.9, 0.6]), [1, 1])
  assert tests.holm([]).size == 0


def test_holm_leaves_out_what_is_no_test():
  corrected = tests.holm([math.nan, 0.01, 0.02])
  np.testing.assert_allclose(corrected, [math.nan, 0.02, 0.02])


def test_wilcoxon_agrees_with_scipy_without_ties(rng):
  for n in (2, 5, 10, 14):
    a, b = rng.normal(0.5, 1, n), rng.normal(0, 1, n)
    expected = scipy.stats.wilcoxon(a, b, method='exact').pvalue
    found = tests.wilcoxon(by_seed(a), by_seed(b))
    assert found == pytest.approx(expected)


def test_wilcoxon_counts_ties_and_zeros_exactly(rng):
  for _ in range(30):
    differences = rng.integers(-2, 4, size=7)
    if differences.any():
      found = tests.wilcoxon(by_seed(differences), by_seed([0] * 7))
      assert found == pytest.approx(enumerated(differences))


def test_five_seeds_that_all_win_have_one_sixteenth():
  assert tests.wilcoxon(by_seed([2, 2, 2, 3, 4]), by_seed([1] * 5)) == (
    pytest.approx(1 / 16)
  )


def test_differences_of_float32_tie_where_they_are_the_same():
  # As accuracies come: these differences are 0.1, but for rounding.
  a = by_seed(np.float32([0.7, 0.5, 0.9, 0.3, 0.1]))
  b = by_seed(np.float32([0.6, 0.4, 0.8, 0.2, 0.3]))
  tenths = [1, 1, 1, 1, -2]
  assert len({a[i] - b[i] for i in range(4)}) > 1
  assert tests.wilcoxon(a, b) == pytest.approx(enumerated(tenths))


def test_many_pairs_are_approximated(rng):
  a, b = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
  exact = scipy.stats.wilcoxon(a, b, method='exact').pvalue
  found = tests.wilcoxon(by_seed(a), by_seed(b))
  assert found == pytest.approx(exact, abs=0.01)


def test_wilcoxon_of_equal_differences_one_pair_and_no_pair():
  same = by_seed([0.5, 0.6])
  assert math.isnan(tests.wilcoxon(same, same))
  assert math.isnan(tests.wilcoxon(by_seed([0, 0]), by_seed([0, 0])))
  assert math.isnan(tests.wilcoxon(by_seed([0.2] * 9), by_seed([0.7] * 9)))
  assert math.isnan(tests.wilcoxon({0: 1.0}, {0: 0.5}))
  with pytest.raises(ValueError, match='pairs need a common one'):
    tests.wilcoxon({0: 1.0}, {1: 0.5})


def test_every_system_is_tested_against_the_baseline(rng):
  values = {
    name: by_seed(rng.normal(shift, 1, 6))
    for name, shift in (('random', 0), ('margin', 3), ('badge', 1))
  }
  values['apart'] = {100: 1.0}
  found = tests.against_baseline(values, 'random')
  assert list(found) == ['margin', 'badge']
  base = list(values['random'].values())
  p_values = [
    scipy.stats.ttest_rel(list(values[name].values()), base).pvalue
    for name in found
  ]
  for name, p_value, corrected in zip(
    found, p_values, tests.holm(p_values), strict=True
  ):
    assert found[name].difference.p_value == pytest.approx(p_value)
    assert found[name].t_holm == pytest.approx(corrected)
    assert found[name].wilcoxon_holm >= found[name].wilcoxon
  with pytest.raises(ValueError, match=r"'randm' is not known.*'random'"):
    tests.against_baseline(values, 'randm')


@pytest.mark.parametrize(
  ('ours', 'theirs', 'size', 'p_value'),
  [
    ((216, 224, 223, 219, 216), (214, 219, 217, 221, 212), 360, 0.1875),
    (
      (6295, 6284, 6147, 6218, 6170),
      (6289, 6288, 6149, 6222, 6172),
      10000,
      0.6875,
    ),
  ],
)
def test_equal_differences_of_rounded_shares_tie(ours, theirs, size, p_value):
  a, b = (
    {i: float(np.float32(n) / np.float32(size)) for i, n in enumerate(counts)}
    for counts in (ours, theirs)
  )
  assert tests.wilcoxon(a, b) == p_value

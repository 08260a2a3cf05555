import math

import numpy as np
import pytest

from al_jax.analysis import ranks


def test_the_highest_score_is_first_and_ties_share():
  found = ranks.ranks({'a': 0.5, 'b': 0.9, 'c': 0.5, 'd': 0.1})
  assert found == {'a': 2.5, 'b': 1, 'c': 2.5, 'd': 4}


def test_mean_ranks_by_hand():
  found = ranks.mean_ranks(
    [{'a': 0.1, 'b': 0.2, 'c': 0.3}, {'c': 0.8, 'b': 0.9, 'a': 0.1}]
  )
  assert list(found) == ['b', 'c', 'a']
  assert found['b'] == pytest.approx((1.5, 0.5, 2))
  assert found['a'] == pytest.approx((3, 0, 2))


def test_systems_that_a_setting_lacks_are_not_ranked():
  found = ranks.mean_ranks([{'a': 1, 'b': 2, 'c': 3}, {'a': 2, 'c': 1}])
  assert set(found) == {'a', 'c'}
  assert found['a'].mean == 1.5


def test_one_setting_has_no_error_and_none_is_refused():
  assert math.isnan(ranks.mean_ranks([{'a': 1.0}])['a'].standard_error)
  with pytest.raises(ValueError, match='scores is empty'):
    ranks.mean_ranks([])


def test_means_that_differ_by_rounding_share_their_rank():
  counts = {'a': (240, 313, 226, 215), 'b': (240, 319, 220, 215), 'c': (1, 2)}
  means = {
    name: float(np.mean([float(np.float32(n) / np.float32(360)) for n in of]))
    for name, of in counts.items()
  }
  assert ranks.ranks(means) == {'a': 1.5, 'b': 1.5, 'c': 3}

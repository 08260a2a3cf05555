import itertools

import jax
import numpy as np
import pytest

from al_jax import keys

PURPOSES = {
  'INITIALISE': 0,
  'FIRST_SET': 1,
  'START': 2,
  'SURVEY': 3,
  'MEASURE': 4,
  'SELECT': 5,
  'ORACLE': 6,
  'WHERE': 7,
}


def test_purposes_keep_their_numbers():
  assert {name: getattr(keys, name) for name in PURPOSES} == PURPOSES
  named = [name for name in vars(keys) if name.isupper()]
  assert len({getattr(keys, name) for name in named}) == len(named)


def test_no_two_draws_of_any_runs_share_a_key():
  seeds, purposes = (0, 1, 2, 7, 2**32 - 1), PURPOSES.values()
  made = [
    keys.for_run(seed, purpose)
    for seed, purpose in itertools.product(seeds, purposes)
  ]
  made += [
    keys.for_round(seed, round, purpose)
    for seed, round, purpose in itertools.product(seeds, range(8), purposes)
  ]
  data = {tuple(np.asarray(jax.random.key_data(key))) for key in made}
  assert len(data) == len(made) == 5 * 8 + 5 * 8 * 8


def test_keys_are_typed_and_the_same_whenever_asked():
  key = keys.for_round(3, 4, keys.SELECT)
  assert jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
  again = keys.for_round(3, 4, keys.SELECT)
  assert key == again
  # A resumed run of an older version must go on with the same draws.
  for found, wanted in (
    (keys.for_run(0, keys.INITIALISE), [1797259609, 2579123966]),
    (key, [4021407164, 638859384]),
  ):
    np.testing.assert_array_equal(jax.random.key_data(found), wanted)


@pytest.mark.parametrize('seed', [-1, 2**32, True, 0.0, None])
def test_a_seed_that_another_one_would_be_mistaken_for_is_refused(seed):
  with pytest.raises(ValueError, match=f'seed is {seed}; it must be a whole'):
    keys.for_run(seed, keys.INITIALISE)

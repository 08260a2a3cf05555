"""Random keys by round and purpose, so that a resumed run draws the same.

No key is carried from one draw to the next: each is derived from the seed of
the run, the round and the purpose.
"""

import jax

from al_jax import errors

# Purposes of keys. All results depend on these numbers: never renumber.
INITIALISE = 0  # the learner's first weights
FIRST_SET = 1  # the examples labelled before round 0
START = 2  # the start of a round's training
SURVEY = 3
MEASURE = 4
SELECT = 5
ORACLE = 6
WHERE = 7
EVALUATE = 8
PRETRAIN = 9  # training without labels before round 0
PICTURES = 10  # a learner's pictures of a round
SYNTHESISE = 11  # made queries
ORACLE_MODEL = 12  # the classifier that answers made queries
STREAM = 13  # whether to query an example of a stream


def for_run(seed: int, purpose: int) -> jax.Array:
  """Derives the key of a purpose that occurs once in a run."""
  # JAX keeps only 32 bits of a seed, so larger seeds would repeat runs.
  errors.check_number('seed', seed, int, least=0, most=2**32 - 1)
  return jax.random.fold_in(jax.random.key(seed), purpose)


def for_round(seed: int, round: int, purpose: int) -> jax.Array:
  """Derives the key of a purpose that occurs once in a round."""
  return jax.random.fold_in(for_run(seed, purpose), round)

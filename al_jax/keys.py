"""Random keys by round and purpose, so that a resumed run draws the same.

A key is never carried from one draw to the next: each is derived from the run's
key, the round and what it is for.
"""

import jax

from al_jax import errors

# What a key is for. The numbers are part of every result: never renumber.
INITIALISE = 0  # the learner's first weights
FIRST_SET = 1  # which examples are labelled before round 0
START = 2  # the start of a round's training
SURVEY = 3
MEASURE = 4
SELECT = 5
ORACLE = 6
WHERE = 7
EVALUATE = 8
PRETRAIN = 9  # before round 0, without a label
PICTURES = 10  # what a learner shows of a round
SYNTHESISE = 11  # queries that are made
ORACLE_MODEL = 12  # the classifier that answers about made queries
STREAM = 13  # whether to ask about an example of a stream


def for_run(seed: int, purpose: int) -> jax.Array:
  """The key of something that happens once in a run."""
  # JAX keeps 32 bits of a seed: beyond them two seeds would be one run.
  errors.check_number('seed', seed, int, least=0, most=2**32 - 1)
  return jax.random.fold_in(jax.random.key(seed), purpose)


def for_round(seed: int, round: int, purpose: int) -> jax.Array:
  """The key of something that happens once in a round."""
  return jax.random.fold_in(for_run(seed, purpose), round)

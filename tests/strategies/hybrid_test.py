import jax
import jax.numpy as jnp
import numpy as np
import pytest

import al_jax
from al_jax import pool as pool_lib
from al_jax import strategies, tasks
from al_jax.interfaces import Facts

RNG = np.random.default_rng(0)
N = 60
MEASURED = (
  RNG.random(N).astype(np.float32),
  RNG.normal(size=(N, 4)).astype(np.float32),
)


def facts_of(budget):
  return Facts(
    num_examples=N,
    task=tasks.numbered(3),
    label_budget=budget,
    example=jax.ShapeDtypeStruct((2,), jnp.float32),
    mean=np.float32(0),
    std=np.float32(1),
  )


def asked(count):
  pool = pool_lib.create(N)
  return pool_lib.reveal(
    pool,
    jnp.arange(count),
    jnp.zeros(count, jnp.int32),
    pool_lib.ORACLE,
    round=0,
  )


def by_hand(key, alpha, beta, gamma, k, pool):
  del key
  u, h = MEASURED
  h = h / np.linalg.norm(h, axis=1, keepdims=True)
  similar = np.maximum(h @ h.T, 0)
  free = np.asarray(pool_lib.eligible(pool))
  known = list(np.flatnonzero(~free))
  others = similar * free[None] * (1 - np.eye(N))
  rho = others.sum(axis=1) / (free.sum() - free)
  picks = []
  for _ in range(k):
    kappa = similar[:, known].max(axis=1) if known else np.zeros(N)
    worth = u**alpha * rho**beta * np.maximum(1 - kappa, 0) ** gamma
    worth[~free] = -1
    worth[picks] = -1
    picks.append(int(np.argmax(worth)))
    known.append(picks[-1])
  return picks


def test_exponents_go_from_first_to_last_while_the_budget_is_spent():
  strategy = strategies.hybrid(alpha=(0.2, 2.0), beta=(1.0, 0.0), gamma=0.7)
  k, budget = 5, 25
  state, seen = strategy.init(facts_of(budget)), jnp.ones(N, jnp.bool_)
  for count, share in ((5, 0.0), (10, 1 / 3), (20, 1.0)):
    pool = asked(count)
    # All of the eligible are references: nothing is drawn.
    state, chosen = strategy.select(
      jax.random.key(0), state, MEASURED, seen, pool, k
    )
    wanted = by_hand(None, 0.2 + 1.8 * share, 1 - share, 0.7, k, pool)
    assert chosen.indices.tolist() == wanted


def test_what_was_not_seen_is_not_picked():
  strategy = strategies.hybrid()
  seen = jnp.arange(N) % 2 == 0
  _, chosen = strategy.select(
    jax.random.key(0), strategy.init(facts_of(20)), MEASURED, seen, asked(4), 9
  )
  assert np.all(np.asarray(chosen.indices) % 2 == 0)


def test_without_density_and_novelty_it_is_entropy():
  """Through whole runs: the same queries, and the same records."""
  plain = {'alpha': 1.0, 'beta': 0.0, 'gamma': 0.0}
  protocol = {'rounds': 3, 'first_size': 20, 'labels_per_round': 10}
  how = {'protocol': protocol, 'quiet': True, 'seeds': 2}
  how['learner'] = {'stop': {'epochs': 10}}
  found = al_jax.run('hybrid', 'digits', strategy=plain, **how)
  wanted = al_jax.run('entropy', 'digits', **how)
  for one, other in zip(found.records, wanted.records, strict=True):
    assert one.picks == other.picks
    assert one.test == other.test


@pytest.mark.parametrize(
  ('options', 'said'),
  [
    ({'alpha': -1.0}, 'alpha is -1.0; it must be a number at least 0, or two'),
    ({'beta': (1.0, -0.5)}, r'beta is \(1.0, -0.5\), and -0.5 in it is not'),
    ({'alpha': [1, np.nan]}, r'alpha is \[1, nan\], and nan .*; it must be a'),
    ({'alpha': (1.0, 2.0, 3.0)}, r'3.0\); it must be .* first and the last'),
    ({'alpha': ()}, r'alpha is \(\); it must be a number'),
    ({'alpha': 'large'}, "alpha is 'large'"),
    ({'gamma': -1}, 'gamma is -1'),
    ({'num_references': 0}, 'num_references is 0'),
  ],
)
def test_exponents_that_are_none_are_refused(options, said):
  with pytest.raises(ValueError, match=said):
    strategies.hybrid(**options)

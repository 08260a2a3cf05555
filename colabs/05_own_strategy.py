# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. Your own strategy, in ten lines
#
# [![Open in Colab][badge]][colab]
#
# Put the owner of your copy in the place of OWNER, in this link and below.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/05_own_strategy.ipynb
#
# A strategy is two functions: *measure*, a map over examples, and *select*, a
# choice over the pool. You write one, find with a short check that it breaks
# the contract, mend it, and compare it with random and margin.

# %%
# Does nothing where al_jax can be imported already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec('al_jax') is None:
  source = 'al-jax[experiments] @ git+https://github.com/OWNER/al_jax'
  subprocess.run([sys.executable, '-m', 'pip', 'install', source], check=True)

# %%
import functools
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from IPython import display

from al_jax import (
  data,
  interfaces,
  kernels,
  loop,
  oracle,
  plotting,
  pool,
  systems,
)
from al_jax.analysis import tables
from al_jax.loop import program, protocol

folder = pathlib.Path(tempfile.mkdtemp())  # for pictures

# %% [markdown]
# ## The idea
#
# Margin asks about what the network is unsure of, even if that is the same
# thing ten times. So: draw by k-means++ among the *embeddings*, for a batch
# that is spread out, and weigh every point by how unsure the network is there.
#
# ## Ten lines


# %%
def measure(key, apply, batch):
  """How unsure, from 0 to 1; and where."""
  output = apply(batch.inputs)
  return 1 + kernels.margin(output.predictions), output.embedding


@functools.partial(jax.jit, static_argnames='k')
def select(key, state, measured, seen, labelled_set, k):
  """Spread out, and rather where the network is unsure."""
  weights, embedding = measured
  eligible = pool.eligible(labelled_set) & seen
  return state, kernels.kmeans_plus_plus(
    key, embedding, k, eligible=eligible, weights=weights
  )


first_try = interfaces.Strategy(
  init=lambda facts: (), measure=measure, select=select
)

# %% [markdown]
# What the two are given:
#
# - `apply(inputs)` runs the trained network: `predictions` are logits `[B, C]`,
#   `embedding` is `[B, D]`. With `keys=` it gives dropout samples.
# - `batch` has `inputs` and `index`, the positions in the pool.
# - `measured` is what *measure* returned, of the whole pool.
# - `seen` says which examples were measured: all, unless you ask for a subset.
# - `labelled_set` says who was asked when and what they said. Answers that were
#   not paid for are not in it: a strategy cannot cheat.
# - `state` is what a strategy remembers between rounds; ours is `()`.
#
# ## The contract
#
# Whatever the pool, `select` gives k distinct indices that are eligible. If
# fewer are left, all of these and then `-1`. The same key makes the same
# choice. A pool of 40 points and a linear network are enough to try that, on
# pools that are not nice.

# %%
NUM_POINTS, NUM_PICKS, KEY = 40, 8, jax.random.key(0)
rng = np.random.default_rng(0)
drawn = rng.normal(size=(NUM_POINTS, 6)).astype(np.float32)
linear = rng.normal(size=(6, 4)).astype(np.float32)
POOLS = {
  'nice': (drawn, [3, 17, 5]),
  'nothing asked yet': (drawn, []),
  'all points equal': (np.ones_like(drawn), [3, 17, 5]),
  'three of each': (np.repeat(drawn, 3, axis=0)[:NUM_POINTS], [3, 17, 5]),
  'a very sure network': (1000 * drawn, [3, 17, 5]),
  'only two are left': (drawn, list(range(38))),
}


def picks_of(strategy, inputs, asked):
  """What a strategy asks, of a pool in which some were asked before."""

  def apply(inputs):
    return interfaces.ModelOutput(inputs @ linear, inputs, {})

  rows = np.full(NUM_POINTS, -1, np.int32)  # padded: one shape for all
  rows[: len(asked)] = asked
  state = pool.reveal(
    pool.create(NUM_POINTS),
    jnp.asarray(rows),
    jnp.zeros(NUM_POINTS, jnp.int32),
    pool.ORACLE,
    round=0,
  )
  batch = interfaces.Batch(jnp.arange(NUM_POINTS), jnp.asarray(inputs))
  measured = strategy.measure(KEY, apply, batch)
  seen = jnp.ones(NUM_POINTS, bool)
  _, selection = strategy.select(KEY, (), measured, seen, state, NUM_PICKS)
  return np.asarray(selection.indices)


def check(strategy):
  """Says of each pool whether the strategy keeps the contract there."""
  for name, (inputs, asked) in POOLS.items():
    indices = picks_of(strategy, inputs, asked)
    number = min(NUM_PICKS, NUM_POINTS - len(asked))
    picks, rest = indices[indices >= 0], indices[number:]
    wrong = {
      'too few': len(picks) < number,
      'one twice': len(set(picks)) < len(picks),
      'asked before': bool(set(picks) & set(asked)),
      'no -1 at the end': np.any(rest != -1),
      'another choice': np.any(picks_of(strategy, inputs, asked) != indices),
    }
    found = [fault for fault, there in wrong.items() if there]
    print(f'{name:20}', ', '.join(found) or 'kept')


check(first_try)

# %% [markdown]
# A network that is very sure has margins of exactly -1 in float32, and weights
# of 0. The kernel never picks a point of weight 0, and the batch is too short.
# Late in a run, with a well trained network, that would happen to you. A weight
# that is never 0 mends it.


# %%
def measure_above_zero(key, apply, batch):
  """As `measure`, but nobody is out of the question."""
  weights, embedding = measure(key, apply, batch)
  return weights + 0.01, embedding


mine = first_try._replace(measure=measure_above_zero)
check(mine)

# %% [markdown]
# And this is what forgetting the mask looks like. The loop makes the same check
# in every round, and stops with an error instead of paying twice.


# %%
def select_anything(key, state, measured, seen, labelled_set, k):
  """Wrong: it does not ask who is eligible."""
  return state, kernels.top_k(measured[0], k, key=key)


check(mine._replace(select=select_anything))

# %% [markdown]
# ## Is it any good?
#
# A pool in which every digit comes five times, slightly changed, is where
# spreading out should pay. `systems.build` takes a Strategy of your own, and a
# name that you choose: records have it.

# %%
SEEDS = [0, 1, 2]
dataset = data.load(
  {
    'source': 'digits',
    'transforms': [
      {'name': 'cap', 'train': 280},
      {'name': 'redundancy', 'copies': 5, 'noise': 0.1},
    ],
  }
)
proceeding = protocol.Protocol(rounds=6, labels_per_round=20, first_size=20)
facts = program.facts_of(dataset, proceeding.budget)
sources = program.sources_of(dataset)
answers = oracle.SimulatedOracle(dataset.train.targets, dataset.task)


def results_of(name, **options):
  """The records of a system, over all seeds."""
  system = systems.build(
    name,
    facts,
    model={'name': 'mlp', 'widths': (64,)},
    learner={'batch_size': 16, 'stop': {'epochs': 60}},
    **options,
  )
  compiled = program.compile_program(
    system, sources, dataset.train.ids, num_lanes=len(SEEDS)
  )
  return list(loop.run_rounds(compiled, answers, proceeding, SEEDS))


results = [
  *results_of('random'),
  *results_of('margin'),
  *results_of('mine', strategy=mine),
]
plotting.learning_curves(results, folder / 'curves.png')
display.Image(folder / 'curves.png', width=560)

# %%
print(tables.summary_table(results))

# %% [markdown]
# Three seeds on a small set do not tell you that yours is better: look at the ±
# before you believe a difference. What is plain is what was asked. Here is the
# first batch of each, of seed 0: margin asks about one and the same digit again
# and again, for its copies are all as uncertain.

# %%
first = {}
for record in results:
  if record.seed == 0 and record.round == 0:
    first[record.system] = record.picks
plotting.gallery(
  [dataset.train.inputs[picks] for picks in first.values()],
  [dataset.train.targets[picks].astype(str) for picks in first.values()],
  folder / 'asked.png',
  row_titles=list(first),
)
display.Image(folder / 'asked.png', width=640)

# %% [markdown]
# An id says which original a copy is of (`'17#3'`): of 300 questions over three
# seeds, how many were about a digit that the run had not asked about before?

# %%
for name in first:
  originals = {
    (record.seed, example.partition('#')[0])
    for record in results
    if record.system == name
    for example in record.pick_ids
  }
  print(f'{name:8}{len(originals):5}')

# %% [markdown]
# ## What to read next
#
# - `al_jax/strategies/`: the published ones, each as short as yours.
#   `chain.py` puts any two behind each other, yours too.
# - `tests/strategies/contract_test.py`: the contract in full. A strategy that
#   gets a name in `STRATEGIES` is tested by it without further ado.
# - `CONTRIBUTING.md`: how to add yours for good.

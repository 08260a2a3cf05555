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
# Replace OWNER by the owner of your copy, in this link and in the next cell.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/05_own_strategy.ipynb
#
# A strategy is two functions: *measure* maps each example to values, and
# *select* picks a batch from the pool. Here you write one, find with a short
# check that it breaks the contract, fix it, and compare it with random and
# margin.

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
# Margin queries examples that the network is unsure of, even if all ten look
# the same. To spread the batch out, draw by k-means++ among the *embeddings*,
# and weight every point by the uncertainty of the network there.
#
# ## Ten lines


# %%
def measure(key, apply, batch):
  """Measures uncertainty, from 0 to 1, and the embedding."""
  output = apply(batch.inputs)
  return 1 + kernels.margin(output.predictions), output.embedding


@functools.partial(jax.jit, static_argnames='k')
def select(key, state, measured, seen, labelled_set, k):
  """Draws a diverse batch that prefers uncertain examples."""
  weights, embedding = measured
  eligible = pool.eligible(labelled_set) & seen
  return state, kernels.kmeans_plus_plus(
    key, embedding, k, eligible=eligible, weights=weights
  )


first_try = interfaces.Strategy(
  init=lambda facts: (), measure=measure, select=select
)

# %% [markdown]
# The two functions receive these arguments:
#
# - `apply(inputs)` runs the trained network: `predictions` are logits `[B, C]`,
#   `embedding` is `[B, D]`. With `keys=` it returns dropout samples.
# - `batch` has `inputs` and their pool indices, `index`.
# - `measured` is the output of *measure* for the whole pool.
# - `seen` marks the measured examples: all, unless you ask for a subset.
# - `labelled_set` records which examples were queried, when, and the answers.
#   It holds no answer that was not paid for, so a strategy cannot cheat.
# - `state` is the memory of the strategy between rounds; ours is `()`.
#
# ## The contract
#
# For any pool, `select` returns k distinct indices that are eligible. If fewer
# are left, it returns all of them, followed by `-1`. The same key gives the
# same choice. Forty points and a linear network are enough to test this on
# difficult pools.

# %%
NUM_POINTS, NUM_PICKS, KEY = 40, 8, jax.random.key(0)
rng = np.random.default_rng(0)
drawn = rng.normal(size=(NUM_POINTS, 6)).astype(np.float32)
linear = rng.normal(size=(6, 4)).astype(np.float32)
POOLS = {
  'ordinary': (drawn, [3, 17, 5]),
  'nothing queried yet': (drawn, []),
  'all points equal': (np.ones_like(drawn), [3, 17, 5]),
  'three of each': (np.repeat(drawn, 3, axis=0)[:NUM_POINTS], [3, 17, 5]),
  'very sure network': (1000 * drawn, [3, 17, 5]),
  'only two are left': (drawn, list(range(38))),
}


def picks_of(strategy, inputs, asked):
  """Returns the picks of a strategy from a partly labelled pool."""

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
  """Reports for each pool whether the strategy keeps the contract."""
  for name, (inputs, asked) in POOLS.items():
    indices = picks_of(strategy, inputs, asked)
    number = min(NUM_PICKS, NUM_POINTS - len(asked))
    picks, rest = indices[indices >= 0], indices[number:]
    wrong = {
      'too few': len(picks) < number,
      'duplicates': len(set(picks)) < len(picks),
      'queried before': bool(set(picks) & set(asked)),
      'no -1 at the end': np.any(rest != -1),
      'not reproducible': np.any(picks_of(strategy, inputs, asked) != indices),
    }
    found = [fault for fault, there in wrong.items() if there]
    print(f'{name:20}', ', '.join(found) or 'ok')


check(first_try)

# %% [markdown]
# A very sure network has margins of exactly -1 in float32, so weights of 0. The
# kernel never picks a point of weight 0, so the batch is too short. This would
# happen late in a run, with a well-trained network. A weight that is never 0
# fixes it.


# %%
def measure_above_zero(key, apply, batch):
  """Measures as `measure` does, but every weight is above 0."""
  weights, embedding = measure(key, apply, batch)
  return weights + 0.01, embedding


mine = first_try._replace(measure=measure_above_zero)
check(mine)

# %% [markdown]
# The next strategy forgets the mask. The loop makes the same check in every
# round, and raises an error instead of paying twice.


# %%
def select_anything(key, state, measured, seen, labelled_set, k):
  """Ignores the mask of eligible examples, which is wrong."""
  return state, kernels.top_k(measured[0], k, key=key)


check(mine._replace(select=select_anything))

# %% [markdown]
# ## Is it any good?
#
# Spreading out should pay in a pool that has every digit five times, slightly
# changed. `systems.build` takes your Strategy and a name of your choice, which
# the records carry.

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
  """Returns the records of a system, over all seeds."""
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
# Three seeds on a small set do not prove that yours is better: look at the ±
# before you believe a difference. But the picks clearly differ. Here is the
# first batch of each system for seed 0: margin queries the same digit again and
# again, because its copies are about equally uncertain.

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
# The id of a copy names its original (`'17#3'`). Each system makes 300 queries
# over three seeds. How many different originals does it query, summed over
# seeds?

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
# ## Read next
#
# - `al_jax/strategies/`: the published strategies, each as short as yours.
#   `chain.py` runs any two in sequence, yours included.
# - `docs/contracts.md`: the full contract as one function, `check_strategy`.
# - `CONTRIBUTING.md`: how to add your strategy to the library. Once it has a
#   name in `STRATEGIES`, `tests/strategies/contract_test.py` tests it.

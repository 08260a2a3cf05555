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
# # 9. BALD: dropout samples, and batches
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER, here and below, with the account that has your copy.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/09_bald.ipynb
#
# A network with dropout is many networks: each mask is one. BALD queries the
# examples that these networks disagree about. This page shows dropout samples,
# counts how many are enough, and takes a pool with copies, where the top of the
# score is a bad batch.

# %%
# Does nothing where al_jax can be imported already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec('al_jax') is None:
  source = 'al-jax[experiments] @ git+https://github.com/OWNER/al_jax'
  subprocess.run([sys.executable, '-m', 'pip', 'install', source], check=True)

# %%
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from IPython import display
from scipy import stats

import al_jax
from al_jax import kernels, plotting, pool
from al_jax.loop import program
from al_jax.plotting import style
from al_jax.training import fit

# %% [markdown]
# ## A pool with copies, and a network with dropout
#
# Each digit is there four times, with a little noise. The id says which
# original a copy is of: `'17#3'` is the third copy of 17. The network learns 40
# labels that are drawn at random, as in `02_one_round`.

# %%
dataset = al_jax.load(
  {
    'source': 'digits',
    'transforms': [
      {'name': 'cap', 'train': 200},
      {'name': 'redundancy', 'copies': 4, 'noise': 0.1},
    ],
  }
)
originals = np.array([name.partition('#')[0] for name in dataset.train.ids])
folder = pathlib.Path(tempfile.mkdtemp())  # for figures
MODEL = {'name': 'mlp', 'widths': (128,), 'dropout': 0.25}
LEARNER = {'batch_size': 16, 'stop': {'epochs': 50}}
facts = program.facts_of(dataset, label_budget=80)
learner = al_jax.build('bald', facts, model=MODEL, learner=LEARNER).learner

# %%
state = pool.create(facts.num_examples)
first = kernels.uniform(jax.random.key(0), pool.eligible(state), 40).indices
answers = jnp.asarray(dataset.train.targets[np.asarray(first)])
state = pool.reveal(state, first, answers, pool.ORACLE, round=0)
eligible = pool.eligible(state)

step = jax.jit(fit.step_from(learner.phases[0]))
inputs = {'pool': jnp.asarray(dataset.train.inputs)}
network = learner.init(jax.random.key(1))
network, done = learner.start(jax.random.key(2), network, state), False
while not done:
  network, progress = step(network, state, inputs)
  done = bool(progress.done)

# %% [markdown]
# ## One mask per sample, for the whole pool
#
# `apply(inputs, keys=keys)` gives logits `[S, N, C]`: S samples of N examples.
# One key is one mask, and the mask is the same for the whole pool. So a sample
# is one network that answers about all examples.
#
# The usual shortcut is to call the network in training mode, which draws a mask
# for each example. Below are two copies of the digit that BALD picks first.
# Each dot is a sample: the probability of one class for both copies. One
# network judges them alike. With a mask for each, which is one copy with the
# masks of other samples, they look unrelated, and no strategy can see from the
# samples that they are copies.

# %%
apply = jax.jit(learner.apply)
keys = jax.random.split(jax.random.key(3), 800)
samples = apply(network, dataset.train.inputs, keys=keys).predictions
best = kernels.top_k(kernels.bald(samples), 1, eligible=eligible).indices[0]
pair = np.flatnonzero(originals == originals[best])[:2]
probs = jax.nn.softmax(samples[:, pair])
one, other = probs[..., probs.mean((0, 1)).argmax()].T

shifts = {'one mask for both': 0, 'a mask for each': 100}
_, panels = plt.subplots(1, 2, figsize=(6, 2.9), layout='constrained')
for axes, (name, shift) in zip(panels, shifts.items(), strict=True):
  axes.scatter(one[:100], other[shift:][:100], s=12, color=style.COLOURS[0])
  style.plain_axes(axes, 'one copy', 'another copy', name)
  axes.set(xlim=(0, 1), ylim=(0, 1))

# %% [markdown]
# ## How many samples are enough?
#
# BALD is an estimate from S samples. Take two sets of S samples that have
# nothing in common, and compare the two scores: by Spearman's correlation over
# the pool, and by the share of the top 10 that both have. Do it four times, and
# take the mean. The ranking of the pool settles first. Which ten are at the top
# takes many more samples: with few of them, much of the batch is chance.

# %%
sizes, agreement, common = (5, 10, 20, 50, 100), [], []
for size in sizes:
  # [pairs, 2, S, N, C]: four times two sets.
  pairs = samples[: 8 * size].reshape(4, 2, size, *samples.shape[1:])
  scores = jax.vmap(jax.vmap(kernels.bald))(pairs)
  shared = []
  for both in scores:
    tops = [kernels.top_k(s, 10, eligible=eligible).indices for s in both]
    shared.append(len(np.intersect1d(*tops)) / 10)
  correlations = [stats.spearmanr(*both).statistic for both in scores]
  agreement.append(np.mean(correlations))
  common.append(np.mean(shared))

# %%
_, axes = plt.subplots(figsize=(5.6, 2.6), layout='constrained')
axes.plot(sizes, agreement, 'o-', color=style.COLOURS[0], label='correlation')
axes.plot(sizes, common, 's-', color=style.COLOURS[1], label='common in top 10')
style.plain_axes(axes, 'dropout samples', 'agreement')
axes.set_ylim(0, 1)
_ = axes.legend(frameon=False, fontsize=8)

# %% [markdown]
# ## The top of a score, in a pool with copies
#
# Copies of an uncertain digit are all uncertain, so the top of BALD is a few
# digits, several times each. BatchBALD asks how much ten labels tell together:
# the copy of a digit that is in the batch adds less. Less is not nothing: for
# the network, the labels of two copies are two draws. PowerBALD draws examples
# by their score, and pays nothing for the comparison. Count the originals in
# each batch of ten.

# %%
few, key = samples[:100], jax.random.key(4)
scores = kernels.bald(few)
batches = {
  'BALD': kernels.top_k(scores, 10, eligible=eligible),
  'BatchBALD': kernels.batch_bald(key, few, 10, eligible=eligible),
  'PowerBALD': kernels.stochastic_top_k(key, scores, 10, eligible=eligible),
}
rows = {name: np.asarray(batch.indices) for name, batch in batches.items()}
for name, picks in rows.items():
  print(f'{name:10}{len(set(originals[picks]))} originals in ten queries')
asked = [dataset.train.take(picks) for picks in rows.values()]
inputs, ids = [of.inputs for of in asked], [of.ids for of in asked]
plotting.gallery(inputs, ids, folder / 'batches.png', row_titles=list(rows))
display.Image(folder / 'batches.png', width=640)

# %% [markdown]
# ## In a run
#
# Ten queries a round, two seeds. Compare BALD with random first: a score that
# is meant to save labels can lose to chance. On this pool the top of BALD ends
# below random. PowerBALD uses the same scores and does not fall behind. Whether
# it is better than random, two seeds on a small pool cannot show:
# `docs/bayesian.md` has five seeds on 180,000 pictures.

# %%
results = al_jax.run(
  ['random', 'bald', 'power_bald'],
  dataset,
  model=MODEL,
  learner=LEARNER,
  strategy={'num_samples': 50},
  seeds=2,
  protocol={'rounds': 6, 'labels_per_round': 10, 'first_size': 20},
  quiet=True,
)
results.figure().savefig(folder / 'curves.png', dpi=110)
print(results)
display.Image(folder / 'curves.png', width=560)

# %% [markdown]
# ## What to read next
#
# - `docs/bayesian.md`: BALD, BatchBALD and PowerBALD on MNIST, with the same
#   question about the number of samples.
# - `docs/kernels.md`: cost and memory of each kernel.
# - `01_kernels`: noise and ignorance, on a pool in the plane.

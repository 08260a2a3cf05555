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
# # 8. Your own model
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER, here and below, with the account that has your copy.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/08_own_model.ipynb
#
# A model is a Flax module, as you would write it anyway. You write a small
# network with dropout and an embedding, see which mistakes are found before
# training, check the contract, and run margin and BADGE with it.

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
import textwrap

import flax.linen as nn
import jax
import numpy as np
from IPython import display

import al_jax
from al_jax import learners, models, testing
from al_jax.loop import program

# %% [markdown]
# ## The module
#
# It is called with normalised inputs, and returns logits and an embedding: the
# input of the last layer. Strategies such as BADGE and core-set need the
# embedding. The flag `train` is True in training, and turns dropout on. A last
# layer named `head` lets the model begin with pretrained weights.


# %%
class RowNet(nn.Module):
  """A layer for rows of pixels, one with dropout for all, and a head."""

  classes: int

  @nn.compact
  def __call__(self, images, train: bool = False):
    """Returns logits and the embedding."""
    rows = images.reshape(*images.shape[:2], -1)
    hidden = nn.relu(nn.Dense(16)(rows)).reshape(len(images), -1)
    hidden = nn.relu(nn.Dense(64)(hidden))
    embedding = nn.Dropout(0.25)(hidden, deterministic=not train)
    return nn.Dense(self.classes, name='head')(embedding), embedding


# %% [markdown]
# `models.build` puts the module behind three pure functions: `init`, `train`,
# and `apply`, which predicts. A key given to `apply` draws a dropout mask. All
# rows of the batch share it, whatever the layers do: one key is one network, so
# that the scores of two examples can be compared. Twice the same picture shows
# it: both rows get the same logits.

# %%
dataset = al_jax.load('digits')
facts = program.facts_of(dataset, label_budget=100)
fns = models.build(RowNet(10), facts)

variables = fns.init(jax.random.key(0))
num_weights = sum(leaf.size for leaf in jax.tree.leaves(variables))
twice = dataset.train.inputs[[0, 0]]
output = fns.apply(variables, twice)
print(f'{num_weights} weights; logits {output.predictions.shape},', end=' ')
print('embedding', output.embedding.shape)
for seed in range(3):
  drawn = fns.apply(variables, twice, key=jax.random.key(seed)).predictions
  print(f'mask {seed}: first logits of both rows', drawn[:, 0])

# %% [markdown]
# ## Mistakes that are found before training
#
# Some mistakes train without an error, and badly. A softmax at the end is the
# most common one: the loss takes logits. Others fail late, in the first query.
# Each of these is an error when the system is built.


# %%
class Linear(nn.Module):
  """Has no embedding and no dropout, and may end in a softmax."""

  softmax: bool = False

  @nn.compact
  def __call__(self, images):
    """Returns one array."""
    logits = nn.Dense(10)(images.reshape(len(images), -1))
    return nn.softmax(logits) if self.softmax else logits


# %%
def says(system, model):
  """Prints the message of the error that a model raises."""
  try:
    al_jax.build(system, facts, model=model)
  except ValueError as error:
    print(textwrap.fill(f'{system}: {error}', 80), end='\n\n')


says('margin', Linear(softmax=True))
says('margin', RowNet)  # the class, without brackets
says('margin', RowNet(9))
says('badge', Linear())
says('bald', Linear())

# %% [markdown]
# ## The contract
#
# Some mistakes are found only by trying. `testing.check_learner` trains the
# model for a few steps on a few examples, and tries every rule: padding rows
# change nothing, a prediction does not depend on the rest of its batch, dropout
# samples share masks, a restored state goes on bit for bit.
#
# The second model subtracts the mean of the batch from its inputs, which looks
# harmless. Its predictions depend on how the pool is cut into batches: two
# rules are broken, and the report shows the evidence.


# %%
class Leaky(nn.Module):
  """Wrong: a prediction depends on the other examples of its batch."""

  @nn.compact
  def __call__(self, images):
    """Returns logits."""
    flat = images.reshape(len(images), -1)
    return nn.Dense(10)(flat - flat.mean(axis=0, keepdims=True))


# %%
few = dataset.train.take(np.arange(40))
for model in (RowNet(10), Leaky()):
  report = testing.check_learner(
    learners.supervised,
    facts=facts,
    inputs=few.inputs,
    targets=few.targets,
    model=functools.partial(models.build, model),
    options={'stop': {'epochs': 1}},
    skip={'lanes': 'slow'},
    raises=False,
    name=type(model).__name__,
  )
  print(report, end='\n\n')

# %% [markdown]
# ## Margin and BADGE
#
# A run takes the module as `model=`. All systems begin with the same labels and
# the same weights of your model, seed by seed. Two seeds only show that it
# works: look at the ± before you believe a difference between the two.

# %%
results = al_jax.run(
  ['random', 'margin', 'badge'],
  dataset,
  model=RowNet(10),
  seeds=2,
  protocol={'rounds': 5, 'labels_per_round': 20, 'first_size': 20},
  learner={'batch_size': 16, 'stop': {'epochs': 40}},
  quiet=True,
)
picture = pathlib.Path(tempfile.mkdtemp(), 'curves.png')
results.figure().savefig(picture, dpi=110)
print(results)
display.Image(picture, width=560)

# %% [markdown]
# ## What to read next
#
# - `docs/extending.md`: BatchNorm, nnx modules, losses, learners, and how a
#   config names your model.
# - `docs/contracts.md`: every rule, and the faults found in other libraries.
# - `09_bald`: what dropout samples are good for.

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
# # 11. Select from a PyTorch model
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER, here and below, with the account that has your copy.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/11_pytorch_embeddings.ipynb
#
# You have a model in PyTorch, a pool of examples, and some labels. Train as you
# always do, run the model over the pool, and pass its embeddings and logits to
# `al_jax.select`. It returns the ids of the examples to label next.
#
# You will see: which arrays each strategy needs, how to mark the labelled
# examples, a file of picks, a few rounds, and why the pool should keep its
# size.
#
# The pool has 1,400 of scikit-learn's digits; the others are for testing. Each
# example has an id. Two digits of each class have labels.

# %%
# Does nothing where al_jax can be imported already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec('al_jax') is None:
  source = 'al-jax[experiments] @ git+https://github.com/OWNER/al_jax'
  subprocess.run([sys.executable, '-m', 'pip', 'install', source], check=True)

# %%
import csv
import pathlib
import tempfile
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier

import al_jax
from al_jax import xla
from al_jax.plotting import style

try:
  import torch
  from torch import nn
except ImportError:
  torch = None

# %%
digits = load_digits()
inputs = (digits.data / 16).astype(np.float32)
classes = digits.target
pool, test = slice(0, 1400), slice(1400, None)
ids = np.array([f'digit-{number:04}' for number in range(1400)])


def first_labels(seed):
  """Draws two digits of each class, as a mask over the pool."""
  draw = np.random.default_rng(seed)
  labelled = np.zeros(1400, bool)
  for number in range(10):
    of_class = np.flatnonzero(classes[pool] == number)
    labelled[draw.choice(of_class, 2, replace=False)] = True
  return labelled


# %% [markdown]
# ## The model
#
# The *embedding* is the input of the last layer. So keep the last layer, the
# head, apart from the body. Look at the pool in batches, without gradients, and
# keep the results of both.
#
# Without PyTorch, scikit-learn's network stands in for it. It gives NumPy
# arrays, and all later cells are the same.


# %%
def train_torch(labelled, seed):
  """Trains a network on the labelled digits."""
  torch.manual_seed(seed)
  body, head = nn.Sequential(nn.Linear(64, 32), nn.ReLU()), nn.Linear(32, 10)
  network = nn.Sequential(body, head)
  optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
  examples = torch.tensor(inputs[pool][labelled])
  targets = torch.tensor(classes[pool][labelled])
  for _ in range(100):
    loss = nn.functional.cross_entropy(network(examples), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
  return body, head


def look_torch(model, inputs):
  """Returns embeddings [N, 32] and logits [N, 10]."""
  body, head = model
  with torch.no_grad():
    batches = torch.tensor(inputs).split(256)
    embeddings = torch.cat([body(batch) for batch in batches])
    return embeddings, head(embeddings)


# %%
def train_sklearn(labelled, seed):
  """Trains scikit-learn's network."""
  model = MLPClassifier(
    (32,), learning_rate_init=0.01, max_iter=1000, random_state=seed
  )
  return model.fit(inputs[pool][labelled], classes[pool][labelled])


def look_sklearn(model, inputs):
  """Returns embeddings [N, 32] and logits [N, 10]."""
  (body, head), (bias, head_bias) = model.coefs_, model.intercepts_
  embeddings = np.maximum(inputs @ body + bias, 0)
  return embeddings, embeddings @ head + head_bias


if torch is None:
  print("PyTorch is not installed here: scikit-learn's network takes its place")
  train, look = train_sklearn, look_sklearn
else:
  train, look = train_torch, look_torch

# %% [markdown]
# ## One call
#
# Tensors go in as they are. `labeled` is a mask over the pool, or a list of
# ids; both mean the same. A labelled example is never picked. The picks come in
# order of choice, with the score of each.
#
# A file of ids is all that a person needs. This one has the columns that the
# command `al-jax select` writes.

# %%
labelled = first_labels(seed=0)
embeddings, logits = look(train(labelled, seed=0), inputs[pool])
print(type(embeddings), tuple(embeddings.shape), tuple(logits.shape))

arrays = {'embeddings': embeddings, 'logits': logits, 'ids': ids}
picks = al_jax.select('margin', 5, labeled=labelled, **arrays)
same = al_jax.select('margin', 5, labeled=ids[labelled].tolist(), **arrays)
print('by mask and by ids the same:', list(same.ids) == list(picks.ids))

path = pathlib.Path(tempfile.mkdtemp()) / 'picks.csv'
rows = zip(range(5), picks.ids, picks.values, strict=True)
with path.open('w', newline='') as file:
  csv.writer(file).writerows([('order', 'id', 'value'), *rows])
print(path.read_text())

# %% [markdown]
# ## Three batches
#
# - `margin` needs logits. It picks the digits between two classes.
# - `core_set` needs embeddings. It picks the digits that are farthest from all
#   labels.
# - `badge` needs both. It draws digits that are uncertain and differ.
#
# Each picture shows the two main directions of the embeddings. Crosses are
# labelled, stars are the batch of 20, colours are the true classes.

# %%
plane = PCA(2).fit_transform(np.asarray(embeddings))
_, row = plt.subplots(1, 3, figsize=(9, 3), layout='constrained')
for axes, name in zip(row, ('margin', 'core_set', 'badge'), strict=True):
  batch = np.isin(ids, al_jax.select(name, 20, labeled=labelled, **arrays).ids)
  axes.scatter(*plane.T, s=4, c=classes[pool], cmap='tab10', alpha=0.4)
  axes.scatter(*plane[labelled].T, s=25, marker='x', color='black')
  axes.scatter(
    *plane[batch].T, s=70, marker='*', color='#F0E442', edgecolor='black'
  )
  axes.set(title=name, xticks=[], yticks=[])

# %% [markdown]
# ## Round after round
#
# Train, select, label, and train anew: 20 labels a round. Here the classes of
# the data set are the answers. Two seeds, each with the same first labels for
# all strategies. Without ids the picks are positions in the pool.


# %%
def run(strategy, seed):
  """Returns the test accuracy of each round."""
  labelled, accuracies = first_labels(seed), []
  for number in range(4):
    model = train(labelled, seed)
    guesses = np.asarray(look(model, inputs[test])[1]).argmax(axis=1)
    accuracies.append(np.mean(guesses == classes[test]))
    embeddings, logits = look(model, inputs[pool])
    picks = al_jax.select(
      strategy,
      20,
      embeddings=embeddings,
      logits=logits,
      labeled=labelled,
      seed=100 * seed + number,  # another draw in each round
    )
    labelled[picks.ids] = True
  return accuracies


lines = ['labels           20     40     60     80']
for strategy in ('random', 'margin', 'core_set', 'badge'):
  for seed in (0, 1):
    row = [f'{accuracy:6.1%}' for accuracy in run(strategy, seed)]
    lines.append(' '.join([f'{strategy:9}{seed:3}', *row]))
print('\n'.join(lines))

# %% [markdown]
# With two seeds look for large gaps only, and mind which strategies fall below
# `random`. `03_full_loop` and `13_seeds_and_devices` compare with more care.
#
# ## Keep the size of the pool
#
# A program is compiled for each shape of the arrays. So leave labelled rows in
# the arrays and mark them. If you delete them, every round has a new size, and
# compiles anew.


# %%
def call(rows, labelled):
  """Returns the number of programs that a call compiles, and its seconds."""
  before, start = xla.programs_compiled(), time.perf_counter()
  al_jax.select('margin', 7, logits=logits[rows], labeled=labelled[rows])
  return xla.programs_compiled() - before, time.perf_counter() - start


mask = np.zeros(1400, bool)
kept, shrinking = [], []
for labels in (20, 40, 60, 80, 100):
  mask[:labels] = True
  kept.append(call(np.arange(1400), mask))
  shrinking.append(call(np.flatnonzero(~mask), mask))
print('programs compiled by each call')
print('kept:     ', [programs for programs, _ in kept])
print('shrinking:', [programs for programs, _ in shrinking])

_, axes = plt.subplots(figsize=(5.6, 2.4), layout='constrained')
for shift, name, calls in ((-0.2, 'kept', kept), (0.2, 'shrinking', shrinking)):
  seconds = [of for _, of in calls]
  axes.bar(np.arange(1, 6) + shift, seconds, 0.38, label=name)
style.plain_axes(axes, 'call', 'seconds')
_ = axes.legend(frameon=False)

# %% [markdown]
# The first call of each compiles. Later calls compile only where the size
# changes.
#
# ## Read next
#
# - `docs/labelling.md`: people label, on a page in the browser, for days.
# - `docs/devices.md`: arrays larger than memory.
# - `help(al_jax.select)`: every argument.

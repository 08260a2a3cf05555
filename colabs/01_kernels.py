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
# # 1. The kernels, on your own arrays
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER by the owner of your copy, in this link and in the next cell.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/01_kernels.ipynb
#
# You have a model, in any framework, and a pool of unlabelled examples. Which
# of them should you have labelled? The functions of `al_jax.kernels` answer
# from arrays: logits, embeddings, samples of logits. They need no model and no
# training loop. They take NumPy arrays as they are; the last section has
# PyTorch tensors.
#
# You will see three measures of uncertainty, how ties are broken, why the ten
# best points make a bad batch, and how to tell noise from ignorance.

# %%
# Does nothing where al_jax can be imported already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec('al_jax') is None:
  source = 'al-jax[experiments] @ git+https://github.com/OWNER/al_jax'
  subprocess.run([sys.executable, '-m', 'pip', 'install', source], check=True)

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

from al_jax import kernels
from al_jax.plotting import style

# %% [markdown]
# ## A pool in the plane
#
# The pool has three classes. Two of them overlap, and no number of labels will
# separate them. There is also an island without a single labelled point.

# %%
rng = np.random.default_rng(0)
centers = np.array([[-1.6, -1.0], [0.4, -1.0], [-0.6, 2.0], [4.6, 2.6]])
sizes, spreads = [200, 200, 150, 50], [0.75, 0.75, 0.6, 0.3]
blob = np.repeat(np.arange(4), sizes)
points = centers[blob] + rng.normal(size=(600, 2)) * np.repeat(
  spreads, sizes
).reshape(-1, 1)
classes = np.where(blob == 3, 1, blob)  # the island is class 1

labelled = np.zeros(600, bool)
labelled[rng.choice(550, 60, replace=False)] = True
eligible = ~labelled  # mask: True where a point may be picked

# %% [markdown]
# Twenty small networks stand in for yours. Each is a random hidden layer with a
# logistic regression on top. The kernels see only two arrays: the logits and
# the *embedding*, which is the input of the last layer.


# %%
def train(seed):
  """Trains a network that maps points to logits and an embedding."""
  draw = np.random.default_rng(seed)
  weights, bias = draw.normal(size=(2, 48)), draw.normal(size=48)

  def hidden(inputs):
    return np.tanh(inputs @ weights + bias).astype(np.float32)

  head = LogisticRegression(max_iter=500)
  head.fit(hidden(points[labelled]), classes[labelled])

  def network(inputs):
    embedding = hidden(inputs)
    return head.decision_function(embedding).astype(np.float32), embedding

  return network


networks = [train(seed) for seed in range(20)]
logits, embedding = networks[0](points)
print('logits', logits.shape, ' embedding', embedding.shape)


# %%
xs, ys = np.meshgrid(np.linspace(-4, 6, 70), np.linspace(-4.3, 4, 54))
grid = np.stack([xs.ravel(), ys.ravel()], axis=1)


def show(axes, title, *, scores=None, picks=None):
  """Draws the pool, scores as shades of grey, and picks as stars."""
  if scores is not None:
    shades = np.asarray(scores).reshape(xs.shape)
    axes.contourf(xs, ys, shades, levels=7, cmap='Greys', alpha=0.75)
  for number in range(3):
    ours = classes == number
    colour = style.COLOURS[number]
    axes.scatter(*points[ours & ~labelled].T, s=5, color=colour, alpha=0.45)
    axes.scatter(
      *points[ours & labelled].T, s=16, color=colour, edgecolor='black', lw=0.5
    )
  if picks is not None:
    axes.scatter(
      *points[np.asarray(picks)].T,
      s=110,
      marker='*',
      color='#F0E442',
      edgecolor='black',
      lw=0.8,
      zorder=3,
    )
  axes.set_title(title, fontsize=10, loc='left')
  axes.set_xlim(xs.min(), xs.max())
  axes.set_ylim(ys.min(), ys.max())
  axes.set_xticks([])
  axes.set_yticks([])


def panels(number):
  """Makes a row of axes."""
  _, row = plt.subplots(
    1, number, figsize=(2.8 * number, 2.45), layout='constrained', squeeze=False
  )
  return row[0]


(axes,) = panels(1)
show(axes, 'pool; ringed points are labelled')

# %% [markdown]
# ## Three measures of uncertainty
#
# `least_confidence`, `margin` and `entropy` take logits `[..., C]` and return
# scores `[...]`; a larger score is more uncertain. The leading axes are free,
# so the same call scores the pool and the grid behind it.
#
# `margin` compares only the two likeliest classes, so every border between two
# classes scores the same. `entropy` counts all classes. It is highest where
# three of them meet, and all its picks lie there.

# %%
grid_logits, _ = networks[0](grid)
scorers = {
  'least confidence': kernels.least_confidence,
  'margin': kernels.margin,
  'entropy': kernels.entropy,
}
for axes, (name, scorer) in zip(panels(3), scorers.items(), strict=True):
  picks = kernels.top_k(scorer(logits), 10, eligible=eligible).indices
  show(axes, f'{name}: top 10', scores=scorer(grid_logits), picks=picks)

# %% [markdown]
# ## The result, and ties
#
# Every kernel that picks returns a `Selection`: `indices` into your pool, and
# the `values` they were picked by. The shape is fixed: if too few points are
# left, the remaining indices are `-1`. NaN and infinite scores are never
# picked.

# %%
few = np.array([0.3, np.nan, 0.9, 0.1], np.float32)
print(kernels.top_k(few, 4, eligible=np.array([True, True, True, False])))

# %% [markdown]
# Many scores take few values. A vote of 20 networks has at most 20, so most
# points tie. Without a key, the lower index wins. This skews the batch, because
# a pool on disk is rarely in random order. With a key, the winner is drawn.
#
# Below, 800 points of 8 classes are sorted by class, and all scores are equal.

# %%
by_class = np.repeat(np.arange(8), 100)
same = np.zeros(800, np.float32)
by_index = kernels.top_k(same, 80).indices
at_random = kernels.top_k(same, 80, key=jax.random.key(0)).indices

_, axes = plt.subplots(figsize=(5.6, 2.4), layout='constrained')
for shift, name, indices in (
  (-0.2, 'without a key', by_index),
  (0.2, 'with a key', at_random),
):
  counts = np.bincount(by_class[np.asarray(indices)], minlength=8)
  axes.bar(np.arange(8) + shift, counts, 0.38, label=name)
style.plain_axes(axes, 'class', 'picks, of 80')
_ = axes.legend(frameon=False)
# %% [markdown]
# ## The ten best points make a bad batch
#
# Look at the stars above again: they are neighbours. Ten labels that say the
# same thing teach as much as one and cost ten times as much. There are three
# remedies:
#
# - `kmeans_plus_plus` on `gradient_factors` is BADGE. It takes the gradient of
#   the last layer, as if the predicted label were true. This gradient is long
#   where the network is unsure. k-means++ seeding draws long gradients that are
#   far from each other.
# - `k_center` covers the pool: it picks the points farthest from all labelled
#   points, and ignores uncertainty. Its `centers` are the labelled points.
# - `stochastic_top_k` draws points by their score instead of taking the top.
#
# The gradient of a point has C times D numbers. `gradient_factors` keeps it as
# two vectors, whose outer product it is, and the kernels compute distances from
# these vectors.
#
# Kernels are pure functions that you can compile with `jax.jit`. An argument
# named `k` is always static.

# %%
badge = jax.jit(kernels.kmeans_plus_plus, static_argnames='k')
core_set = jax.jit(kernels.k_center, static_argnames='k')

factors = kernels.gradient_factors(logits, embedding)
scores = kernels.margin(logits)
batches = {
  'margin: top 10': kernels.top_k(scores, 10, eligible=eligible),
  'BADGE: k-means++ on gradients': badge(
    jax.random.key(1), factors, k=10, eligible=eligible
  ),
  'core-set: k-center on embeddings': core_set(
    embedding, k=10, eligible=eligible, centers=labelled
  ),
}
for axes, (name, batch) in zip(panels(3), batches.items(), strict=True):
  show(axes, name, picks=batch.indices)

# %% [markdown]
# Measure how redundant a batch is: how far is a pick from the nearest other
# pick, in the plane and between gradients? BADGE spreads out the gradients,
# since the network learns from them. Drawing by score ignores distances, yet
# does no worse on a pool as small as this one. Kirsch et al. 2023 make the same
# point.

# %%
batches['drawn by entropy'] = kernels.stochastic_top_k(
  jax.random.key(2), kernels.entropy(logits), 10, eligible=eligible
)
squared_distances = jax.jit(kernels.squared_distances)


def to_nearest(points):
  """Returns the median distance from a point to its nearest neighbour."""
  sq_dists = np.array(squared_distances(points, points))
  np.fill_diagonal(sq_dists, np.inf)
  return np.median(np.sqrt(sq_dists.min(axis=1)))


print(f'{"":32}  plane  gradients')
for name, (picks, _) in batches.items():
  plane = to_nearest(points[picks].astype(np.float32))
  gradients = to_nearest(kernels.Factors(*(part[picks] for part in factors)))
  print(f'{name:32}  {plane:5.2f}  {gradients:9.2f}')

# %% [markdown]
# ## Noise or ignorance
#
# Where the two lower classes overlap, a network is right to be unsure, and a
# label teaches it little. On the island it *could* know the class, but does
# not. One network cannot tell these cases apart. Several can: on noise they all
# predict the same odds; on the island they contradict each other. `bald`
# measures this disagreement from logits `[S, N, C]` of S networks, or of S
# dropout masks of one network.

# %%
samples = np.stack([network(points)[0] for network in networks])
grid_samples = np.stack([network(grid)[0] for network in networks])


def entropy_of_mean(samples):
  """Returns the entropy of the mean prediction."""
  return kernels.entropy(kernels.predictive_log_probs(samples))


for axes, (name, scorer) in zip(
  panels(2),
  {'entropy of the mean': entropy_of_mean, 'BALD': kernels.bald}.items(),
  strict=True,
):
  picks = kernels.top_k(scorer(samples), 10, eligible=eligible).indices
  show(axes, f'{name}: top 10', scores=scorer(grid_samples), picks=picks)

# %% [markdown]
# All ten picks of BALD lie on the island: the top k of a good score can still
# be a bad batch. `batch_bald` scores the information of ten labels *together*.

# %% [markdown]
# ## Many draws of a batch
#
# The same key gives the same batch; another key gives another batch. A compiled
# kernel is quick to call again. Here are 300 batches of BADGE: the size of a
# disc shows how often its point was picked.

# %%
how_often = np.zeros(600)
for key in jax.random.split(jax.random.key(3), 300):
  picks = badge(key, factors, k=10, eligible=eligible).indices
  how_often[np.asarray(picks)] += 1 / 300

(axes,) = panels(1)
show(axes, 'how often BADGE picks each point')
_ = axes.scatter(*points.T, s=400 * how_often, color='black', alpha=0.35, lw=0)

# %% [markdown]
# ## From PyTorch and back
#
# `numpy()` is a view of a tensor on the CPU, and DLPack is a view on any
# device: neither copies. Detach first; the kernels need no gradient.

# %%
if importlib.util.find_spec('torch') is None:
  print('PyTorch is not installed here: nothing to show.')
else:
  import torch

  tensor = torch.tensor(logits, requires_grad=True)
  through_numpy = kernels.margin(tensor.detach().numpy())
  through_dlpack = kernels.margin(jnp.from_dlpack(tensor.detach()))
  print('the same scores:', bool((through_numpy == through_dlpack).all()))

  picks = kernels.top_k(through_dlpack, 10, eligible=eligible).indices
  picks = torch.from_dlpack(picks).long()
  print('logits of the picks:', tensor[picks].shape)

# %% [markdown]
# ## Read next
#
# - `02_one_round`: a round on digits, with an oracle that answers queries.
# - `docs/kernels.md`: all kernels, with formula, paper, cost and memory.
# - `help(kernels.kmeans_plus_plus)`: every docstring has an example, which the
#   tests run.

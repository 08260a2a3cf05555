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
# # 4. BADGE from scratch, against the kernel
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER by the owner of your copy, in this link and in the next cell.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/04_badge_from_scratch.ipynb
#
# BADGE (Ash et al. 2020, "Deep Batch Active Learning by Diverse, Uncertain
# Gradient Lower Bounds") fits into 30 lines of NumPy. Here you write them, and
# see that the kernel computes the same embeddings and draws from the same
# distribution. Then you see why the kernel exists.

# %%
# Does nothing where al_jax can be imported already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec('al_jax') is None:
  source = 'al-jax[experiments] @ git+https://github.com/OWNER/al_jax'
  subprocess.run([sys.executable, '-m', 'pip', 'install', source], check=True)

# %%
import collections
import functools
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import scipy.stats
from sklearn.neural_network import MLPClassifier

from al_jax import data, kernels
from al_jax.plotting import style

# %% [markdown]
# ## A network trained on 40 labels
#
# BADGE needs two arrays from it: the predicted probabilities `[N, C]` and the
# hidden units `[N, D]`, which are the input of the last layer.

# %%
pool = data.load('digits').train
inputs = pool.inputs.reshape(len(pool), -1) / 255.0
rng = np.random.default_rng(0)
labelled = rng.choice(len(pool), 40, replace=False)

network = MLPClassifier(
  (64,), solver='lbfgs', alpha=1.0, max_iter=5000, random_state=0
)
network.fit(inputs[labelled], pool.targets[labelled])
probs = network.predict_proba(inputs)
hidden = np.maximum(inputs @ network.coefs_[0] + network.intercepts_[0], 0)

print('probabilities', probs.shape, ' hidden units', hidden.shape)
print(f'accuracy: {np.mean(probs.argmax(axis=1) == pool.targets):.1%}')

# %% [markdown]
# ## The idea
#
# If we knew the label, the gradient of the loss would show how the network will
# change. We do not, so take the predicted label: no other label gives a shorter
# gradient. Let `p` be the probabilities, `e` the predicted label as a one-hot
# vector, and `h` the hidden units. The gradient with respect to the weights of
# the last layer is
#
# $$ g = (p - e)\, h^\top, $$
#
# which has C times D numbers, one per weight. It is *long* where the network is
# unsure. Two gradients are *far apart* where the network would learn different
# things. k-means++ seeding draws each point in proportion to its squared
# distance to the nearest point drawn before, so it prefers gradients that are
# long and far apart.
#
# ## Thirty lines


# %%
def gradient_embedding(probs, hidden):
  """Returns the gradients, multiplied out, [N, C * D]."""
  residuals = probs.copy()
  residuals[np.arange(len(probs)), probs.argmax(axis=1)] -= 1
  gradients = residuals[:, :, None] * hidden[:, None, :]
  return gradients.reshape(len(probs), -1)


def seeding(rng, points, k):
  """Draws k points by k-means++ seeding, the first one uniformly."""
  picks = [rng.integers(len(points))]
  sq_dists = np.full(len(points), np.inf)
  while len(picks) < k:
    to_last = np.sum((points - points[picks[-1]]) ** 2, axis=1)
    sq_dists = np.minimum(sq_dists, to_last)
    picks.append(rng.choice(len(points), p=sq_dists / sq_dists.sum()))
  return np.array(picks)


def badge(rng, probs, hidden, k):
  """Selects k examples to query."""
  return seeding(rng, gradient_embedding(probs, hidden), k)


print(badge(rng, probs, hidden, 10))

# %% [markdown]
# The kernel takes logits or, as here, log-probabilities. It keeps a gradient as
# its two factors, `p - e` and `h`.

# %%
log_probs = jnp.log(probs)
factors = kernels.gradient_factors(log_probs, hidden)
print('factors:', factors.left.shape, factors.right.shape)

k = 50
draw = jax.jit(functools.partial(kernels.kmeans_plus_plus, k=k))
draw = draw.lower(jax.random.key(0), factors).compile()
print(draw(jax.random.key(0), factors).indices[:10])

# %% [markdown]
# ## Gradients are long where the network is unsure
#
# Plot the length of each gradient against the gap between the two largest
# probabilities. The rings mark one batch. It prefers long gradients, but is not
# simply the longest ones.

# %%
gradients = gradient_embedding(probs, hidden)
lengths = np.linalg.norm(gradients, axis=1)
gaps = -np.asarray(kernels.margin(log_probs))
batch = np.asarray(draw(jax.random.key(0), factors).indices)

_, axes = plt.subplots(figsize=(5.6, 3), layout='constrained')
axes.scatter(gaps, lengths, s=6, color=style.COLOURS[0], alpha=0.4)
axes.scatter(
  gaps[batch],
  lengths[batch],
  s=36,
  facecolor='none',
  edgecolor=style.COLOURS[1],
  label=f'a batch of {k}',
)
style.plain_axes(axes, 'gap of the two top classes', 'gradient length')
_ = axes.legend(frameon=False)

# %% [markdown]
# ## The same embeddings
#
# The outer product of the factors is the gradient. Distances between gradients
# can be computed from the factors:
#
# $$ |q h^\top - p g^\top|^2
#   = |q|^2 |h|^2 + |p|^2 |g|^2 - 2 (q \cdot p)(h \cdot g). $$

# %%
theirs = kernels.gradient_embedding(log_probs, hidden).reshape(gradients.shape)
print('largest difference in embeddings:', np.abs(theirs - gradients).max())

some = kernels.Factors(factors.left[:60], factors.right[:60])
sq_dists = np.sum((gradients[:60, None] - gradients[None, :60]) ** 2, axis=2)
by_kernel = jax.jit(kernels.squared_distances)(some, some)
print('largest difference in distances: ', np.abs(by_kernel - sq_dists).max())
print('                largest distance: ', sq_dists.max())

# %% [markdown]
# ## The same distribution
#
# Two programs that draw at random cannot be compared pick by pick, but their
# frequencies can. Eight examples have 56 possible batches of three. Both
# programs draw 3,000 batches.

# %%
eight = np.argsort(lengths)[-400::50]
few = kernels.Factors(factors.left[eight], factors.right[eight])


@jax.jit
def many(keys):
  """Draws a batch of three for each key."""
  return jax.lax.map(
    lambda key: kernels.kmeans_plus_plus(key, few, 3).indices, keys
  )


def frequencies(batches):
  """Counts how often each set was drawn."""
  return collections.Counter(tuple(sorted(batch)) for batch in batches)


of_numpy = frequencies(
  seeding(rng, gradients[eight], 3).tolist() for _ in range(3000)
)
of_kernel = frequencies(
  many(jax.random.split(jax.random.key(7), 3000)).tolist()
)

# %% [markdown]
# The bars are counts of NumPy. The dots are counts of the kernel, with two
# standard errors of the difference: nearly all of these ranges should include
# the end of the bar. A chi-square test sums this up in one number: its p-value
# should not be tiny.

# %%
sets = [batch for batch, _ in (of_numpy + of_kernel).most_common()]
ours = np.array([of_numpy[batch] for batch in sets])
theirs = np.array([of_kernel[batch] for batch in sets])
# The test needs sets that are not rare, so rare ones are counted together.
common = ours + theirs >= 20
table = [
  np.append(counts[common], counts[~common].sum()) for counts in (ours, theirs)
]
table = np.array(table)[:, np.sum(table, axis=0) > 0]
p_value = scipy.stats.chi2_contingency(table).pvalue

_, axes = plt.subplots(figsize=(6.4, 2.8), layout='constrained')
axes.bar(np.arange(len(sets)), ours, color='#BBBBBB', label='NumPy')
axes.errorbar(
  np.arange(len(sets)),
  theirs,
  2 * np.sqrt(ours + theirs),
  fmt='.',
  ms=5,
  lw=1,
  color=style.COLOURS[1],
  label='kernel',
)
style.plain_axes(
  axes,
  'sets of three, most frequent first',
  'draws, of 3,000',
  f'chi-square test: p = {p_value:.2f}',
)
_ = axes.legend(frameon=False)

# %% [markdown]
# ## The cost
#
# So why a kernel? First, memory: the 30 lines hold C times D numbers for every
# point of the pool. Second, time: they read all of these numbers for every
# pick. The kernel reads only the factors, and most picks do not read the pool
# at all (`docs/kernels.md` says how, and why the draws stay exact).
#
# The table compares the memory of the gradients, in NumPy's float64, with all
# the memory of the kernel, in float32. Compile time is left out. The seconds
# are those of the machine that ran this page, a busy one with two cores: look
# at the ratio.

# %%
large = np.random.default_rng(1)
pools = {
  'digits': (probs, hidden),
  'random': (large.dirichlet(np.ones(10), 8000), large.normal(size=(8000, 64))),
}
print(f'{"pool":8}{"N":>7}{"MB: NumPy":>13}{"kernel":>9}', end='')
print(f'{"seconds: NumPy":>18}{"kernel":>9}')
for name, (probs_of, hidden_of) in pools.items():
  points = kernels.gradient_factors(jnp.log(probs_of), hidden_of)
  if name != 'digits':
    draw = jax.jit(functools.partial(kernels.kmeans_plus_plus, k=k))
    draw = draw.lower(jax.random.key(0), points).compile()
  jax.block_until_ready(draw(jax.random.key(0), points))

  begin = time.perf_counter()
  badge(rng, probs_of, hidden_of, k)
  middle = time.perf_counter()
  jax.block_until_ready(draw(jax.random.key(1), points))
  end = time.perf_counter()

  memory = draw.memory_analysis()
  kernel_bytes = memory.temp_size_in_bytes + memory.argument_size_in_bytes
  numpy_bytes = 8 * len(probs_of) * probs_of.shape[1] * hidden_of.shape[1]
  print(
    f'{name:8}{len(probs_of):7}{numpy_bytes / 1e6:13.1f}'
    f'{kernel_bytes / 1e6:9.1f}{middle - begin:18.3f}{end - middle:9.3f}'
  )

# %% [markdown]
# At the size of ImageNet, with 1,000 classes and 2,048 hidden units, no
# ordinary machine has the memory for the gradients. The compiler reports the
# memory that the kernel needs for 1,000 picks, without running it.

# %%
sizes = np.array([1_000, 40_000, 1_280_000])
multiplied_out = 4 * sizes * 1000 * 2048
kept_apart = []
for size in sizes:
  left = jax.ShapeDtypeStruct((size, 1000), jnp.float32)
  right = jax.ShapeDtypeStruct((size, 2048), jnp.float32)
  draw = jax.jit(functools.partial(kernels.kmeans_plus_plus, k=1000))
  draw = draw.lower(jax.random.key(0), kernels.Factors(left, right)).compile()
  memory = draw.memory_analysis()
  kept_apart.append(memory.temp_size_in_bytes + memory.argument_size_in_bytes)

_, axes = plt.subplots(figsize=(5.6, 2.8), layout='constrained')
for number, (name, size) in enumerate(
  {
    'gradients, multiplied out': multiplied_out,
    'kernel, including factors': kept_apart,
  }.items()
):
  axes.loglog(
    sizes, np.array(size) / 1e9, label=name, **style.line_style(number)
  )
axes.axhline(16, color='grey', lw=1, ls=':')
axes.annotate('a laptop, 16 GB', (1.1e5, 22), color='grey', fontsize=8)
style.plain_axes(axes, 'pool size', 'GB (float32)')
_ = axes.legend(frameon=False, fontsize=8)

# %% [markdown]
# ## Read next
#
# - `docs/badge.md`: results of BADGE. The strategy is in
#   `al_jax/strategies/badge.py`.
# - `al_jax/kernels/kmeans_plus_plus.py` and `_blocks.py`: exact draws that do
#   not read the whole pool.
# - `docs/reproducibility.md`: differences from the papers, with reasons.
# - `05_own_strategy`: write your own.

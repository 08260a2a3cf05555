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
# # 12. Ten labels
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER, here and below, with the account that has your copy.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/12_ten_labels.ipynb
#
# One labelled digit of each class, and 1,400 without a label. A network that
# trains on ten labels alone knows little. *Label propagation* also uses the
# digits without labels: each label flows along a graph of similar digits.
#
# You will see: the graph, the pseudo-labels that it gives, which of them are
# right, how sure they are, and the learner in a run.

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

import matplotlib.pyplot as plt
import numpy as np
from IPython import display
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import Isomap

import al_jax
from al_jax import kernels, plotting
from al_jax.plotting import style

folder = pathlib.Path(tempfile.mkdtemp())  # for pictures
dataset = al_jax.load('digits')
pictures = dataset.train.inputs
embeddings = pictures.reshape(len(pictures), -1) / np.float32(255)
classes = np.asarray(dataset.train.targets)

# %% [markdown]
# ## Labels alone
#
# The kernels take any embeddings: here the 64 grey values of a digit. Draw one
# digit of each class, train a linear model on the ten, and predict the others.
# Do that with four draws. Which ten digits have labels matters a lot.


# %%
def first_labels(seed, of_each=1):
  """Draws digits of each class; returns int[N], -1 where none is known."""
  draw = np.random.default_rng(seed)
  known = np.full(len(classes), -1)
  for number in range(10):
    of_class = np.flatnonzero(classes == number)
    known[draw.choice(of_class, of_each, replace=False)] = number
  return known


def by_labels_alone(known):
  """Predicts the pool with a linear model, trained on the labelled set."""
  model = LogisticRegression(max_iter=500)
  model.fit(embeddings[known >= 0], known[known >= 0])
  return model.predict(embeddings)


def share_right(predicted, known):
  """Returns the accuracy on the digits without a label."""
  return np.mean((predicted == classes)[known < 0])


for seed in range(4):
  known = first_labels(seed)
  print(f'draw {seed}: {share_right(by_labels_alone(known), known):.1%} right')

# %% [markdown]
# ## The graph
#
# `knn_graph` finds the nearest neighbours of each digit, here ten by cosine. It
# needs no labels. Most edges stay within a class: labels can flow along them.
#
# Below, an example and its neighbours, nearest first, with their true classes.
# The two upper rows are typical. The two lower ones are the worst of the pool:
# none or nearly none of their neighbours is of their class.

# %%
graph = kernels.knn_graph(embeddings, 10)
neighbors = np.asarray(graph.neighbors)
same_class = np.mean(classes[neighbors] == classes[:, None], axis=1)
print(f'edges within a class: {same_class.mean():.1%}')

examples = [3, 17, *np.argsort(same_class, kind='stable')[:2]]
rows = [[example, *neighbors[example]] for example in examples]
plotting.gallery(
  [pictures[row] for row in rows],
  [classes[row].astype(str) for row in rows],
  folder / 'neighbours.png',
  row_titles=[f'example {example}' for example in examples],
)
display.Image(folder / 'neighbours.png', width=640)

# %% [markdown]
# ## Labels flow
#
# `label_propagation` takes the graph and the known labels. Each digit gets the
# class of which most arrives there: a *pseudo-label*. It costs no query.
# -1 means that no label arrives. `union` keeps an edge that one end lists, and
# `reciprocal` only those that both ends list.
#
# The rows below are draws of labels, the columns are shares of right labels
# among the rest of the pool. A digit that no label reaches counts as wrong.


# %%
def propagated(known, kind='union'):
  """Returns pseudo-labels and their certainty, on the host."""
  found = kernels.label_propagation(graph, known, 10, graph_kind=kind)
  return np.asarray(found.pseudo_labels), np.asarray(found.certainty)


lines = ['labels  draw  labels alone  union  reciprocal  not reached']
for of_each in (1, 2, 5, 10):
  for seed in (0, 1):
    known = first_labels(seed, of_each)
    union, reciprocal = (
      propagated(known, kind)[0] for kind in ('union', 'reciprocal')
    )
    alone = share_right(by_labels_alone(known), known)
    lines.append(
      f'{10 * of_each:6}{seed:6}{alone:14.1%}{share_right(union, known):7.1%}'
      f'{share_right(reciprocal, known):12.1%}{np.sum(reciprocal < 0):13}'
    )
print('\n'.join(lines))

# %% [markdown]
# Compare the first rows with the last: with 100 labels there is less to gain.
#
# ## How sure they are
#
# Go back to ten labels. Left: the pool in the plane, by scikit-learn's Isomap,
# with the labelled digits as stars. Grey pseudo-labels are right, and the
# others are wrong. Mistakes come in patches, since neighbours share a label.
#
# Right: pseudo-labels sorted by certainty, in ten parts of equal size. The
# certainty is near 0 where several classes arrive in equal parts. Training
# weighs each pseudo-label by its certainty. See whether the sure ones are right
# more often.
#
# Below: the surest, the least sure, and the surest of the wrong ones. Captions
# are pseudo-labels; `4 (9)` is a 9 that is taken for a 4.

# %%
known = first_labels(0)
labels, certainty = propagated(known)
is_known, is_right = known >= 0, labels == classes
order = np.flatnonzero(~is_known)
order = order[np.argsort(certainty[order])]
plane = Isomap(n_neighbors=10).fit_transform(embeddings)

_, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout='constrained')
left.scatter(*plane[is_right].T, s=4, color='lightgrey')
left.scatter(*plane[~is_right].T, s=6, color=style.COLOURS[1])
left.scatter(*plane[is_known].T, s=80, marker='*', color=style.COLOURS[0])
left.set(xticks=[], yticks=[])
parts = [np.mean(part) for part in np.array_split(is_right[order], 10)]
right.bar(range(1, 11), parts, color=style.COLOURS[0])
right.set_xticks(range(1, 11))
style.plain_axes(right, 'tenth of the pool, from unsure to sure', 'right')
style.percent_axis(right.yaxis)

# %%
wrong = order[~is_right[order]]
rows = {
  'surest': order[::-1][:10],
  'least sure': order[:10],
  'sure and wrong': wrong[::-1][:10],
}
caption = [
  f'{label}' if label == true else f'{label} ({true})'
  for label, true in zip(labels, classes, strict=True)
]
plotting.gallery(
  [pictures[row] for row in rows.values()],
  [[caption[index] for index in row] for row in rows.values()],
  folder / 'sure.png',
  row_titles=list(rows),
)
display.Image(folder / 'sure.png', width=640)

# %% [markdown]
# ## In a run
#
# `propagation_random` queries at random, as `random` does. It makes the graph
# from the embeddings of its own network, before each epoch, and trains on known
# labels and on pseudo-labels. The first set has one digit of each class, the
# same for both systems of a seed. To draw it so, the classes of the whole pool
# are read: with real data you may not be able to.
#
# The table below the curves says how many pseudo-labels were right. The network
# learns from them, and yet may be right less often on the test digits.

# %%
results = al_jax.run(
  ['random', 'propagation_random'],
  dataset,
  protocol={
    'rounds': 3,
    'labels_per_round': 10,
    'first_size': 10,
    'first_set': 'balanced',
  },
  seeds=2,
  model={'name': 'mlp', 'widths': (64,)},
  learner={'label_propagation': {'neighbors': 10, 'stop': {'epochs': 15}}},
  quiet=True,
)
results.figure().savefig(folder / 'curves.png', dpi=110)
display.Image(folder / 'curves.png', width=560)

# %%
print(results)
print()
print('seed  labels  pseudo-labels  right  test accuracy')
for record in results.records:
  if record.system == 'propagation_random':
    print(
      f'{record.seed:4}{record.labels:8}{record.train["pseudo_labels"]:15.0f}'
      f'{record.train["pseudo_label_accuracy"]:7.1%}'
      f'{record.test["accuracy"]:15.1%}'
    )

# %% [markdown]
# Propagation helps where neighbours share a class, as they do here. Look at the
# share of edges within a class before you rely on it.
#
# ## Read next
#
# - `docs/rethinking.md`: MNIST and CIFAR-10, where it gives less, small and
#   large budgets, and four strategies.
# - `docs/kernels.md`: formulas, cost and memory.
# - `help(kernels.label_propagation)`: `alpha`, `gamma` and the solver.

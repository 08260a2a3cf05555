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
# # 2. One round, by hand
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER by the owner of your copy, in this link and in the next cell.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/02_one_round.ipynb
#
# One round of active learning: train on the labelled set, measure the pool,
# select a batch, query its labels, and record the answers. `al_jax.loop` does
# this round after round. Here you do it once, step by step, on scikit-learn's
# digits. At the end you see that the loop does the same.

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
import matplotlib.pyplot as plt
import numpy as np
from IPython import display

from al_jax import (
  data,
  inference,
  kernels,
  keys,
  loop,
  oracle,
  plotting,
  pool,
  systems,
)
from al_jax.interfaces import Question
from al_jax.loop import program, protocol
from al_jax.plotting import style
from al_jax.training import fit

folder = pathlib.Path(tempfile.mkdtemp())  # for pictures

# %% [markdown]
# ## The data set and its facts
#
# The training split is the pool. Its labels exist, but from here on only the
# oracle has them. Learners and strategies receive *facts*: sizes, shapes and
# the number of classes, but no labels.

# %%
dataset = data.load('digits')
print(dataset.train, dataset.test)

facts = program.facts_of(dataset, label_budget=30)
print('pool:', facts.num_examples, ' task:', facts.task.describe())

answers = oracle.SimulatedOracle(dataset.train.targets, dataset.task)

# %% [markdown]
# ## A system: a learner and a strategy
#
# A system has a learner and a strategy; one name selects both. Each is a tuple
# of pure functions. They hold no state: they take it as an argument and return
# the new one.

# %%
system = systems.build(
  'margin',
  facts,
  model={'name': 'mlp', 'widths': (64,)},
  learner={'batch_size': 16, 'stop': {'epochs': 60}},
)
learner, strategy = system.learner, system.strategy
print('learner: ', *learner._fields)
print('strategy:', *strategy._fields)

# %% [markdown]
# ## The state of the pool
#
# Four arrays, each as long as the pool, record which examples were queried, in
# which round, and the answers. Their shapes never change, so new labels need no
# recompilation. The first 20 queries are drawn uniformly. Labels cost: the
# oracle returns the number of labels paid for so far.
#
# Every random choice has its own key, made from the seed and a purpose.

# %%
SEED = 0
state = pool.create(facts.num_examples)
first = kernels.uniform(
  keys.for_run(SEED, keys.FIRST_SET), pool.eligible(state), 20
).indices
paid, said = answers.ask(keys.for_run(SEED, keys.ORACLE), 0, Question(first))
state = pool.reveal(state, first, said.targets, said.annotator, round=0)

print('paid:', paid, ' eligible:', int(pool.eligible(state).sum()))
print('answers by class:', np.bincount(said.targets, minlength=10))

# %% [markdown]
# ## Train
#
# `start` begins a round. At each step the learner *plans* which examples it
# needs, the examples are gathered, and *step* updates the state and reports
# whether training is done. `fit.step_from` combines these three.

# %%
inputs = {'pool': jnp.asarray(dataset.train.inputs)}
step = jax.jit(fit.step_from(learner.phases[0]))

learner_state = learner.init(keys.for_run(SEED, keys.INITIALISE))
learner_state = learner.start(
  keys.for_round(SEED, 0, keys.START), learner_state, state
)
losses, done = [], False
while not done:
  learner_state, progress = step(learner_state, state, inputs)
  losses.append(float(progress.metrics['loss']))
  done = bool(progress.done)

# %%
apply = jax.jit(functools.partial(learner.apply, learner_state))
logits = apply(dataset.test.inputs).predictions
accuracy = np.mean(np.argmax(logits, axis=1) == dataset.test.targets)

_, axes = plt.subplots(figsize=(5.6, 2.4), layout='constrained')
axes.plot(losses, color=style.COLOURS[0])
style.plain_axes(
  axes, 'step', 'loss of last epoch', f'20 labels: test accuracy {accuracy:.1%}'
)

# %% [markdown]
# ## Measure
#
# A strategy has two main functions, *measure* and *select*. *measure* maps a
# batch of examples to the values that the choice needs; margin needs one number
# per example. `make_pool_map` runs it over the pool in chunks, so the memory it
# needs does not grow with the pool.


# %%
def measure(args, batch):
  """Measures a batch with the trained network."""
  key, learner_state = args
  return strategy.measure(
    key, functools.partial(learner.apply, learner_state), batch
  )


scores = inference.make_pool_map(measure)(
  (keys.for_round(SEED, 0, keys.MEASURE), learner_state), inputs['pool']
)
print(scores.shape, scores.dtype)

# %% [markdown]
# The score is minus the gap between the probabilities of the two likeliest
# classes. The closer it is to 0, the less sure the network is. After 20 labels
# the network is unsure about much of the pool, and the ten largest scores are
# nearly tied.

# %%
_, axes = plt.subplots(figsize=(5.6, 2.4), layout='constrained')
axes.hist(scores, bins=50, color=style.COLOURS[0])
style.plain_axes(axes, 'margin score', 'examples')
axes.set_xlim(-1, 0.1)
tenth = float(np.sort(scores)[-10])
axes.axvline(tenth, color=style.COLOURS[1], lw=1)
_ = axes.annotate(
  'ten are\nright of\nthis line',
  (tenth + 0.01, 40),
  color=style.COLOURS[1],
  fontsize=8,
)

# %% [markdown]
# ## Select
#
# *select* picks a batch from the measurements of the whole pool. It never picks
# an example that was queried before, nor the same example twice.

# %%
strategy_state = strategy.init(facts)  # `()`: margin has no state
seen = jnp.ones(len(scores), bool)  # the whole pool was measured
strategy_state, selection = strategy.select(
  keys.for_round(SEED, 0, keys.SELECT), strategy_state, scores, seen, state, 10
)
picks = np.asarray(selection.indices)
print('picks: ', picks)
print('scores:', np.round(selection.values, 4))

# %% [markdown]
# The upper row shows the picks of margin, the lower row ten random ones. The
# captions are the true classes, which the learner and the strategy have not
# seen.

# %%
random_picks = np.asarray(
  kernels.uniform(jax.random.key(1), pool.eligible(state), 10).indices
)
plotting.gallery(
  [dataset.train.inputs[picks], dataset.train.inputs[random_picks]],
  [dataset.train.targets[rows].astype(str) for rows in (picks, random_picks)],
  folder / 'picks.png',
  row_titles=['margin', 'random'],
)
display.Image(folder / 'picks.png', width=640)

# %% [markdown]
# Why does margin query these? The bars are the predictions for the first five.
# The network cannot decide between the two highest bars. The filled bar is the
# true class: often one of the two, but not always.

# %%
probs = jax.nn.softmax(apply(dataset.train.inputs[picks[:5]]).predictions)
_, rows = plt.subplots(
  2, 5, figsize=(8, 2.7), layout='constrained', height_ratios=(1.2, 1)
)
for (top, bottom), index, of_classes in zip(
  rows.T, picks, np.asarray(probs), strict=False
):
  top.imshow(dataset.train.inputs[index][..., 0], cmap='gray')
  top.axis('off')
  bars = bottom.bar(
    np.arange(10), of_classes, edgecolor=style.COLOURS[1], fill=False
  )
  bars[dataset.train.targets[index]].set(fill=True, color=style.COLOURS[1])
  bottom.set_xticks(np.arange(10))
  bottom.set_yticks([])
  bottom.set_ylim(0, 0.6)
  bottom.tick_params(labelsize=7, length=0)
  bottom.spines[['top', 'left', 'right']].set_visible(False)

# %% [markdown]
# ## Query, and reveal the answers
#
# Now pay for the answers and write them into the pool. Training in the next
# round is the first to see them.

# %%
paid, said = answers.ask(keys.for_run(SEED, keys.ORACLE), paid, Question(picks))
state = pool.reveal(
  state, jnp.asarray(picks), said.targets, said.annotator, round=1
)
print('paid:', paid, ' trainable:', int(pool.trainable(state).sum()))
print('queried in round 0, 1:', np.bincount(state.acquired_round + 1)[1:])

# %% [markdown]
# ## The loop does the same
#
# Run two rounds of the loop with the same seed. It makes the same queries.

# %%
compiled = program.compile_program(
  system, program.sources_of(dataset), dataset.train.ids
)
proceeding = protocol.Protocol(rounds=2, labels_per_round=10, first_size=20)
for record in loop.run_rounds(compiled, answers, proceeding, seeds=[SEED]):
  print(f'{record.labels} labels: {record.test["accuracy"]:.1%}', record.picks)
  if record.picks:
    print('   also queried by hand:', len(set(record.picks) & set(picks)))

# %% [markdown]
# ## Read next
#
# - `03_full_loop`: many rounds, several strategies, several seeds.
# - `docs/extending.md`: a learner and a strategy of your own. Their interfaces
#   are in `al_jax/interfaces/`.
# - `al_jax/loop/rounds.py`: this notebook as a generator, with checkpoints.

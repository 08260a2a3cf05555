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
# # 3. The full loop, and a fair comparison
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER by the owner of your copy, in this link and in the next cell.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/03_full_loop.ipynb
#
# Do clever queries beat random ones? One run cannot tell: the first labels and
# the initial weights matter as much as the strategy. So three systems run here
# on three seeds each. For each seed, all systems begin with the same labels and
# the same weights.

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

from al_jax import data, loop, oracle, plotting, systems
from al_jax.analysis import curves, intervals, tables
from al_jax.loop import program, protocol
from al_jax.plotting import style
from al_jax.storage import records

folder = pathlib.Path(tempfile.mkdtemp())  # for pictures and results

# %% [markdown]
# ## Systems and protocol
#
# - `random` draws uniformly. Every strategy has to beat it, and many do not.
# - `margin` queries examples whose two likeliest classes are closest.
# - `badge` queries a batch whose gradients are long and diverse.
#
# A run begins with 20 labels and queries 20 more per round, up to 140.

# %%
SYSTEMS, SEEDS = ('random', 'margin', 'badge'), [0, 1, 2]

dataset = data.load('digits')
proceeding = protocol.Protocol(rounds=7, labels_per_round=20, first_size=20)
facts = program.facts_of(dataset, proceeding.budget)
sources = program.sources_of(dataset)
answers = oracle.SimulatedOracle(dataset.train.targets, dataset.task)

# %% [markdown]
# ## The loop
#
# `compile_program` compiles all functions of a system once; here the three
# seeds share each call (`num_lanes`). `run_rounds` is a generator that yields a
# record per round and seed as soon as it is complete. If you stop iterating,
# the run stops.

# %%
results = []
for name in SYSTEMS:
  system = systems.build(
    name,
    facts,
    model={'name': 'mlp', 'widths': (64,)},
    learner={'batch_size': 16, 'stop': {'epochs': 60}},
  )
  compiled = program.compile_program(
    system, sources, dataset.train.ids, num_lanes=len(SEEDS)
  )
  results += loop.run_rounds(compiled, answers, proceeding, SEEDS)

print(len(results), 'records; the last:')
print(records.log_line(results[-1], dataset.task.headline))

# %% [markdown]
# ## The curves
#
# The band is one standard error on either side of the mean over seeds. Three
# seeds estimate it only roughly: look for gaps that are much wider.

# %%
plotting.learning_curves(results, folder / 'curves.png')
display.Image(folder / 'curves.png', width=560)

# %% [markdown]
# ## The same as tables
#
# The first table has every point of the curves. The second has one row per
# system, with the last point and the *area*: the mean height of the curve,
# which does not depend on one lucky round. The difference to random is paired
# by seed, because systems of one seed start alike; p comes from a paired
# t-test. Three pairs rarely give a small p, even if the curves look far apart:
# run more seeds.

# %%
print(tables.round_table(results))

# %%
print(tables.summary_table(results))

# %% [markdown]
# ## Labels saved
#
# Read the curves sideways: how many labels does a system need to match the
# final accuracy of random? The brackets show the 95% interval of a bootstrap
# over seeds; `inf` means that it did not get there.

# %%
by_system = curves.runs(results)
for name in SYSTEMS:
  needed = intervals.labels_to_reach(by_system[name], by_system['random'])
  print(
    f'{name:8}{needed.estimate:5.0f}  [{needed.low:.0f}, {needed.high:.0f}]'
  )

# %% [markdown]
# ## The queries
#
# A record holds the picks and their classes. Random follows the classes of the
# pool, up to chance; the other two query more examples of the hard classes.

# %%
_, axes = plt.subplots(figsize=(6.4, 2.6), layout='constrained')
for number, name in enumerate(SYSTEMS):
  of_system = [r.pick_classes for r in results if r.system == name]
  counts = np.sum(of_system, axis=0)
  axes.bar(
    np.arange(10) + 0.27 * (number - 1),
    counts / counts.sum(),
    0.25,
    color=style.COLOURS[number],
    label=name,
  )
style.plain_axes(axes, 'class', 'share of picks')
style.percent_axis(axes.yaxis)
axes.set_xticks(np.arange(10))
_ = axes.legend(frameon=False, ncols=3, fontsize=8, loc='upper left')

# %%
first_of = {
  name: next(r for r in results if r.system == name).picks[:10]
  for name in SYSTEMS
}
plotting.gallery(
  [dataset.train.inputs[picks] for picks in first_of.values()],
  [dataset.train.targets[picks].astype(str) for picks in first_of.values()],
  folder / 'asked.png',
  row_titles=list(SYSTEMS),
)
display.Image(folder / 'asked.png', width=640)

# %% [markdown]
# ## Save the records
#
# Each record becomes one line of JSON, and reads back exactly.

# %%
records.write_jsonl(folder / 'records.jsonl', results)
print(records.read_jsonl(folder / 'records.jsonl') == results)

# %% [markdown]
# ## Read next
#
# - `python -m experiments.run --config=configs/quickstart.py
#   --workdir=runs/quickstart` in a clone: this comparison with five seeds, from
#   a config. It resumes after an interruption.
# - `docs/uncertainty.md`: the same question on MNIST and CIFAR-10.
# - `04_badge_from_scratch`: how `badge` works. `05_own_strategy`: try to do
#   better.

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
# Put the owner of your copy in the place of OWNER, in this link and below.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/03_full_loop.ipynb
#
# Is it better to ask cleverly than to label at random? One run cannot tell:
# which examples come first and where the weights start matter as much as the
# strategy. So here three systems run on three seeds each, and all systems of a
# seed begin with the same labels and the same weights.

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
# ## What is compared
#
# - `random` draws uniformly. Every strategy has to beat it, and many do not.
# - `margin` asks where the two likeliest classes are closest.
# - `badge` asks for a batch of gradients that are long and different.
#
# The protocol: 20 labels to begin with, then 20 more a round, up to 140.

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
# `compile_program` makes all compiled functions of a system once; here the
# three seeds share each call (`num_lanes`). `run_rounds` is a generator: a
# record per round and seed, as they are done. Stop iterating and it stops.

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
# The band is one standard error on both sides of the mean over seeds. With
# three seeds it is itself a rough guess: look for gaps that are much wider.

# %%
plotting.learning_curves(results, folder / 'curves.png')
display.Image(folder / 'curves.png', width=560)

# %% [markdown]
# ## The same as tables
#
# The first has every point of the curves. The second has one row per system:
# the last point, and the *area*, the mean height of the curve, which does not
# hang on one lucky round. The difference to random is taken seed by seed, which
# is what starting alike is good for, and p is of its t-test. Three pairs seldom
# give a small p, even where curves look far apart: ask for more seeds.

# %%
print(tables.round_table(results))

# %%
print(tables.summary_table(results))

# %% [markdown]
# ## Labels saved
#
# Read the curves sideways: at how many labels is a system as good as random is
# with all of its own? In brackets, what 95% of the draws of a bootstrap over
# seeds say; `inf` is "it did not get there".

# %%
by_system = curves.runs(results)
for name in SYSTEMS:
  needed = intervals.labels_to_reach(by_system[name], by_system['random'])
  print(
    f'{name:8}{needed.estimate:5.0f}  [{needed.low:.0f}, {needed.high:.0f}]'
  )

# %% [markdown]
# ## What they asked about
#
# A record knows the picks, and the classes that they turned out to be. Random
# asks for what there is; the others ask more of what is hard.

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
style.plain_axes(axes, 'class', 'share of the picks')
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
# ## Keep them
#
# A line of JSON per record, and it reads back exactly.

# %%
records.write_jsonl(folder / 'records.jsonl', results)
print(records.read_jsonl(folder / 'records.jsonl') == results)

# %% [markdown]
# ## What to read next
#
# - `python -m experiments.run --config=configs/quickstart.py
#   --workdir=runs/quickstart` in a clone: this with five seeds, from a config,
#   and it goes on where it was interrupted.
# - `docs/uncertainty.md`: the same question on MNIST and CIFAR-10.
# - `04_badge_from_scratch`: what `badge` does. `05_own_strategy`: do better.

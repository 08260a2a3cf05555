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
# # 13. Many seeds, many devices
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER, here and below, with the account that has your copy.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/13_seeds_and_devices.ipynb
#
# One run of a strategy says little: the first labels and the weights of a
# network are drawn, and another draw gives another accuracy. So repeat each
# system with several seeds, and compare seed by seed.
#
# You will see: several seeds in one call, where pairing by seed helps and where
# it does not, and that neither other seeds nor several devices change a pick.

# %%
# Does nothing where al_jax can be imported already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec('al_jax') is None:
  source = 'al-jax[experiments] @ git+https://github.com/OWNER/al_jax'
  subprocess.run([sys.executable, '-m', 'pip', 'install', source], check=True)

# %%
import json
import pathlib
import subprocess
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from IPython import display

import al_jax
from al_jax.analysis import curves
from al_jax.plotting import style

SEEDS = 5
folder = pathlib.Path(tempfile.mkdtemp())  # for pictures and arrays

# %% [markdown]
# ## Several seeds in one call
#
# Each system runs once per seed. The band is one standard error on both sides
# of the mean.
#
# All systems of a seed share the first labelled set and the initial weights. So
# with 20 labels they have the same accuracy, in each row of the table. From the
# second round on they differ.

# %%
OPTIONS = {
  'protocol': {'rounds': 4, 'labels_per_round': 20, 'first_size': 20},
  'model': {'name': 'mlp', 'widths': [64]},
  'learner': {'batch_size': 16, 'stop': {'epochs': 30}},
  'chunk_size': 200,
  'quiet': True,
}
results = al_jax.run(['random', 'margin'], 'digits', seeds=SEEDS, **OPTIONS)
results.figure().savefig(folder / 'curves.png', dpi=110)
display.Image(folder / 'curves.png', width=560)

# %%
by_system = curves.runs(results.records)
labels = curves.labels_of_all(by_system)
print('labels ', *(f'{number:15}' for number in labels))
print('seed   ', *(f'{"random":>8}{"margin":>7}' for _ in labels))
for seed in range(SEEDS):
  row = [
    ''.join(f'{by_system[name][seed][number]:7.1%}' for name in by_system)
    for number in labels
  ]
  print(f'{seed:6}  ', '  '.join(row))

# %% [markdown]
# ## Differences within a seed
#
# A seed that begins with good labels is good for both systems. The difference
# within a seed leaves that luck out.
#
# Left: margin minus random, a line per seed, and their mean. All lines begin at
# 0, where the two systems are still the same. Right: the standard error of the
# mean difference, paired by seed, and as if the systems had drawn different
# seeds.
#
# At the start pairing removes all luck. Then each system queries other
# examples, and the two share less. With few seeds the paired error may even
# come out as the larger one. It is still the one to report, since the systems
# of a seed are not independent.

# %%
table = {
  name: np.array([[run[n] for n in labels] for run in by_seed.values()])
  for name, by_seed in by_system.items()
}
difference = table['margin'] - table['random']
unpaired = np.hypot(*(of.std(axis=0, ddof=1) for of in table.values()))
paired = difference.std(axis=0, ddof=1)

_, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout='constrained')
left.plot(labels, difference.T, marker='o', lw=1, color='grey')
left.plot(labels, difference.mean(axis=0), lw=3, color=style.COLOURS[1])
style.plain_axes(left, 'labels', 'margin minus random')
for colour, name, spread in (
  (style.COLOURS[1], 'paired', paired),
  (style.COLOURS[0], 'not paired', unpaired),
):
  spread = spread / np.sqrt(SEEDS)
  right.plot(labels, spread, marker='o', color=colour, label=name)
style.plain_axes(right, 'labels', 'standard error')
_ = right.legend(frameon=False)

# %% [markdown]
# `paired_difference` gives the same with a t-test. With few seeds p is seldom
# small; with many tests one may be small by chance.

# %%
for number in labels[1:]:
  found = curves.paired_difference(
    *(
      {seed: run[number] for seed, run in by_system[name].items()}
      for name in ('margin', 'random')
    )
  )
  print(
    f'{number} labels: {100 * found.mean:+.1f} points, standard error '
    f'{100 * found.standard_error:.1f}, p {found.p_value:.3f}'
  )

# %% [markdown]
# ## Several devices
#
# A CPU can look like four devices, if that is set before JAX starts: at the top
# of a notebook, by `jax.config.update('jax_num_cpu_devices', 4)`. This notebook
# has started JAX already, so a second process does the rest.
#
# The script has two parts. `kernels.Sharded` stands for rows that devices hold
# in equal parts; `k_center` takes it in the place of points. And `al_jax.run`
# divides the pool by itself. It runs one seed alone, which above was one of
# several, on one device. (If this notebook runs on a GPU, the run above may
# round differently from one on a CPU.)
#
# The picture shows the rows that each device holds, by colour, and the picks of
# `k_center`, as stars.

# %%
script = """
import json, sys
import jax
jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 4)
import numpy as np
import al_jax
from al_jax import kernels

points = np.load(sys.argv[1])
found = {'devices': len(jax.devices()), 'picks': {}}
for count in (1, 4):
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), ('pool',))
  rows = jax.device_put(points, jax.NamedSharding(mesh, jax.P('pool')))
  sharded = kernels.Sharded(rows, num_points=len(points), mesh=mesh)
  found['picks'][count] = kernels.k_center(sharded, 16).indices.tolist()
  found['held'] = [
    [shard.index[0].start or 0, shard.data.shape[0]]
    for shard in rows.addressable_shards
  ]
options = json.loads(sys.argv[2])
results = al_jax.run('margin', 'digits', first_seed=3, seeds=1, **options)
found['run'] = [record.picks for record in results.records]
print(json.dumps(found))
"""

# %%
file = folder / 'points.npy'
points = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
np.save(file, points)
child = subprocess.run(
  [sys.executable, '-c', script, str(file), json.dumps(OPTIONS)],
  stdout=subprocess.PIPE,
  text=True,
  check=True,
)
found = json.loads(child.stdout.splitlines()[-1])
print('devices:', found['devices'])
print('k_center, same picks:', found['picks']['1'] == found['picks']['4'])
above = [
  record.picks
  for record in results.records
  if (record.system, record.seed) == ('margin', 3)
]
print('run, same picks:     ', found['run'] == above)

# %%
_, axes = plt.subplots(figsize=(5.6, 3.4), layout='constrained')
for number, (start, size) in enumerate(found['held']):
  part = points[start : start + size]
  axes.scatter(*part.T, s=5, color=style.COLOURS[number], label=f'{number}')
axes.scatter(
  *points[found['picks']['4']].T,
  s=110,
  marker='*',
  color='#F0E442',
  edgecolor='black',
)
axes.set(xticks=[], yticks=[])
_ = axes.legend(title='device', loc='center left', bbox_to_anchor=(1, 0.5))

# %% [markdown]
# A seed does not know the other seeds. So you can add seeds later, or divide
# them over machines, and put the records together.
#
# Four devices on one CPU share its cores, and are not faster. They show that a
# program of yours works with several, before you rent them.
#
# ## Read next
#
# - `docs/devices.md`: the parts of a round that use several devices, several
#   processes, and the cost.
# - `docs/reproducibility.md`: the same command gives the same bits, and the
#   exceptions.
# - `03_full_loop`: tables and intervals of a comparison.

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
# # 10. Reading the report
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER, here and below, with the account that has your copy.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/10_report.ipynb
#
# A report has curves, areas, tests, calibration, time and queries. This page
# runs a small experiment, reads its report from the top, makes one p value
# again by hand, and says how to put the result in a paper.

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
import os
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from IPython import display
from PIL import Image
from scipy import stats

from al_jax.analysis import curves, tables, tests
from al_jax.plotting import style
from al_jax.storage import records

os.chdir(tempfile.mkdtemp())  # the run goes to a new folder

# %% [markdown]
# ## Run it, and write the report
#
# In a shell: `al-jax run --workdir=first ...`, then `al-jax report
# --workdir=first`. Three systems and five seeds, from 20 to 100 labels. All
# systems of a seed begin with the same labels and the same weights.
#
# The last lines are the conclusion. A system is named only if its p, corrected
# for the number of systems, is below 0.05.


# %%
def al_jax_command(*options):
  """Runs a command of the library, as in a shell; returns the output."""
  command = [sys.executable, '-m', 'al_jax', *options, '--workdir=first']
  paths = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
  return subprocess.check_output(command, env=paths, text=True)


protocol = {'rounds': 5, 'labels_per_round': 20, 'first_size': 20}
given = [f'--config.protocol.{name}={n}' for name, n in protocol.items()]
given += ['--config.systems=random,margin,badge', '--config.seeds=5']
given += ['--config.model.widths=64,', '--config.learner.batch_size=16']
given += ['--config.learner.stop.epochs=40', '--quiet']
summary = al_jax_command('run', *given)
print(al_jax_command('report'))

# %% [markdown]
# ## Curves, area, and `minus random`
#
# The horizontal axis is the number of labels paid for, the first set included.
# A line is the mean over seeds, its band one standard error on both sides. Gaps
# that are as narrow as the bands say nothing. All lines begin at one point,
# since the first set and the weights are the same.
#
# `area` is the mean height of the curve: it does not depend on one lucky round.
# The brackets are a bootstrap interval over seeds. `minus random` is the
# difference to random of the same seed, averaged over seeds. `labels needed`
# reads the curves sideways: the number of labels at which a system reaches the
# last accuracy of random.
#
# `report.html` shows these rows; the folder `report` has them as CSV.

# %%
Image.open('first/curves.png').reduce(2)


# %%
def show(name, *columns, digits=3):
  """Prints columns of a CSV file of the report."""
  with open(f'first/report/first_{name}.csv', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))

  def cell(text):
    return f'{float(text):.{digits}f}' if '.' in text else text or '-'

  body = [[cell(row[column]) for column in columns] for row in rows]
  print(tables.aligned([columns, *body]), end='\n\n')


show('results', 'system', 'accuracy', 'area', 'area_low', 'area_high')
show('results', 'system', 'area_minus_random', 'labels_needed')

# %% [markdown]
# ## p, and Holm's correction
#
# p answers one question: if the system were no better than random, how often
# would seeds alone give a difference as clear as this one? It is not the
# probability that the system is no better, and it does not say by how much.
#
# The test is paired: it looks at the difference within each seed. Below are the
# accuracies after the last round, a line for each seed. If a seed is bad for
# all systems, the difference takes this out. `t_p_holm` corrects for the number
# of systems: of many, one looks good by chance.

# %%
rows = records.read_jsonl('first/records.jsonl')
last = curves.last_values(curves.runs(rows))
systems = ['random', 'margin', 'badge']
values = np.array([[last[name][seed] for seed in range(5)] for name in systems])

paired = [stats.ttest_rel(of, values[0]).pvalue for of in values[1:]]
print('p:', np.round(paired, 4), ' Holm:', np.round(tests.holm(paired), 4))
show('tests', 'system', 'of', 'pairs', 't_p', 't_p_holm', digits=4)

_, axes = plt.subplots(figsize=(4.6, 2.8), layout='constrained')
for seed, of_seed in enumerate(values.T):
  axes.plot(systems, of_seed, 'o-', color=style.COLOURS[seed], alpha=0.8)
style.plain_axes(axes, '', 'test accuracy', 'a line for each seed')
style.percent_axis(axes.yaxis)

# %% [markdown]
# The rows `area` test the areas, which need not agree with the accuracy at the
# end. The report has Wilcoxon's test too, which assumes less and sees less:
# with five pairs its p cannot fall below 0.0625, whatever the accuracies.
# Decide on one number and one test before the run. A large p does not mean that
# two systems are equal: ask for more seeds, not for another test.
#
# ## Calibration, and time
#
# A system may be more accurate and less honest: `calibration_error` is the gap
# between the confidence of the network and the share that it gets right. The
# queries are hard examples, so the labelled set is no fair sample of the pool,
# and this gap can grow where accuracy does. Compare both columns.
#
# Seconds are medians over rounds: to train, to measure the pool, to select. The
# first call of each compiles, and is left out.

# %%
show('tests', 'system', 'of', 'wilcoxon_p', 'wilcoxon_p_holm', digits=4)
show(
  'calibration_last',
  'system',
  'test.log_loss',
  'test.calibration_error',
)
show('seconds', 'system', 'fit', 'measure', 'select', digits=4)

# %% [markdown]
# ## Queries
#
# The gallery of a system has its queries with the true label, the prediction
# with its probability, and the score that they were chosen by. Look for what
# surprises you: broken pictures, wrong labels, one class again and again.

# %%
display.Image('first/gallery_margin.png', width=640)

# %% [markdown]
# ## In a paper
#
# > On digits (1,438 examples to query, 359 to test) with an MLP, from 20 to 100
# > labels in batches of 20, over 5 seeds with shared first sets and weights:
# > test accuracy after 100 labels and area under the curve, mean ± standard
# > error; differences to random with two-sided paired t-tests by seed, p after
# > Holm's correction over 2 systems.
#
# Then the table, with all systems that were run, those that lost too. Say when
# the test split was used to stop or to choose. Do not write that a strategy is
# better because its line is higher, or that two are equal because p is large.

# %% [markdown]
# ## What to read next
#
# - `docs/report.md`: every part of the report, and a list to go through before
#   you believe it.
# - `docs/reproducibility.md`: seeds, and every departure from a paper.
# - `docs/uncertainty.md`: a page of results, with its commands.

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
# # 6. Streams: query now or never
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER by the owner of your copy, in this link and in the next cell.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/06_stream.ipynb
#
# Examples come one at a time, and each is gone before the next one comes. You
# may query one example in ten. Which ones?
#
# You will see why a threshold on uncertainty does not keep a budget, how a
# budget manager keeps it, a loop around your own model, and the same loop in
# one call of the library.

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

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from IPython import display
from sklearn.linear_model import LogisticRegression

from al_jax import data, kernels, loop, oracle, plotting, systems
from al_jax.analysis import streams
from al_jax.loop import program, protocol
from al_jax.loop.stream import Stream
from al_jax.plotting import style

BUDGET = 0.1

# %% [markdown]
# ## A stream that changes
#
# The stream has digits in an order made for this page: the first half has only
# the digits 0 to 4; from then on 5 to 9 come too.

# %%
digits = data.load(
  {
    'source': 'digits',
    'transforms': [{'name': 'drift', 'kind': 'abrupt', 'at': 0.5}],
  }
)
inputs = digits.train.inputs.reshape(len(digits.train), -1) / 16
classes = digits.train.targets
change = len(classes) // 2
print(
  len(classes), 'examples;', 'classes at first:', np.unique(classes[:change])
)

# %% [markdown]
# ## A threshold does not keep a budget
#
# A model learns from the first 50 examples. Take the threshold that a tenth of
# the next 200 exceed, and query each example whose uncertainty is above it. All
# is well until the stream changes. Then the model is unsure of every new digit,
# and more than half of the examples are queried.

# %%
model = LogisticRegression(max_iter=500).fit(inputs[:50], classes[:50])
unsure = 1 - model.predict_proba(inputs[50:]).max(axis=1).astype(np.float32)
threshold = np.quantile(unsure[:200], 1 - BUDGET)
asked_plain = unsure > threshold

# %% [markdown]
# A *budget manager* sees the same uncertainties, one at a time, and keeps track
# of its queries. It is a function `(key, state, utility) -> (state, ask)`, so
# `lax.scan` can run it over a whole stream.

# %%
MANAGERS = {
  'variable': kernels.spend_variable,
  'quantile': kernels.spend_quantile,
  'balanced': kernels.spend_balanced,
}


def asked_by(manager):
  """Returns a mask of the examples that a manager queries."""

  def step(state, example):
    key, utility = example
    return manager(key, state, utility, budget=BUDGET)

  keys = jax.random.split(jax.random.key(0), len(unsure))
  return jax.lax.scan(step, kernels.start_spending(), (keys, unsure))[1]


asked = {'plain threshold': asked_plain}
asked |= {name: np.asarray(asked_by(of)) for name, of in MANAGERS.items()}


def smooth(values, width=100):
  """Averages the last values at each position; fewer at the start."""
  sums = np.concatenate([[0], np.cumsum(values)])
  last = np.arange(1, len(sums))
  first = np.maximum(last - width, 0)
  return (sums[last] - sums[first]) / (last - first)


_, axes = plt.subplots(figsize=(6.4, 2.8), layout='constrained')
for number, (name, of) in enumerate(asked.items()):
  axes.plot(
    50 + np.arange(len(of)),
    smooth(of),
    color=style.COLOURS[number],
    label=f'{name}: {np.mean(of):.1%} overall',
  )
axes.axvline(change, color='grey', lw=0.8, ls=':')
axes.axhline(BUDGET, color='grey', lw=0.8, ls=':')
style.plain_axes(axes, 'examples of the stream', 'queried, of the last 100')
style.percent_axis(axes.yaxis)
_ = axes.legend(frameon=False, fontsize=8)

# %% [markdown]
# - `variable` has a threshold on confidence, which falls after a query and
#   rises otherwise.
# - `quantile` queries the top tenth of the last 100 uncertainties. It pauses
#   while the recent query rate is at the budget, so it leaves some unspent.
# - `balanced` shifts its quantile to use up the remaining budget, so it spends
#   all of it.
#
# `balanced` has a guarantee, for any utilities: of the first T examples it
# queries at most B T + 51.

# %%
count = np.cumsum(asked['balanced'])
print(
  'most above B T:',
  round(np.max(count - BUDGET * np.arange(1, len(count) + 1)), 1),
)

# %% [markdown]
# ## The loop around your own model
#
# Now the model learns from its queries: it trains again after every 10 answers.
# The manager is compiled once, and the loop is yours. Measure by *test then
# train*: what share of the examples does the model classify correctly before it
# could learn from them?

# %%
manager = jax.jit(kernels.spend_balanced)


def pass_stream(utility_of):
  """Passes the stream once; returns masks of correct and queried examples."""
  known = list(range(50))
  model = LogisticRegression(max_iter=200).fit(inputs[known], classes[known])
  state, learnt = kernels.start_spending(), len(known)
  right, asked = [], []
  for position in range(50, len(classes)):
    probabilities = model.predict_proba(inputs[position : position + 1])[0]
    guess = model.classes_[np.argmax(probabilities)]
    right.append(guess == classes[position])
    key = jax.random.fold_in(jax.random.key(1), position)
    utility = jnp.float32(utility_of(probabilities))
    state, ask = manager(key, state, utility)
    asked.append(bool(ask))
    if ask:
      known.append(position)
    if len(known) >= learnt + 10:
      model.fit(inputs[known], classes[known])
      learnt = len(known)
  return np.array(right), np.array(asked)


draw = np.random.default_rng(0)
passed = {
  'least confidence': pass_stream(lambda p: 1 - p.max()),
  'chance': pass_stream(lambda p: draw.random()),
}

_, axes = plt.subplots(figsize=(6.4, 2.8), layout='constrained')
for number, (name, (right, of)) in enumerate(passed.items()):
  axes.plot(
    50 + np.arange(len(right)),
    smooth(right),
    color=style.COLOURS[number],
    label=f'{name}: {np.mean(right):.1%} right, {np.mean(of):.1%} queried',
  )
axes.axvline(change, color='grey', lw=0.8, ls=':')
style.plain_axes(axes, 'examples of the stream', 'right, of the last 100')
style.percent_axis(axes.yaxis)
_ = axes.legend(frameon=False, fontsize=8, loc='lower left')

# %% [markdown]
# Before the change, uncertainty pays: the model is almost always right. After
# the change, chance recovers faster. One stream proves nothing:
# `docs/stream.md` has five seeds, two data sets and three kinds of drift.
#
# ## The same with a network, in one call
#
# `Stream` describes how the pool passes; all else is as in `03_full_loop`. A
# round lasts until 20 examples have been queried. Strategies that select
# batches pick some examples of each window: here BADGE picks 20 of every 200.

# %%
folder = pathlib.Path(tempfile.mkdtemp())
proceeding = protocol.Protocol(
  rounds=20, labels_per_round=20, first_set='first', first_size=50
)
facts = program.facts_of(digits, proceeding.budget)
sources = program.sources_of(digits)
answers = oracle.SimulatedOracle(digits.train.targets, digits.task)

results = []
for name, stream in {
  'random': Stream(budget=BUDGET),
  'least_confidence': Stream(manager='balanced', budget=BUDGET),
  'badge': Stream(batch_window=200, budget=BUDGET),
}.items():
  system = systems.build(
    name,
    facts,
    model={'name': 'mlp', 'widths': (64,)},
    learner={'batch_size': 32, 'stop': {'epochs': 40}},
  )
  compiled = program.compile_program(
    system, sources, digits.train.ids, num_lanes=3, stream=stream
  )
  results += loop.run_rounds(compiled, answers, proceeding, [0, 1, 2])

print(streams.summary_table(results))

# %%
accuracy = streams.over_position(results, streams.ACCURACY)
plotting.curve_panels(
  {'prequential accuracy': accuracy},
  folder / 'stream.png',
  in_percent=['prequential accuracy'],
  x_label=streams.POSITION,
)
display.Image(folder / 'stream.png', width=560)

# %% [markdown]
# All three seeds pass the stream in the same order, so the standard errors in
# the table come from weights and draws alone. `configs/stream.py` gives each
# seed its own order.
#
# ## Read next
#
# - `docs/stream.md`: five managers on letters and digits with three kinds of
#   drift, their guarantees, and the options that a stream rejects because they
#   would see the future.
# - `python -m experiments.stream --config=configs/stream.py:digits
#   --workdir=runs/stream`: a stream from a config. It resumes after an
#   interruption.

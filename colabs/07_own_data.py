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
# # 7. Your own data
#
# [![Open in Colab][badge]][colab]
#
# Replace OWNER, here and below, with the account that has your copy.
#
# [badge]: https://colab.research.google.com/assets/colab-badge.svg
# [colab]: https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/07_own_data.ipynb
#
# Data come as arrays, as a table in a file, or as a folder of pictures. This
# page makes a small set of each kind, loads it, and breaks it on purpose: the
# library checks data before any training, and the messages say where to look.
# At the end two strategies run on the pictures.

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
import logging
import os
import pathlib
import tempfile
import textwrap

import numpy as np
from IPython import display
from PIL import Image
from sklearn import datasets

import al_jax
from al_jax import plotting

# %% [markdown]
# ## Arrays
#
# 178 wines with 13 measurements each, by three growers. `from_arrays` takes
# inputs and labels of NumPy, JAX or PyTorch, or a data frame. Labels may be
# text. It draws a test split, the same one for every seed. `train` is the pool:
# its labels are hidden from the strategies until they are queried.
#
# An id names an example, whatever split or order it ends up in. Without `ids=`
# it is the row number.
#
# The second cell makes mistakes that are easily made. Each is an error before
# any training, and the message says what to do. Nothing is guessed: a gap is
# not filled, and numbers are not taken for classes, until you say so.

# %%
os.chdir(tempfile.mkdtemp())  # the files of this page go to a new folder
logging.basicConfig(stream=sys.stdout, format='Note: %(message)s')

wine = datasets.load_wine()
x, y = wine.data, np.array(['Ada', 'Bea', 'Cleo'])[wine.target]

wines = al_jax.Dataset.from_arrays(x, y, test=0.3, name='wines')
print('pool', wines.train, ' test', wines.test)
print(wines.task)
print('ids of the first five:', wines.train.ids[:5])


# %%
def says(load, *given, **options):
  """Prints the message of the error that bad data raise."""
  try:
    load(*given, **options)
  except ValueError as error:
    print(textwrap.fill(f'- {error}', 80), end='\n\n')


from_arrays = al_jax.Dataset.from_arrays
with_gap = np.where(np.arange(x.size).reshape(x.shape) == 30, np.nan, x)
says(from_arrays, y, x)
says(from_arrays, x, y[:-1])
says(from_arrays, with_gap, y)
says(from_arrays, x, wine.data[:, 0])

# %% [markdown]
# ## A table
#
# The same wines as a CSV file, with a column of ids, a column of text, a gap,
# and the labels in the column `grower`.
#
# `al_jax.load` takes a dict: the source, and its options. The second cell adds
# one option after the other and shows the message of each step: the ids are no
# numbers, neither is the cellar, and a colour is missing. In the end there are
# five inputs: three numbers, and a column of 0 and 1 for each cellar. The
# median and the categories are those of the pool: the test split stays unseen.

# %%
names = ['bottle', 'cellar', 'alcohol', 'colour', 'proline', 'grower']
rng = np.random.default_rng(0)
with open('wines.csv', 'w', newline='', encoding='utf-8') as file:
  rows = csv.writer(file)
  rows.writerow(names)
  for number, (values, grower) in enumerate(zip(x, y, strict=True)):
    cellar = rng.choice(['north', 'south'])
    colour = '' if number == 5 else values[9]
    rows.writerow(
      [f'b{number:03}', cellar, values[0], colour, values[12], grower]
    )
print(pathlib.Path('wines.csv').read_text().partition('b007')[0])

# %%
spec = {'source': 'file:wines.csv', 'target': 'grower'}
says(al_jax.load, spec)
spec['ids'] = 'bottle'
says(al_jax.load, spec)
spec['categories'] = {'cellar': 'one_hot'}
says(al_jax.load, spec)
spec['missing'] = {'colour': 'median'}
says(al_jax.load, {**spec, 'targte': 'grower'})  # a misspelt option
table = al_jax.load({**spec, 'test_fraction': 0.3})
print('pool', table.train, ' ids', table.train.ids[:3])

# %% [markdown]
# ## A folder of pictures
#
# One folder for each class, as many people keep them. A second layout is a flat
# folder with a table of names and labels: `labels='labels.csv'`.
#
# Look at some pictures of both splits with their labels. A column of labels
# that is shifted by one row passes every check; only eyes find it. A broken
# file, or a picture of another size, is an error that names the file.

# %%
digits = datasets.load_digits()
for number in range(900):
  folder = pathlib.Path('photos', f'digit_{digits.target[number]}')
  folder.mkdir(parents=True, exist_ok=True)
  pixels = (15 * digits.images[number]).astype(np.uint8)
  Image.fromarray(pixels).save(folder / f'{number:04}.png')

photos = al_jax.load({'source': 'images:photos', 'test_fraction': 0.3})
print('pool', photos.train, ' test', photos.test)
print('an id:', photos.train.ids[0])

# %%
shown = {'pool': photos.train, 'test': photos.test}
plotting.gallery(
  [split.inputs[:8] for split in shown.values()],
  [
    [photos.task.class_names[label] for label in split.targets[:8]]
    for split in shown.values()
  ],
  'some.png',
  row_titles=list(shown),
)
display.Image('some.png', width=640)

# %%
added = pathlib.Path('photos', 'digit_0', 'added.png')
added.write_text('not a picture')
says(al_jax.load, 'images:photos')
Image.new('L', (12, 10)).save(added)
says(al_jax.load, 'images:photos')
added.unlink()

# %% [markdown]
# ## A first run
#
# Begin with `random`: without it no result means anything. Two seeds show
# whether something is badly wrong, and no more. If both curves stay near the
# share of the largest class, the network learns nothing: look at the data
# first, then at the learning rate and the number of epochs.

# %%
results = al_jax.run(
  ['random', 'margin'],
  photos,
  seeds=2,
  protocol={'rounds': 6, 'labels_per_round': 20, 'first_size': 20},
  learner={'batch_size': 16, 'stop': {'epochs': 40}},
  quiet=True,
)
results.figure().savefig('curves.png', dpi=110)
print(results)
display.Image('curves.png', width=560)

# %% [markdown]
# ## What to read next
#
# - `docs/data.md`: all formats, gaps and categories, several modalities,
#   numbers to predict, and pools without labels.
# - `docs/my_data.md`: which of the ways in is yours.
# - `08_own_model`: a network of your own on your data.

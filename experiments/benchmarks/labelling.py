"""Measures how long people wait for the next batch to label.

Run as `python -m experiments.benchmark labelling`. It times `al-jax label` as a
shell calls it, process and imports included, with embeddings of 50,000
pictures.
"""

import contextlib
import csv
import io
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import numpy as np

from al_jax import labelling
from al_jax.loop.stopwatch import Stopwatch
from experiments.benchmarks.table import Row

_CLASSES = tuple('abcdefghij')
# Target: seconds that people wait for a batch.
_AT_MOST = 10.0


def measure() -> Iterator[Row]:
  """Measures at the size of EfficientNet-Lite0's embeddings of CIFAR-10."""
  yield from batches(50_000, 1_280, k=100)


def batches(
  num_examples: int, num_features: int, *, k: int, rounds: int = 3
) -> Iterator[Row]:
  """Times `label ask` and `label tell` for some batches.

  Args:
    num_examples: size of the pool.
    num_features: length of an embedding.
    k: queries per batch.
    rounds: number of batches to time after the first one, which trains nothing.

  Yields:
    A row for `label ask`, and one for `label tell`.
  """
  with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    generator = np.random.default_rng(0)
    truth = generator.integers(len(_CLASSES), size=num_examples)
    centers = generator.normal(size=(len(_CLASSES), num_features))
    noise = generator.normal(size=(num_examples, num_features))
    np.save('x.npy', (centers[truth] + 4 * noise).astype(np.float32))
    classes = ','.join(_CLASSES)
    _ask(k, '--pool=file:x.npy', f'--classes={classes}')
    asked, told = [], [_tell(truth)]
    for _ in range(rounds):
      asked.append(_ask(k))
      told.append(_tell(truth))
    labels = len(labelling.status('state').account.labels)
  of = f'of {num_examples:,}'
  yield Row(
    f'label ask: train, estimate, choose {k} {of}',
    float(np.median(asked)),
    _AT_MOST,
    'the target',
    float(np.median(asked)) / _AT_MOST,
    at_most=1.0,
    note=f'whole process; up to {labels - k} labels, six trainings',
  )
  yield Row(
    f'label tell: {k} answers',
    float(np.median(told)),
    note='whole process',
  )


def _ask(k, *arguments):
  """Asks for a batch; returns seconds."""
  return _label('ask', f'--k={k}', *arguments)


def _tell(truth):
  """Fills in the batch and submits its answers; returns seconds."""
  path = pathlib.Path('batch.csv')
  rows = list(csv.DictReader(io.StringIO(path.read_text())))
  for row in rows:
    row['label'] = _CLASSES[truth[int(row['id'])]]
  with path.open('w', newline='') as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
  return _label('tell', 'batch.csv')


def _label(action, *arguments):
  """Runs `al-jax label`; returns seconds."""
  root = pathlib.Path(labelling.__file__).parent.parent.parent
  command = (sys.executable, '-m', 'al_jax', 'label', action, '--state=state')
  stopwatch = Stopwatch()
  subprocess.run(
    [*command, *arguments],
    env={**os.environ, 'PYTHONPATH': str(root)},
    check=True,
    stdout=subprocess.DEVNULL,
  )
  return stopwatch.lap()

"""`al-jax select`: from files to a CSV."""

import csv
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

import al_jax
from al_jax import errors
from al_jax.commands import select
from al_jax.data.sources import single

ROOT = pathlib.Path(__file__).parent.parent.parent
N, K = 24, 3
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(N, 4)).astype(np.float32)
EMBEDDINGS = RNG.normal(size=(N, 6)).astype(np.float32)
SAMPLES = RNG.normal(size=(5, N, 4)).astype(np.float32)
NAMES = np.array([f'scan {i:03}' for i in range(N)])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('arrays')
  np.save(folder / 'logits.npy', LOGITS)
  np.savez(folder / 'both.npz', logits=LOGITS, samples=SAMPLES)
  np.savez(folder / 'one.npz', LOGITS)
  np.savetxt(folder / 'plain.csv', LOGITS, delimiter=',')
  header = ','.join(f'class {c}' for c in range(4))
  np.savetxt(
    folder / 'named.csv', LOGITS, delimiter=',', header=header, comments=''
  )
  (folder / 'ids.txt').write_text('\n'.join(NAMES) + '\n')
  np.save(folder / 'ids.npy', NAMES)
  (folder / 'labeled.txt').write_text('3\n17\n5\n')
  np.save(folder / 'mask.npy', np.isin(np.arange(N), [3, 17, 5]))
  return folder


@pytest.fixture
def call(folder, monkeypatch, capsys):
  """Calls the command in the folder, and gives status, output and errors."""
  monkeypatch.chdir(folder)
  # The cache of the tests, not the user's.
  monkeypatch.setattr(select.xla, 'keep_programs', lambda folder: None)

  def called(*words):
    with flags.FLAGS._lock if hasattr(flags.FLAGS, '_lock') else nothing():
      saved = {name: flags.FLAGS[name].value for name in flags.FLAGS}
      flags.FLAGS.unparse_flags()
      try:
        left = select.parse_flags(['al-jax select', *words])
        status = select.main(left)
      finally:
        for name, value in saved.items():
          flags.FLAGS[name].value = value
    told = capsys.readouterr()
    return status, told.out, told.err

  return called

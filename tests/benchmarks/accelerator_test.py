"""The benchmark of an accelerator, far too small to say how fast one is."""

import json
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from experiments.benchmarks import suites, table
from experiments.benchmarks.accelerator import (
  command,
  imagenet,
  picks,
  pictures,
  precision,
  report,
  sections,
  training,
)
from experiments.benchmarks.large import Sizes
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import Machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
MACHINE = Machine(1e11, 1e10)
BADGE = Sizes(num_points=2_000, num_features=16, num_classes=8, k=1_900)
# What need not be there.
# The module of steps imports PyTorch.
MISSING = (
  *('ml_collections', 'tensorflow_datasets', 'jinja2'),
  'experiments.benchmarks.steps',
)


class Clock:
  """Seconds that pass when they are told to."""

  def __init__(self):
    self.now = 0.0

  def __call__(self):
    return self.now


def run(clock, *measures, least=0.0, most=100.0, seconds=10.0):
  parts = [
    sections.Section(str(number), least, most, measure)
    for number, measure in enumerate(measures)
  ]
  return [
    (name, row.what or row.note)
    for name, row in sections.run(parts, seconds, clock)
  ]


def test_a_section_that_fails_says_so_and_the_next_one_runs():
  def missing():
    yield Row('one', 1.0)
    raise ModuleNotFoundError('No module', name='flax.linen')

  def broken():
    raise RuntimeError('out of\nmemory')

  found = run(Clock(), missing, broken, lambda: iter([Row('two', 1.0)]))
  assert found == [
    ('0', 'one'),
    ('0', 'failed: the package flax is not installed'),
    ('1', 'failed: RuntimeError: out of memory'),
    ('2', 'two'),
  ]


def test_time_is_looked_at_between_rows_and_sections():
  clock = Clock()

  def slow():
    for number in range(9):
      clock.now += 4.0
      yield Row(str(number), 4.0)

  found = run(clock, slow, slow, least=3.0, most=5.0)
  assert found == [
    ('0', '0'),
    ('0', '1'),
    ('0', 'cut short: its time is used up'),
    ('1', 'skipped: it needs 3 s, 2 s are left'),
  ]


@pytest.fixture(scope='module')
def badge():
  return [*imagenet.measure(MACHINE, BADGE)]


def test_a_selection_is_timed_and_counted(badge):
  drawn, aimed, passes, what, plainly = badge
  assert drawn.seconds > 0
  assert aimed.is_met
  assert aimed.compiling > 0
  assert passes.against == pytest.approx(BADGE.input_bytes / 1e10)
  assert plainly.against > 0
  assert what.note.endswith('100% of picks identical')
  rounds, visits = (int(what.note.split()[at]) for at in (0, 2))
  assert 0 < visits < rounds
  for row in badge:
    assert row.what in table.line(row)
    assert len(row.what) <= 48
    assert len(row.which_is) <= 26


def test_a_selection_that_fails_is_tried_with_half_of_the_points(monkeypatch):
  tried = []

  def selection(machine, sizes, *, blocks):
    tried.append(sizes.num_points)
    if len(tried) == 1:
      raise RuntimeError('no memory')
    yield Row('half', 1.0)

  monkeypatch.setattr(imagenet, 'selection', selection)
  first, second = imagenet.measure(MACHINE, BADGE)
  assert first.note == 'failed: RuntimeError: no memory'
  assert second.what == 'half'
  assert tried == [2_000, 1_000]


def test_steps_of_one_seed_and_of_several():
  one, several = training.measure('highest', training.SMALL)
  assert one.what == 'mlp, batch 8, 1 seed, highest'
  assert several.what == 'mlp, batch 8, 2 seeds, highest'
  assert several.against == pytest.approx(2 * one.seconds)
  images = float(one.note.split()[0].replace(',', ''))
  assert images == pytest.approx(8 / one.seconds, rel=0.01)


def test_picks_are_compared_with_those_of_another_process(tmp_path):
  dataset = pictures.load(None, most=120)
  other = threading.Thread(
    target=picks.answer, args=(dataset, picks.SMALL, tmp_path), daemon=True
  )
  other.start()
  (row,) = picks.measure(dataset, picks.SMALL, tmp_path, other.is_alive)
  assert row.what == 'margin, 10 of 108'
  assert row.ratio == pytest.approx(row.seconds / row.against)
  assert row.note == (
    'picks shared, of 10: same measurements 10; same weights highest 10; '
    'by round highest 10 10'
  )


def test_picks_that_differ_are_not_counted():
  assert picks.shared(np.array([1, 2, 3]), np.array([3, 4, 1])) == 2


def test_another_process_that_ends_is_not_waited_for(tmp_path):
  dataset = pictures.load(None, most=120)
  with pytest.raises(RuntimeError, match='margin'):
    next(picks.measure(dataset, picks.SMALL, tmp_path, lambda: False))


def test_pictures_come_from_a_file_or_are_drawn(tmp_path, monkeypatch):
  images = np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2, 1)
  labels = np.arange(40) % 10
  path = tmp_path / 'mnist.npz'
  np.savez(
    path,
    train_inputs=images[:30],
    train_targets=labels[:30],
    test_inputs=images[30:],
    test_targets=labels[30:],
  )
  assert len(pictures.load(path).train) == 30
  few = pictures.load(path, most=20)
  assert len(few.train) == 20
  np.testing.assert_array_equal(few.test.inputs, images[30:])

  def load(name):
    raise ModuleNotFoundError(name)

  monkeypatch.setattr(pictures.data, 'load', load)
  assert len(pictures.load(None, most=100).task.names) == 10


def test_products_are_compared():
  row = precision.of_products(64, repeats=1)
  assert 'differs by up to' in row.note
  assert len(row.what) <= 48


def test_a_report_is_whole_after_each_row(tmp_path):
  kept = report.Report(tmp_path / 'new', {'device': 'a toy'})
  kept.add('one', Row('a kernel', 1.5))
  kept.add('two', Row('', None, note='skipped'))
  page = (tmp_path / 'new' / 'gpu.md').read_text()
  assert '- device: a toy' in page
  assert page.index('a kernel') < page.index('## two') < page.index('skipped')
  content = json.loads((tmp_path / 'new' / 'gpu.json').read_text())
  assert content['sections']['one'][0]['seconds'] == 1.5


def test_the_command_prints_and_writes(tmp_path, capsys):
  command.main(['--small', '--sections=machine', f'--out={tmp_path}'])
  printed = capsys.readouterr().out
  assert 'numpy: ' in printed
  assert '[machine]' in printed
  assert 'GB/s at best' in (tmp_path / 'gpu.md').read_text()


def test_the_suite_is_known():
  assert suites.SUITES['gpu'] == command.__name__


def test_neither_configs_nor_tfds_nor_pytorch_are_needed():
  program = f"""
import sys
sys.modules.update(dict.fromkeys({MISSING!r}))
from experiments.benchmarks.accelerator import command, imagenet
from experiments.benchmarks.accelerator import picks, pictures, training
from experiments.benchmarks.kernels import suite
"""
  subprocess.run([sys.executable, '-c', program], cwd=ROOT, check=True)

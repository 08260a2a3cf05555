"""The binaries, called as a shell would, in this process."""

import importlib
import json
import os
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from al_jax import records
from experiments import session

SMALL = (
  '--config=configs/quickstart.py',
  '--nocompilation_cache',
  '--config.model.widths=(16,)',
  '--config.learner.stop.epochs=4',
  '--config.protocol.rounds=3',
  '--config.seeds=2',
)


def call(binary, *arguments):
  """The exit status of a binary."""
  main = importlib.import_module(f'experiments.{binary}').main
  saved, argv = flagsaver.save_flag_values(), sys.argv
  # Overrides of a config are read from there.
  sys.argv = [binary, *arguments]
  try:
    flags.FLAGS.unparse_flags()
    return main(session.parse_flags(sys.argv))
  except SystemExit as end:
    return end.code
  finally:
    sys.argv = argv
    flagsaver.restore_flag_values(saved)


@pytest.fixture(scope='module')
def compared(tmp_path_factory):
  """The workdir of a small comparison."""
  workdir = tmp_path_factory.mktemp('runs') / 'compared'
  arguments = (*SMALL, f'--workdir={workdir}', '--tensorboard')
  assert call('compare', *arguments) == 0
  return workdir


def test_a_comparison_writes_all_that_it_promises(compared):
  for name in (
    'curves.png',
    'gallery_margin.png',
    'gallery_random.png',
    'manifest.json',
    'records.csv',
    'records.jsonl',
    'summary.txt',
    'tensorboard',
  ):
    assert (compared / name).exists(), name
  rows = records.read_jsonl(compared / 'records.jsonl')
  assert [(row.system, row.seed, row.round) for row in rows] == [
    (system, seed, number)
    for system in ('random', 'margin')
    for seed in (0, 1)
    for number in range(3)
  ]
  assert 'minus random' in (compared / 'summary.txt').read_text()
  manifest = json.loads((compared / 'manifest.json').read_text())
  assert manifest['config']['protocol']['rounds'] == 3
  assert manifest['finished']


def test_systems_begin_from_the_same_set_and_weights(compared):
  rows = records.read_jsonl(compared / 'records.jsonl')
  first = {}
  for row in rows:
    if row.round == 0:
      first.setdefault(row.seed, []).append(row)
  for random, margin in first.values():
    assert random.test == margin.test
    assert random.picks != margin.picks


def test_one_system_alone_gives_what_the_comparison_gave(
  compared, tmp_path, capsys
):
  status = call(
    'run',
    *SMALL,
    '--config.seeds=1',
    '--config.first_seed=1',
    f'--workdir={tmp_path}',
  )
  assert status == 0
  alone = records.read_jsonl(tmp_path / 'records.jsonl')
  together = [
    row
    for row in records.read_jsonl(compared / 'records.jsonl')
    if row.system == 'margin' and row.seed == 1
  ]
  assert [records.deterministic(row) for row in alone] == [
    records.deterministic(row) for row in together
  ]
  assert 'margin' in capsys.readouterr().out


def test_processes_side_by_side_give_the_same(compared, tmp_path):
  status = call('run', *SMALL, f'--workdir={tmp_path}', '--workers=2')
  assert status == 0
  rows = records.read_jsonl(tmp_path / 'records.jsonl')
  together = records.read_jsonl(compared / 'records.jsonl')
  assert [records.deterministic(row) for row in rows] == [
    records.deterministic(row) for row in together if row.system == 'margin'
  ]


def test_a_run_that_is_over_is_left_alone(compared, capsys):
  before = (compared / 'records.jsonl').stat().st_mtime_ns
  assert call('compare', *SMALL, f'--workdir={compared}') == 0
  assert 'finished run' in capsys.readouterr().out
  assert (compared / 'records.jsonl').stat().st_mtime_ns == before


def test_overwrite_starts_anew(tmp_path):
  arguments = (*SMALL, '--config.seeds=1', f'--workdir={tmp_path}')
  assert call('run', *arguments) == 0
  first = json.loads((tmp_path / 'manifest.json').read_text())
  again = (*arguments, '--overwrite', '--config.protocol.rounds=1')
  assert call('run', *again) == 0
  assert len(records.read_jsonl(tmp_path / 'records.jsonl')) == 1
  second = json.loads((tmp_path / 'manifest.json').read_text())
  assert first['config'] != second['config']


def test_a_dry_run_tells_and_writes_nothing(tmp_path, capsys):
  workdir = tmp_path / 'absent'
  assert call('compare', *SMALL, '--dry_run', f'--workdir={workdir}') == 0
  told = capsys.readouterr().out
  assert '"labels_per_round": 20' in told
  assert 'pool 1,438, validation 0, test 359, 10 classes' in told
  # 4 epochs of 1, 2 and 2 batches of 32; 2 x 32 x (64 x 16 + 16 x 10) x 3,
  # less the gradient with respect to the inputs.
  assert 'at most 20 steps per seed of 0.2 MFLOP' in told
  assert 'MiB for data and state' in told
  assert not workdir.exists()


def test_a_batch_larger_than_the_pool_runs_out_gracefully(tmp_path):
  status = call(
    'run',
    *SMALL,
    "--config.data.transforms=({'name':'cap','train':90},)",
    '--config.protocol.labels_per_round=1000',
    f'--workdir={tmp_path}',
  )
  assert status == 0
  rows = records.read_jsonl(tmp_path / 'records.jsonl')
  assert [row.labels for row in rows if row.seed == 0] == [20, 90]


def told_by(capsys, *arguments):
  assert call(*arguments) == 1
  captured = capsys.readouterr()
  assert 'Traceback' not in captured.err
  return captured.err


def npz(tmp_path, **changes):
  rng = np.random.default_rng(0)
  arrays = {
    'x_train': rng.normal(size=(60, 4)).astype(np.float32),
    'y_train': np.arange(60) % 3,
    'x_test': rng.normal(size=(30, 4)).astype(np.float32),
    'y_test': np.arange(30) % 3,
    **changes,
  }
  path = tmp_path / 'data.npz'
  np.savez(path, **arrays)
  return f'--config.data.source=file:{path}'


def nan_at(row):
  x = np.zeros((60, 4), np.float32)
  x[row, 2] = np.nan
  return x


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ('--config.data.source=tfds:mnits', "Did you mean 'mnist'"),
    ('--config.data.source=digitz', "Did you mean 'digits'"),
    ('--config.system=margn', "Did you mean 'margin'"),
    ('--config.model.name=mpl', "Did you mean 'mlp'"),
    ('--config.learner.weights=warmm', "Did you mean 'warm'"),
    ('--config.learner.optimizer.name=adm', "Did you mean 'adam'"),
    ('--config.learner.batchsize=3', 'batch_size'),
    ('--config.protocol.first_set=balancd', "Did you mean 'balanced'"),
    ('--config.protocol.rounds=0', 'rounds is 0; it must be at least 1'),
    ('--config.protocol.first_size=5000', 'first_size is 5000; the pool has'),
    ('--config.seeds=0', 'seeds is 0; it must be at least 1'),
    ('--config.first_seed=-1', '-1'),
    ('--config.system=mc_margin', 'has no dropout as configured'),
    ('--config.learner.stop.patience=2', 'validation_split'),
    ('--config.placement=disk', "placement 'disk' is not known"),
    ('--config.chunk_size=0', 'chunk_size is 0'),
    ('--config.subset_size=3', 'subset_size is 3; it must be at least'),
    ('--config.oracle.noise=2.0', 'oracle.noise is 2.0'),
  ],
)
def test_bad_input_is_one_line_before_any_work(
  tmp_path, capsys, change, message
):
  workdir = tmp_path / 'run'
  told = told_by(capsys, 'run', *SMALL, change, f'--workdir={workdir}')
  assert message in told
  assert not (workdir / 'manifest.json').exists()


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'x_train': nan_at(7)}, '7'),
    ({'y_train': np.arange(60) % 2}, '2'),
    ({'y_train': np.arange(60) % 3 - 1.5}, "the target has '-1.5' in row 0"),
    ({'x_test': np.zeros((30, 5), np.float32)}, '5'),
  ],
)
def test_bad_data_are_refused_before_any_work(
  tmp_path, capsys, changes, message
):
  told = told_by(
    capsys,
    'run',
    *SMALL,
    npz(tmp_path, **changes),
    f'--workdir={tmp_path / "run"}',
  )
  assert message in told


def test_an_absent_tfds_set_says_how_to_get_it(tmp_path, capsys, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  told = told_by(
    capsys,
    'run',
    *SMALL,
    '--config.data.source=tfds:cifar10',
    f'--workdir={tmp_path / "run"}',
  )
  for part in ('prepare', str(tmp_path), 'openml:40927'):
    assert part in told


def test_a_workdir_that_cannot_be_written_is_refused(tmp_path, capsys):
  (tmp_path / 'file').write_text('')
  told = told_by(capsys, 'run', *SMALL, f'--workdir={tmp_path / "file" / "x"}')
  assert str(tmp_path / 'file') in told


def test_a_folder_of_somebody_else_is_refused(tmp_path, capsys):
  (tmp_path / 'thesis.tex').write_text('years of work')
  arguments = ('run', *SMALL, f'--workdir={tmp_path}', '--overwrite')
  assert 'thesis.tex' in told_by(capsys, *arguments)
  assert os.listdir(tmp_path) == ['thesis.tex']


def test_a_workdir_is_needed(capsys):
  assert '--workdir is not set' in told_by(capsys, 'run', *SMALL)


def test_too_little_space_is_said_before_any_work(
  tmp_path, capsys, monkeypatch
):
  usage = type('usage', (), {'free': 10})
  monkeypatch.setattr('shutil.disk_usage', lambda path: usage)
  told = told_by(capsys, 'run', *SMALL, f'--workdir={tmp_path / "run"}')
  assert 'no space left' in told

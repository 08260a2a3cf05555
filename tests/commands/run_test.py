"""The command, called as a shell would, in this process."""

import ast
import json
import os
import pathlib
import shutil
import sys

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

import al_jax
from al_jax.commands import run
from al_jax.runner import defaults, runs
from al_jax.storage import records

ROOT = pathlib.Path(__file__).parent.parent.parent
_SHARED = (
  '--config=configs/quickstart.py',
  '--nocompilation_cache',
  '--config.model.widths=(16,)',
  '--config.learner.stop.epochs=4',
  '--config.protocol.rounds=3',
  '--config.seeds=2',
)
SMALL = (*_SHARED, '--config.systems=random,margin')
MARGIN = (*_SHARED, '--config.systems=margin')
ALONE = (
  *MARGIN,
  '--quiet',
  '--config.protocol.rounds=1',
  '--config.seeds=1',
  "--config.data.transforms=({'name':'cap','train':90,'test':50},)",
)


def call(*arguments, command=run):
  """The exit status of a command with the flags of `run`."""
  saved, argv = flagsaver.save_flag_values(), sys.argv
  # Overrides of a config are read from there.
  sys.argv = ['run', *arguments]
  try:
    flags.FLAGS.unparse_flags()
    return command.main(command.parse_flags(sys.argv))
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
  assert call(*arguments) == 0
  return workdir


def test_one_call_from_python_gives_the_same(compared):
  results = al_jax.run(
    ['random', 'margin'],
    'digits',
    seeds=2,
    protocol={'rounds': 3, 'first_size': 20, 'labels_per_round': 20},
    model={'name': 'mlp', 'widths': (16,)},
    learner={'batch_size': 32, 'stop': {'epochs': 4, 'train_accuracy': 0.99}},
    quiet=True,
  )
  found, expected = (
    [records.deterministic(row) for row in rows]
    for rows in (
      results.records,
      records.read_jsonl(compared / 'records.jsonl'),
    )
  )
  assert found == expected
  assert results.table in (compared / 'summary.txt').read_text()


def test_an_option_of_a_mapping_that_is_not_there_says_how_to_give_it(capsys):
  assert call(*ALONE, '--config.learner.vaal.vae.latent=3') == 1
  assert capsys.readouterr().err == (
    '--config.learner.vaal.vae.latent is set, and the config has no '
    'config.learner.vaal.vae yet: give all of it, '
    '--config.learner.vaal.vae="{\'latent\': 3}".\n'
  )


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
    *MARGIN,
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
  status = call(*MARGIN, f'--workdir={tmp_path}', '--workers=2')
  assert status == 0
  rows = records.read_jsonl(tmp_path / 'records.jsonl')
  together = records.read_jsonl(compared / 'records.jsonl')
  assert [records.deterministic(row) for row in rows] == [
    records.deterministic(row) for row in together if row.system == 'margin'
  ]


def test_a_run_that_is_over_is_left_alone(compared, capsys):
  before = (compared / 'records.jsonl').stat().st_mtime_ns
  assert call(*SMALL, f'--workdir={compared}') == 0
  assert 'finished run' in capsys.readouterr().out
  assert (compared / 'records.jsonl').stat().st_mtime_ns == before


def changed_manifest(workdir, change):
  path = workdir / 'manifest.json'
  about = json.loads(path.read_text())
  about.pop('digests', None)
  change(about)
  path.write_text(json.dumps(about))


@pytest.fixture
def unfinished(alone, tmp_path):
  """A run of which only the checkpoints and the manifest are there."""
  workdir = tmp_path / 'unfinished'
  shutil.copytree(alone, workdir)
  changed_manifest(workdir, lambda about: about.pop('finished'))
  return workdir


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """The workdir of one seed of one system, one round."""
  workdir = tmp_path_factory.mktemp('runs') / 'alone'
  assert call(*ALONE, f'--workdir={workdir}') == 0
  return workdir


def test_damaged_records_are_written_anew(alone, unfinished, caplog):
  (unfinished / 'records.jsonl').write_text('{"system": "mar')
  assert call(*ALONE, f'--workdir={unfinished}') == 0
  assert 'written anew from the checkpoints' in caplog.text
  assert records.read_jsonl(unfinished / 'records.jsonl') == records.read_jsonl(
    alone / 'records.jsonl'
  )


def test_changed_records_of_a_finished_run_are_refused_until_deleted(
  alone, tmp_path, capsys
):
  workdir = tmp_path / 'finished'
  shutil.copytree(alone, workdir)
  path = workdir / 'records.jsonl'
  path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 0.1'))
  told = told_by(capsys, *ALONE, f'--workdir={workdir}')
  assert 'records.jsonl has changed since the run finished' in told
  assert told.count('\n') == 1
  path.unlink()
  assert call(*ALONE, f'--workdir={workdir}') == 0
  assert records.read_jsonl(path) == records.read_jsonl(alone / path.name)
  about = json.loads((workdir / 'manifest.json').read_text())
  before = json.loads((alone / 'manifest.json').read_text())
  assert about['digests']['records.jsonl'] == before['digests']['records.jsonl']
  # A changed manifest is noticed too.
  text = (workdir / 'manifest.json').read_text()
  (workdir / 'manifest.json').write_text(text.replace('0.001', '0.002'))
  told = told_by(capsys, *ALONE, f'--workdir={workdir}')
  assert 'does not match its own checksum' in told and '--overwrite' in told


def test_checkpoints_of_another_config_are_not_adopted(
  alone, unfinished, capsys
):
  another = '--config.learner.optimizer.learning_rate=0.5'
  arguments = (*ALONE, f'--workdir={unfinished}', another)
  manifest_path = unfinished / 'manifest.json'
  manifest_path.unlink()
  assert 'has checkpoints and no manifest' in told_by(capsys, *arguments)
  # Even a manifest that somebody wrote does not help.
  manifest_path.write_text((alone / 'manifest.json').read_text())
  changed_manifest(
    unfinished,
    lambda about: (
      about.pop('finished'),
      about['config']['learner']['optimizer'].update(learning_rate=0.5),
    ),
  )
  told = told_by(capsys, *arguments)
  assert 'config.learner.optimizer.learning_rate: 0.001 -> 0.5' in told
  assert 'the checkpoint in' in told


def test_the_field_of_before_still_names_a_system(alone, capsys):
  arguments = (*ALONE, f'--workdir={alone}', '--config.system=margin')
  assert call(*arguments) == 0
  told = capsys.readouterr()
  assert 'finished run' in told.out
  assert "config.system is 'margin': it is an old spelling" in told.err


def test_other_systems_are_refused_with_one_line(alone, capsys):
  arguments = (*ALONE, f'--workdir={alone}', '--config.system=random')
  told = told_by(capsys, *arguments)
  assert told.count("systems: ['margin'] -> ['random']") == 1
  assert told.count('\n') == 3


@pytest.mark.parametrize('content', ['{}', '{"config"', '[]', ''])
def test_a_damaged_manifest_says_how_to_begin_anew(unfinished, capsys, content):
  (unfinished / 'manifest.json').write_text(content)
  told = told_by(capsys, *ALONE, f'--workdir={unfinished}')
  assert 'manifest.json is' in told
  assert '--overwrite' in told
  assert told.count('\n') == 1


def test_a_damaged_checkpoint_says_how_to_begin_anew(unfinished, capsys):
  for path in unfinished.glob('checkpoints/*/*/*/*/*'):
    if path.is_file():
      path.write_bytes(b'')
  told = told_by(capsys, *ALONE, f'--workdir={unfinished}')
  assert 'can be read' in told
  assert '--overwrite' in told


def test_tensorboard_that_is_missing_is_said_before_any_work(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setitem(sys.modules, 'tensorboardX', None)
  workdir = tmp_path / 'run'
  arguments = (*ALONE, '--tensorboard', f'--workdir={workdir}')
  assert 'al-jax[tensorboard]' in told_by(capsys, *arguments)
  assert not workdir.exists()


def test_overwrite_starts_anew_once_there_is_something_to_start(
  unfinished, capsys
):
  before = sorted(path.name for path in unfinished.iterdir())
  again = (*ALONE, f'--workdir={unfinished}', '--overwrite')
  told = told_by(capsys, *again, '--config.model.name=mpl')
  assert "Did you mean 'mlp'" in told
  assert sorted(path.name for path in unfinished.iterdir()) == before
  assert call(*again, '--config.learner.stop.epochs=1') == 0
  (row,) = records.read_jsonl(unfinished / 'records.jsonl')
  assert row.steps == 1


def test_a_dry_run_tells_and_writes_nothing(tmp_path, capsys):
  workdir = tmp_path / 'absent'
  assert call(*SMALL, '--dry_run', f'--workdir={workdir}') == 0
  told = capsys.readouterr().out
  assert '"labels_per_round": 20' in told
  assert 'pool 1,438, validation 0, test 359, 10 classes' in told
  # 4 epochs of 1, 2 and 2 batches of 32; 2 x 32 x (64 x 16 + 16 x 10) x 3,
  # less the gradient with respect to the inputs.
  assert 'at most 20 steps per seed of 0.2 MFLOP' in told
  assert 'MiB for data and state' in told
  assert not workdir.exists()


def test_a_dry_run_tells_what_pretraining_costs(capsys):
  pretraining = '--config.pretraining.name=deep_cluster'
  stop = "--config.pretraining.stop={'epochs': 3}"
  assert call(*SMALL, pretraining, stop, '--dry_run') == 0
  told = capsys.readouterr().out
  # 3 epochs of 1,438 digits in batches of 128, unless another is the default.
  assert 'pretraining, once for all systems and seeds' in told
  assert 'at most 36 steps of' in told


def test_a_batch_larger_than_the_pool_runs_out_gracefully(tmp_path, caplog):
  status = call(
    *MARGIN,
    "--config.data.transforms=({'name':'cap','train':90},)",
    '--config.protocol.labels_per_round=1000',
    f'--workdir={tmp_path}',
  )
  assert status == 0
  rows = records.read_jsonl(tmp_path / 'records.jsonl')
  assert [row.labels for row in rows if row.seed == 0] == [20, 90]
  assert (
    caplog.text.count('labels_per_round is 1,000, but of a pool of 90') == 1
  )


@pytest.fixture
def config_file(tmp_path):
  """Writes a config; each is the first to be loaded."""
  sys.modules.pop('config_config', None)

  def write(text, name='a_config.py'):
    (tmp_path / name).write_text(text)
    return f'--config={tmp_path / name}'

  yield write
  sys.modules.pop('config_config', None)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('def get_config():\n  return 3\n', 'returns 3; it must return'),
    ('def get_config():\n  return {"a": 1}\n', "returns {'a': 1}; it must"),
    ('x = 1\n', "no attribute 'get_config'"),
    ('def get_config():\n  return (\n', 'line 2'),
    ('some words\n', 'a_config.py, line 1'),
    ('import nothing_of_the_name\n', 'a_config.py, line 1'),
    ('def get_config():\n  return undefined\n', 'a_config.py, line 2'),
    ('def get_config():\n  raise ValueError("no\\nno")\n', 'py, line 2'),
  ],
)
def test_a_config_that_is_none_is_one_line(config_file, capsys, text, message):
  told = told_by(capsys, config_file(text), '--dry_run')
  assert message in told and 'a_config.py' in told
  assert told.count('\n') == 1


@pytest.mark.parametrize('more', [(), ('--config.seeds=1',)])
def test_a_config_that_is_absent_is_one_line(capsys, more):
  told = told_by(capsys, '--config=configs/none.py:x', *more, '--dry_run')
  assert told == (
    "ValueError: --config is 'configs/none.py:x'; there is no file "
    "'configs/none.py'.\n"
  )


def test_without_a_config_the_defaults_are_run_and_can_be_changed(
  capsys, monkeypatch
):
  monkeypatch.setattr(runs, 'describe', lambda cells: print(cells[0].config))
  assert call('--dry_run') == 0
  plain = defaults.get_config().to_dict()
  found = ast.literal_eval(capsys.readouterr().out)
  assert found['systems'] == list(plain['systems'])
  assert found['protocol'] == plain['protocol']
  assert call('--config.protocol.rounds=2', '--dry_run') == 0
  found = ast.literal_eval(capsys.readouterr().out)
  assert found['protocol'] == {**plain['protocol'], 'rounds': 2}
  told = told_by(capsys, '--config.protocol.runds=2', '--dry_run')
  assert "Did you mean 'rounds'" in told


def test_a_config_may_follow_its_flag(capsys):
  told = told_by(
    capsys, '--config', 'configs/quickstart.py', '--config.seeds=0', '--dry_run'
  )
  assert 'config.seeds' in told and 'there is no file' not in told
  told = told_by(capsys, '--config', 'configs/none.py', '--dry_run')
  assert "there is no file 'configs/none.py'" in told


def test_a_field_that_a_config_has_set_can_be_unset(
  config_file, capsys, monkeypatch
):
  monkeypatch.setattr(
    runs, 'describe', lambda cells: print(cells[0].config['learner'])
  )
  path = config_file(
    'from al_jax.runner import defaults\n'
    'def get_config():\n'
    '  config = defaults.get_config()\n'
    '  config.learner.stop.train_accuracy = 0.99\n'
    '  config.learner.stop.steps = 7\n'
    '  return config\n'
  )
  unset = [
    f'--config.learner.{field}=None'
    for field in ('stop.train_accuracy', 'stop.steps')
  ]
  assert call(path, *unset, '--config.learner.stop.epochs=3', '--dry_run') == 0
  learner = ast.literal_eval(capsys.readouterr().out)
  assert learner['stop']['epochs'] == 3
  assert learner['stop']['steps'] is learner['stop']['train_accuracy'] is None
  told = told_by(capsys, path, '--config.learner.batch_size=1.5', '--dry_run')
  assert "'1.5'" in told


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
    ('--config.systems=margn', "Did you mean 'margin'"),
    ('--config.model.name=mpl', "Did you mean 'mlp'"),
    ('--config.learner.weights=warmm', "Did you mean 'warm'"),
    ('--config.learner.optimizer.name=adm', "Did you mean 'adam'"),
    ('--config.learner.batchsize=3', 'batch_size'),
    ('--config.protocol.first_set=balancd', "Did you mean 'balanced'"),
    ('--config.protocol.rounds=0', 'rounds is 0; it must be a whole number'),
    ('--config.protocol.first_size=5000', 'first_size is 5000; the pool has'),
    ('--config.seeds=0', 'seeds is 0; it must be a whole number at least 1'),
    ('--config.seeds=1000000000000', 'at most 10,000'),
    ('--config.learner.optimizer.learning_rate=nan', 'learning_rate is nan'),
    ('--config.learner.optimizer.nesterov=abc', 'nesterov'),
    ('--config.learner.batch_size=1.5', "'1.5'"),
    ('--config.model.widths=abc', "widths is 'abc'"),
    ('--config.model.widht=3', "model 'mlp' has no option 'widht'"),
    ('--config.strategy.num_samples=1.5', 'num_samples is 1.5; it must be'),
    ('--config.strategy.num_sample=1', "Did you mean 'num_samples'"),
    ('--config.lerner.batch_size=3', 'Did you mean "learner"'),
    ('--config.learner.stp.epochs=3', 'Did you mean "stop"'),
    ('--config.protocol.runds=3', "Did you mean 'rounds'"),
    ('--config.sistem=random', "Did you mean 'systems'"),
    ('--config.prefilter.name=entropy', "prefilter has no 'size'"),
    ('--config.describe.dropout_samples=3', 'no dropout to sample'),
    ('--config.data.source=openml:-1', 'give an id'),
    ('--config=configs/mnist.py:locl', "config argument is 'locl'"),
    ('--no_such_flag', 'no_such_flag'),
    ('--config.first_seed=-1', '-1'),
    ('--config.systems=mc_margin', 'has no dropout as configured'),
    ('--config.learner.stop.patience=2', 'validation_split'),
    ('--config.placement=disk', "placement 'disk' is not known"),
    ('--config.chunk_size=0', 'chunk_size is 0'),
    ('--config.subset_size=3', 'subset_size is 3; it must be at least'),
    ('--config.oracle.noise=2.0', 'oracle.noise is 2.0'),
    ('--config.protocol.rounds=None', 'rounds is None; it must be a whole'),
    ('stray', "'stray' is not a flag"),
  ],
)
def test_bad_input_is_one_line_before_any_work(
  tmp_path, capsys, change, message
):
  workdir = tmp_path / 'run'
  told = told_by(capsys, *SMALL, change, f'--workdir={workdir}')
  assert message in told
  assert told.count('\n') == 1
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
    *SMALL,
    npz(tmp_path, **changes),
    f'--workdir={tmp_path / "run"}',
  )
  assert message in told


def test_an_absent_tfds_set_says_how_to_get_it(tmp_path, capsys, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  told = told_by(
    capsys,
    *SMALL,
    '--config.data.source=tfds:cifar10',
    f'--workdir={tmp_path / "run"}',
  )
  for part in ('prepare', str(tmp_path), 'openml:40927'):
    assert part in told


def test_a_workdir_that_cannot_be_written_is_refused(tmp_path, capsys):
  (tmp_path / 'file').write_text('')
  told = told_by(capsys, *SMALL, f'--workdir={tmp_path / "file" / "x"}')
  assert str(tmp_path / 'file') in told


def test_a_folder_of_somebody_else_is_refused(tmp_path, capsys):
  (tmp_path / 'thesis.tex').write_text('years of work')
  arguments = (*SMALL, f'--workdir={tmp_path}', '--overwrite')
  assert 'thesis.tex' in told_by(capsys, *arguments)
  assert os.listdir(tmp_path) == ['thesis.tex']


def test_random_has_no_prefilter_that_nobody_has(capsys):
  alone = (*_SHARED, '--config.systems=random', '--dry_run')
  told = told_by(capsys, *alone, '--config.prefilter.name=entrpy')
  assert "prefilter 'entrpy' is not known. Did you mean 'entropy'" in told
  told = told_by(
    capsys, *alone, '--config.prefilter.name=bald', '--config.prefilter.siez=3'
  )
  assert "prefilter 'bald' has no option 'siez'" in told


def test_no_workdir_has_a_nul_character(capsys):
  told = told_by(capsys, *SMALL, '--workdir=a\0b')
  assert told == (
    "WorkdirError: 'a\\x00b' names no folder: it has a NUL character.\n"
  )


@pytest.mark.parametrize(
  ('error', 'message'),
  [
    (MemoryError('Unable to allocate 559. GiB'), 'Unable to allocate 559. GiB'),
    (MemoryError(), 'MemoryError: there is too little: take smaller'),
    (jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: a\nb'), 'fewer examples'),
    (ValueError('safe_zip() argument 2 is longer'), 'delete them: rm -r '),
    (
      jax.errors.JaxRuntimeError('E0102: RuntimeProgramInputMismatch:\nx'),
      'delete them: rm -r ',
    ),
  ],
)
def test_an_error_from_deep_inside_names_a_cure(
  capsys, monkeypatch, error, message
):
  def fail(cells):
    raise error

  monkeypatch.setattr(runs, 'describe', fail)
  told = told_by(capsys, *SMALL, '--dry_run')
  assert message in told and told.count('\n') == 1


def test_a_workdir_is_needed(capsys):
  assert '--workdir is not set' in told_by(capsys, *SMALL)


def test_too_little_space_is_said_before_any_work(
  tmp_path, capsys, monkeypatch
):
  usage = type('usage', (), {'free': 10})
  monkeypatch.setattr('shutil.disk_usage', lambda path: usage)
  told = told_by(capsys, *SMALL, f'--workdir={tmp_path / "run"}')
  assert 'no space left' in told

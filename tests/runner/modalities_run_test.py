"""Experiments with several modalities, from a config to records."""

import numpy as np
import pytest

from al_jax import loop
from al_jax.runner import config as config_lib
from al_jax.runner import defaults, grid
from al_jax.runner import jobs as jobs_lib
from al_jax.storage import manifest, records
from configs import joint
from tests.commands import run_test
from tests.factories import an_observer

VIEWS = {'name': 'views', 'views': ('left', 'right', 'spectrum')}
CAP = {'name': 'cap', 'train': 90, 'test': 50}
ARGUMENTS = (
  '--config=configs/quickstart.py',
  '--nocompilation_cache',
  '--quiet',
  '--config.systems=margin',
  '--config.model.name=fusion',
  '--config.model.widths=(16,)',
  '--config.learner.stop.epochs=3',
  '--config.protocol.rounds=2',
  '--config.seeds=1',
  f'--config.data.transforms=({VIEWS},{CAP})',
)


# Numbers of a modality, as users of the papers' data sets have them.
PUBLISHED = {
  'emofbvp': {'face': 540, 'gesture': 540, 'voice': 180, 'physiology': 120},
  'mindreading': {'face': 540, 'voice': 180},
}


def some_folder(folder, sizes):
  """A file per modality; every fourth example lacks the last of them."""
  rng = np.random.default_rng(0)
  targets = np.arange(120) % 3
  folder.mkdir()
  for number, (name, size) in enumerate(sizes.items()):
    values = rng.standard_normal((120, size)) + targets[:, np.newaxis]
    if number == len(sizes) - 1:
      values[::4] = np.nan
    answers = {'y': targets} if number == 0 else {}
    np.savez(folder / f'{name}.npz', x=values, **answers)
  return folder


@pytest.fixture(params=['views', 'folder'])
def config(request, tmp_path, monkeypatch):
  monkeypatch.setenv('AL_JAX_CACHE_DIR', str(tmp_path / 'cache'))
  made = defaults.get_config()
  if request.param == 'views':
    made.data.transforms = (VIEWS, CAP)
  else:
    folder = some_folder(tmp_path / 'set', {'face': 6, 'voice': 4})
    made.data.source = f'modalities:{folder}'
  made.model = {'name': 'fusion', 'widths': (16,), 'joint_widths': (24,)}
  made.learner.stop.epochs = 3
  made.protocol.rounds = 3
  made.protocol.first_size = 20
  made.protocol.labels_per_round = 10
  made.describe.batches = True
  plain = manifest.plain_config(made.to_dict())
  plain.pop('grid')
  return plain


def ran(
  config, folder, should_stop=lambda: False, rows=None, systems=('margin',)
):
  """What is the same in two runs."""
  rows = [] if rows is None else rows
  experiment = config_lib.prepare(config)
  jobs = jobs_lib.jobs_of(config, list(systems), workers=1)
  jobs_lib.run_jobs(
    experiment, jobs, folder, should_stop, [an_observer(rows.append)]
  )
  return [records.deterministic(row) for row in rows]


@pytest.mark.parametrize('name', [*PUBLISHED])
def test_the_published_modalities_run_from_their_configs(
  name, tmp_path, monkeypatch
):
  monkeypatch.setenv('AL_JAX_CACHE_DIR', str(tmp_path / 'cache'))
  monkeypatch.setenv('AL_JAX_FILES_DIR', str(tmp_path))
  sizes = PUBLISHED[name]
  some_folder(tmp_path / name, sizes)
  made = joint.get_config(name)
  made.learner.stop.epochs = 2
  made.protocol.update({'first_size': 20, 'rounds': 2, 'labels_per_round': 10})
  made.seeds = 1
  cells = grid.cells(manifest.plain_config(made.to_dict()))
  assert len(cells) == 2 ** len(sizes) - 1
  # The last modality alone, and all of them.
  for cell in (cells[len(sizes) - 1], cells[-1]):
    example = config_lib.prepare(cell.config).facts.example
    used = cell.config['data']['modalities']
    for modality, size in sizes.items():
      assert (modality in example) == (modality in used)
      if modality in used:
        assert example[modality].shape == (size,)
    rows = ran(cell.config, tmp_path / cell.name, systems=('joint', 'random'))
    assert [row['labels'] for row in rows] == [20, 30] * 2
    assert all(np.isfinite(row['test']['log_loss']) for row in rows)


def test_where_the_inputs_live_and_interruptions_change_nothing(
  config, tmp_path
):
  whole = ran(config, tmp_path / 'whole')
  assert [row['labels'] for row in whole] == [20, 30, 40]
  assert all(np.isfinite(row['batch']['near_duplicates']) for row in whole[:2])
  assert ran({**config, 'placement': 'host'}, tmp_path / 'host') == whole
  rows = []
  with pytest.raises(loop.Interrupted):
    ran(config, tmp_path / 'cut', lambda: len(rows) > 0, rows)
  assert len(rows) == 1
  assert ran(config, tmp_path / 'cut') == whole


def test_a_run_writes_its_files_and_no_gallery(tmp_path, capsys):
  arguments = (*ARGUMENTS, f'--workdir={tmp_path / "run"}')
  assert run_test.call(*arguments, '--dry_run') == 0
  said = capsys.readouterr().out
  assert 'example left uint8[8, 4, 1], right uint8[8, 4, 1], spectrum' in said
  assert run_test.call(*arguments) == 0
  rows = records.read_jsonl(tmp_path / 'run' / 'records.jsonl')
  assert [row.labels for row in rows] == [20, 40]
  written = {path.name for path in (tmp_path / 'run').iterdir()}
  assert 'curves.png' in written
  assert not [name for name in written if name.startswith('gallery')]


def test_what_cannot_be_is_refused_before_any_work(config):
  with pytest.raises(ValueError, match="'mlp' takes one array; the inputs are"):
    config_lib.system_of(
      config_lib.prepare({**config, 'model': {'name': 'mlp'}}), 'margin'
    )
  learner = {**config['learner'], 'augment': ('flip',)}
  with pytest.raises(ValueError, match=r"modalities.*must be \(\), .*'flip'"):
    config_lib.system_of(
      config_lib.prepare({**config, 'learner': learner}), 'margin'
    )

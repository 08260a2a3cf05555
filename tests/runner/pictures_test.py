"""Pictures of a learner: sheets, and the files of a run."""

import shutil

import numpy as np
import pytest
from PIL import Image

from al_jax.runner import cells, defaults, observers, pictures, queries, runs
from al_jax.storage import manifest, records, workdir

SYSTEM = 'tests.learners.two_networks_test.two_networks+random'
SHAPES = {'noise': (9, 11, 3), 'critic': (4, 9), 'labelled': (2, 3)}


def laid_out(images):
  """The reference: image by image onto white."""
  number, height, width, channels = images.shape
  columns = int(np.ceil(np.sqrt(number)))
  rows = -(-number // columns)
  shape = rows * (height + 1) - 1, columns * (width + 1) - 1, channels
  page = np.full(shape, 255, np.uint8)
  for place, image in enumerate(images):
    row, column = divmod(place, columns)
    top, left = row * (height + 1), column * (width + 1)
    page[top : top + height, left : left + width] = image
  return page


@pytest.mark.parametrize('number', [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize('channels', [(), (1,), (3,)])
def test_a_sheet_is_a_grid_on_white(number, channels):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (number, 3, 4, *channels), np.uint8)
  found = pictures.sheet(images)
  page = laid_out(images.reshape(number, 3, 4, -1))
  np.testing.assert_array_equal(found.reshape(page.shape), page)
  assert found.ndim == (3 if channels == (3,) else 2)


def test_floats_are_from_black_to_white():
  images = np.array([[[0.0, 0.5, 1.0]]], np.float32)
  np.testing.assert_array_equal(pictures.sheet(images), [[0, 128, 255]])


def a_config(**changes):
  config = defaults.get_config()
  config.systems = (SYSTEM,)
  config.data.transforms = ({'name': 'cap', 'train': 90, 'test': 50},)
  config.protocol.rounds = 2
  config.protocol.first_size = 10
  config.protocol.labels_per_round = 5
  plain = manifest.plain_config(config.to_dict())
  return {
    **plain,
    'model': {'name': 'mlp', 'widths': [32]},
    'seeds': 2,
    **changes,
  }


def run(folder, config, **how):
  how = cells.How(quiet=True, **how)
  assert runs.run(config, runs.cells_of(config), folder, how) == 0


def files_in(folder):
  return {
    path.name: path.read_bytes() for path in (folder / 'pictures').iterdir()
  }


def said(folder):
  return queries.read(folder / 'queries.jsonl')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('whole')
  run(folder, a_config())
  return folder


def test_a_run_writes_a_file_for_each_round_and_name(whole):
  assert set(files_in(whole)) == {
    f'{SYSTEM}_seed{seed}_round{round}_{name}.png'
    for seed in range(2)
    for round in range(2)
    for name in SHAPES
  }
  for name, shape in SHAPES.items():
    path = whole / 'pictures' / f'{SYSTEM}_seed1_round1_{name}.png'
    found = np.asarray(Image.open(path))
    times = found.shape[0] // shape[0]
    assert times > 1 and found.dtype == np.uint8
    assert found.shape == (times * shape[0], times * shape[1], *shape[2:])
  # The last round was trained on 15 labels.
  assert np.all(found == 15)


def test_what_the_model_said_of_each_query_is_written(whole):
  rows = {
    (row.system, row.seed, row.round): row.picks
    for row in records.read_jsonl(whole / 'records.jsonl')
    if row.picks
  }
  found = said(whole)
  assert {place: each.picks for place, each in found.items()} == rows
  assert len(rows) == 2
  for each in found.values():
    assert len(each.predicted) == len(each.values) == 5
    assert set(each.predicted) <= set('0123456789')
    assert all(0.1 < one < 1 for one in each.probabilities)


def test_workers_send_their_pictures_home(whole, tmp_path):
  run(tmp_path, a_config(), num_workers=2)
  assert files_in(tmp_path) == files_in(whole)
  assert said(tmp_path) == said(whole)


def test_a_run_that_broke_off_writes_what_is_missing(
  whole, tmp_path, monkeypatch
):
  on_record = observers.RecordsFile.on_record

  def break_off(self, record):
    if (record.seed, record.round) == (1, 0):
      raise OSError('the disk is full')
    on_record(self, record)

  with monkeypatch.context() as patch:
    patch.setattr(observers.RecordsFile, 'on_record', break_off)
    with pytest.raises(OSError, match='the disk is full'):
      run(tmp_path, a_config())
  assert len(files_in(tmp_path)) == 3 * len(SHAPES)
  run(tmp_path, a_config())
  assert files_in(tmp_path) == files_in(whole)
  assert said(tmp_path) == said(whole)


def test_overwriting_takes_pictures_away(whole, tmp_path):
  shutil.copytree(whole, tmp_path / 'copy')
  with workdir.Workdir(tmp_path / 'copy') as place:
    place.overwrite()
  assert not (tmp_path / 'copy' / 'pictures').exists()


def test_no_picture_is_written_through_a_link(tmp_path):
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'pictures').symlink_to(tmp_path / 'elsewhere')
  seen = pictures.RoundPictures('a', 0, 0, {'x': np.zeros((1, 2, 2), np.uint8)})
  with pytest.raises(workdir.WorkdirError, match='pictures is a link'):
    pictures.PictureFiles(tmp_path / 'pictures', None).on_pictures(seen)
  assert not list((tmp_path / 'elsewhere').iterdir())

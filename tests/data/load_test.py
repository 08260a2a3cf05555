import os
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from al_jax import data, tasks
from al_jax.data import checks, dataset


@pytest.fixture(scope='module')
def cache_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('cache')


def _table(path, num_examples=40, **changes):
  rng = np.random.default_rng(3)
  arrays = {
    'x': rng.standard_normal((num_examples, 3)).astype(np.float32),
    'y': np.arange(num_examples) % 4,
  }
  np.savez(path, **arrays | changes)
  return str(path)


def test_digits_need_nothing_but_their_name():
  digits = data.load('digits')
  assert isinstance(digits, data.Dataset)
  assert isinstance(digits.train, data.Split)
  assert (len(digits.train), len(digits.test)) == (1_438, 359)
  assert len(digits.task.class_names) == 10
  assert digits.validation is None
  assert digits.normalize == 'channel'
  normalised = (digits.train.inputs - digits.mean) / digits.std
  assert abs(normalised.mean()) < 1e-5
  assert abs(normalised.std() - 1) < 1e-5


def test_tables_are_normalised_by_feature_unless_asked(tmp_path, cache_dir):
  source = f'file:{_table(tmp_path / "table.npz")}'
  plain = data.load(
    {'source': source, 'normalize': 'none'}, cache_dir=cache_dir
  )
  np.testing.assert_array_equal(plain.mean, np.zeros(3))
  np.testing.assert_array_equal(plain.std, np.ones(3))
  assert plain.normalize == 'none'
  scaled = data.load(source, cache_dir=cache_dir)
  assert scaled.normalize == 'feature'
  np.testing.assert_allclose(
    scaled.std, plain.train.inputs.std(0), rtol=1e-4, atol=1e-6
  )
  np.testing.assert_allclose(
    scaled.mean, plain.train.inputs.mean(0), rtol=1e-4, atol=1e-6
  )
  assert scaled.fingerprint == plain.fingerprint


def test_a_file_that_changes_is_read_again(tmp_path, cache_dir):
  path = tmp_path / 'table.npz'
  first = data.load(f'file:{_table(path)}', cache_dir=cache_dir)
  again = data.load(f'file:{path}', cache_dir=cache_dir)
  assert again.fingerprint == first.fingerprint
  assert isinstance(again.train.inputs, np.memmap)
  changed = data.load(f'file:{_table(path, 44)}', cache_dir=cache_dir)
  assert changed.fingerprint != first.fingerprint


def test_a_file_rewritten_with_its_size_and_time_kept_is_read_again(
  tmp_path, cache_dir
):
  path = tmp_path / 'table.npz'
  first = data.load(f'file:{_table(path)}', cache_dir=cache_dir)
  before = path.stat()
  x = np.ones((40, 3), np.float32)
  changed = data.load(f'file:{_table(path, x=x)}', cache_dir=cache_dir)
  os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
  assert path.stat().st_size == before.st_size
  assert changed.fingerprint != first.fingerprint
  again = data.load(f'file:{path}', cache_dir=cache_dir)
  assert again.fingerprint == changed.fingerprint


def test_options_of_the_source_are_passed_on(tmp_path, cache_dir):
  source = f'file:{_table(tmp_path / "table.npz")}'
  whole = data.load(source, cache_dir=cache_dir)
  half = data.load(
    {'source': source, 'test_fraction': 0.5}, cache_dir=cache_dir
  )
  assert (len(whole.test), len(half.test)) == (4, 20)


def test_transforms_come_after_the_cache_and_change_the_facts(
  tmp_path, cache_dir
):
  source = f'file:{_table(tmp_path / "table.npz")}'
  whole = data.load(source, cache_dir=cache_dir)
  spec = {
    'source': source,
    'normalize': 'feature',
    'transforms': [
      {'name': 'cap', 'train': 20},
      {'name': 'label_noise', 'rate': 0.5},
    ],
  }
  changed = data.load(spec, cache_dir=cache_dir)
  assert len(changed.train) == 20
  assert set(changed.train.ids) < set(whole.train.ids)
  assert changed.fingerprint != whole.fingerprint
  np.testing.assert_allclose(
    changed.mean, changed.train.inputs.mean(0), rtol=1e-4, atol=1e-6
  )
  again = data.load(spec, cache_dir=cache_dir)
  assert again.fingerprint == changed.fingerprint


def test_a_validation_split_is_a_split_of_the_data_set(cache_dir):
  spec = {
    'source': 'digits',
    'transforms': [{'name': 'validation_split', 'fraction': 0.1}],
  }
  digits = data.load(spec)
  whole = data.load('digits')
  assert len(digits.train) + len(digits.validation) == len(whole.train)
  assert digits.fingerprint != whole.fingerprint


@pytest.mark.parametrize(
  ('spec', 'message'),
  [
    ('digit', "data source 'digit' is not known. Did you mean 'digits'"),
    ('a/x.npz', "Did you mean 'file:a/x.npz'"),
    ('x-idx3-ubyte.gz', "Did you mean 'file:x-idx3-ubyte.gz'"),
    ('tests', "Did you mean 'images:tests'"),
    ('tfds', "'tfds' must be of the form tfds:NAME"),
    ('images:', "'images:' must be of the form images:FOLDER"),
    ('digits:big', "takes no name after it, got 'big'"),
    (
      7,
      "a string, or by a dict with 'source', not 7. Sources: detect:DIGITS, ",
    ),
    ({'name': 'digits'}, "dict with 'source'"),
    ({'source': 'digits', 'transform': []}, "Did you mean 'transforms'"),
    ({'source': 'digits', 'normalise': 1}, "Did you mean 'normalize'"),
    ({'source': 'digits', 'normalize': 'non'}, "Did you mean 'none'"),
    (
      {'source': 'tfds:x', 'datadir': '.'},
      "no option 'datadir'. .* 'data_dir'",
    ),
    ({'source': 'digits', 'transforms': [{'name': 'cpa'}]}, "mean 'cap'"),
    ({'source': 'digits', 'transforms': 'cap'}, 'transforms.* a list'),
    ({'source': 'digits', 'transforms': ['cap']}, "'cap' must be a dict"),
    (
      {'source': 'digits', 'transforms': [{'name': 'cap', 'trian': 5}]},
      "Did you mean 'train'",
    ),
  ],
)
def test_a_misspelt_spec_names_what_was_meant(spec, message):
  with pytest.raises(ValueError, match=message):
    data.load(spec)


def test_a_misspelt_transform_is_found_before_the_source_is_read(tmp_path):
  spec = {
    'source': f'file:{tmp_path}/absent.npz',
    'transforms': [{'name': 'x'}],
  }
  with pytest.raises(ValueError, match="'x' is not known"):
    data.load(spec)


def test_what_was_left_out_is_logged_at_every_load(tmp_path, caplog):
  folder = tmp_path / 'flat'
  folder.mkdir()
  for number in range(12):
    pixels = np.full((3, 2), number, np.uint8)
    PIL.Image.fromarray(pixels).save(folder / f'{number}.png')
  rows = [f'{number}.png,{number % 2}\n' for number in range(8)]
  (folder / 'labels.csv').write_text('filename,label\n' + ''.join(rows))
  spec = {
    'source': f'images:{folder}',
    'labels': 'labels.csv',
    'unlabeled': 'drop',
  }
  for _ in range(2):
    caplog.clear()
    data.load(spec, cache_dir=tmp_path / 'cache')
    assert '4 of the 12 pictures' in caplog.text


def test_inputs_that_are_all_the_same_are_warned_of(tmp_path, caplog):
  x = np.ones((40, 3), np.float32)
  path = _table(tmp_path / 'table.npz', x=x)
  data.load(f'file:{path}', cache_dir=tmp_path / 'cache')
  assert 'the inputs of all training examples are the same' in caplog.text
  caplog.clear()
  x[:, 0] = np.arange(40)
  path = _table(tmp_path / 'table.npz', x=x)
  data.load(f'file:{path}', cache_dir=tmp_path / 'cache')
  assert 'the same' not in caplog.text


def test_numbers_to_predict_that_never_vary_are_warned_of(tmp_path, caplog):
  y = np.ones((40, 2), np.float32)
  spec = {'source': f'file:{tmp_path}/table.npz', 'scale': 1.0}
  for y[0, 0], said in ((1, True), (2, False)):
    _table(tmp_path / 'table.npz', y=y)
    caplog.clear()
    found = data.load({**spec, 'split_seed': 1}, cache_dir=tmp_path / 'cache')
    assert 0 in found.train.ids
    wanted = 'the targets of all training examples are the same'
    assert (wanted in caplog.text) == said


def test_numbers_to_predict_come_back_from_the_cache(tmp_path, monkeypatch):
  y = np.random.default_rng(0).normal(size=(40, 2))
  spec = {'source': f'file:{_table(tmp_path / "t.npz", y=y)}', 'scale': 3}
  first = data.load(spec, cache_dir=tmp_path / 'cache')
  monkeypatch.setattr(checks, 'examine', None)
  again = data.load(spec, cache_dir=tmp_path / 'cache')
  assert first.task == again.task == tasks.Vector(2, scale=3.0)
  assert first.fingerprint == again.fingerprint
  np.testing.assert_array_equal(
    again.train.targets, y[again.train.ids].astype(np.float32)
  )


def test_fingerprints_of_digits_are_those_of_the_first_version():
  # Runs of earlier versions are gone on with under these.
  assert data.load('digits').fingerprint == '851af5477cdb4451f771f57aecdecf2f'
  spec = {
    'source': 'digits',
    'transforms': [
      {'name': 'imbalance', 'ratio': 10.0},
      {'name': 'validation_split', 'size': 100},
      {'name': 'cap', 'train': 300, 'test': 50},
      {'name': 'label_noise', 'rate': 0.1},
    ],
  }
  assert data.load(spec).fingerprint == '98a2920c7c375a5b78bf18fbc1a698ea'


def test_bad_data_are_refused_and_not_kept(tmp_path):
  inputs = np.ones((40, 3), np.float32)
  inputs[17, 1] = np.nan
  path = _table(tmp_path / 'table.npz', x=inputs)
  for _ in range(2):
    with pytest.raises(ValueError, match="column '1' has no value in row 17"):
      data.load(f'file:{path}', cache_dir=tmp_path / 'cache')
  assert not [p for p in (tmp_path / 'cache').iterdir() if p.is_dir()]


def test_importing_the_package_imports_no_source():
  heavy = ('tensorflow_datasets', 'sklearn', 'PIL', 'pandas')
  script = f"""
import sys
from al_jax import data
print([name for name in {heavy} if name in sys.modules])
"""
  found = subprocess.run(
    [sys.executable, '-c', script], capture_output=True, text=True, check=True
  )
  assert found.stdout.strip() == '[]'


@pytest.fixture(scope='module')
def cifar10(tfds_dir, data_cache):
  """The first opening, which may decode, and the second, which cannot."""
  first = data.load('tfds:cifar10', cache_dir=data_cache)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(checks, 'examine', None)
    return first, data.load('tfds:cifar10', cache_dir=data_cache)


def test_cifar10_decodes_once_and_is_mapped_afterwards(cifar10):
  first, second = cifar10
  assert first.fingerprint == second.fingerprint
  assert isinstance(second.train.inputs, np.memmap)


def test_cifar10_is_what_it_is_said_to_be(cifar10):
  _, cifar = cifar10
  assert cifar.train.inputs.shape == (50_000, 32, 32, 3)
  assert cifar.test.inputs.shape == (10_000, 32, 32, 3)
  assert cifar.task.names[:2] == ('airplane', 'automobile')
  np.testing.assert_array_equal(np.bincount(cifar.train.targets), [5_000] * 10)
  assert cifar.train.ids[0] == 'train_16399'
  # The published values are for the original files, these went through JPEG.
  np.testing.assert_allclose(
    cifar.mean / 255, [0.4914, 0.4822, 0.4465], atol=2e-4
  )
  np.testing.assert_allclose(
    cifar.std / 255, [0.2470, 0.2435, 0.2616], atol=3e-4
  )


def test_the_fingerprint_kept_is_that_of_the_content(cifar10):
  _, cifar = cifar10
  raw = dataset.RawData(
    name='another name',
    train=cifar.train,
    test=cifar.test,
    task=cifar.task,
    is_image=True,
  )
  assert dataset.fingerprint(raw) == cifar.fingerprint

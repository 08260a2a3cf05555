import io
import json
import shutil
import struct

import google_crc32c
import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds_library

from al_jax.data.sources import tfds

features = tfds_library.features


class Columns(tfds_library.core.GeneratorBasedBuilder):
  """Many named columns, one of them a category, no id, no test split."""

  VERSION = tfds_library.core.Version('1.0.0')

  def _info(self):
    return tfds_library.core.DatasetInfo(
      builder=self,
      features=features.FeaturesDict(
        {
          'age': np.int32,
          'height': np.float32,
          'colour': features.ClassLabel(names=['red', 'green', 'blue']),
          'smokes': np.bool_,
          'grade': features.ClassLabel(names=['bad', 'good']),
        }
      ),
      supervised_keys=None,
    )

  def _split_generators(self, download_manager):
    return {'train': self._generate_examples(60)}

  def _generate_examples(self, size):
    for i in range(size):
      yield (
        i,
        {
          'age': i,
          'height': i / 4,
          'colour': -1 if i == 7 else i % 3,
          'smokes': i % 5 == 0,
          'grade': i % 2,
        },
      )


class NestedTable(tfds_library.core.GeneratorBasedBuilder):
  """As TFDS has its tables: a dict of features, a numeric target, an id."""

  VERSION = tfds_library.core.Version('1.2.0')

  def _info(self):
    return tfds_library.core.DatasetInfo(
      builder=self,
      features=features.FeaturesDict(
        {
          'features': {
            'b': np.float64,
            'a': np.float32,
            'note': features.Text(),
          },
          'quality': np.int32,
          'id': features.Text(),
        }
      ),
      supervised_keys=('features', 'quality'),
    )

  def _split_generators(self, download_manager):
    return {
      'train': self._generate_examples('t', 30),
      'validation': self._generate_examples('v', 12),
    }

  def _generate_examples(self, prefix, size):
    for i in range(size):
      yield (
        i,
        {
          'features': {'a': i, 'b': -i, 'note': 'x' * i},
          'quality': 3 + 2 * (i % 3),
          'id': f'{prefix}{i}',
        },
      )


def _picture(height, width, value, picture_format='PNG'):
  pixels = np.full((height, width, 3), value, np.uint8)
  buffer = io.BytesIO()
  PIL.Image.fromarray(pixels).save(buffer, picture_format)
  buffer.seek(0)
  return buffer


class Pictures(tfds_library.core.GeneratorBasedBuilder):
  """Pictures of different sizes, and one tensor, in several files."""

  VERSION = tfds_library.core.Version('2.0.0')

  def _info(self):
    return tfds_library.core.DatasetInfo(
      builder=self,
      features=features.FeaturesDict(
        {
          'picture': features.Image(shape=(None, None, 3)),
          'vector': features.Tensor(shape=(4,), dtype=np.float32),
          'pixels': features.Tensor(shape=(2, 2, 1), dtype=np.uint8),
          'label': features.ClassLabel(num_classes=2),
        }
      ),
      supervised_keys=('picture', 'label'),
    )

  def _split_generators(self, download_manager):
    return {
      'train': self._generate_examples(40),
      'test': self._generate_examples(10),
      'unlabelled': self._generate_examples(5, label=-1),
    }

  def _generate_examples(self, size, label=None):
    for i in range(size):
      yield (
        i,
        {
          'picture': _picture(8 + i % 3, 9, i),
          'vector': np.full(4, i, np.float32),
          'pixels': np.full((2, 2, 1), i, np.uint8),
          'label': i % 2 if label is None else label,
        },
      )


class NoPictures(Pictures):
  """Bytes that are no picture."""

  def _generate_examples(self, size, label=None):
    for i, example in super()._generate_examples(size, label):
      yield i, example | {'picture': io.BytesIO(b'not a picture')}


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tfds')
  config = tfds_library.download.DownloadConfig(num_shards=3)
  for builder in (Columns, NestedTable, Pictures):
    builder(data_dir=folder, file_format='array_record').download_and_prepare(
      download_config=config if builder is Pictures else None
    )
  return folder


def _masked(string):
  value = google_crc32c.value(string)
  return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.fixture(scope='module')
def tfrecord_dir(data_dir, tmp_path_factory):
  """The same examples, framed as TFRecord."""
  from array_record.python import array_record_data_source

  root = tmp_path_factory.mktemp('tfds_tfrecord')
  for info in data_dir.glob('*/*/dataset_info.json'):
    folder = root / info.parent.relative_to(data_dir)
    shutil.copytree(info.parent, folder)
    for path in folder.glob('*.array_record-*'):
      with array_record_data_source.ArrayRecordDataSource(
        [str(path)]
      ) as source:
        records = source.__getitems__(range(len(source)))
      content = b''
      for record in records:
        length = struct.pack('<Q', len(record))
        content += length + struct.pack('<I', _masked(length))
        content += record + struct.pack('<I', _masked(record))
      path.unlink()
      path.with_name(path.name.replace('array_record', 'tfrecord')).write_bytes(
        content
      )
    facts = json.loads(info.read_text())
    facts['fileFormat'] = 'tfrecord'
    (folder / info.name).write_text(json.dumps(facts))
  return root


@pytest.fixture(params=['array_record', 'tfrecord'])
def folder(request, data_dir, tfrecord_dir):
  return {'array_record': data_dir, 'tfrecord': tfrecord_dir}[request.param]


def test_named_columns_lie_side_by_side_and_categories_one_per_class(folder):
  raw = tfds.read('columns', data_dir=folder, target='grade')
  assert not raw.is_image
  assert raw.task.names == ('bad', 'good')
  for split in (raw.train, raw.test):
    assert split.inputs.dtype == np.float32
    # In the order of names: age, colour (red, green, blue), height, smokes.
    age = split.inputs[:, 0].astype(int)
    np.testing.assert_array_equal(split.inputs[:, 4], age / 4)
    np.testing.assert_array_equal(split.inputs[:, 5], age % 5 == 0)
    colours = np.eye(3)[age % 3] * (age != 7)[:, None]  # 7 has none
    np.testing.assert_array_equal(split.inputs[:, 1:4], colours)
    np.testing.assert_array_equal(split.targets, age % 2)


def test_without_a_test_split_a_seeded_part_is_held_out(folder):
  raw = tfds.read('columns', data_dir=folder, target='grade')
  assert (len(raw.train), len(raw.test)) == (54, 6)
  ids = np.concatenate([raw.train.ids, raw.test.ids])
  np.testing.assert_array_equal(np.sort(ids), np.arange(60))
  again = tfds.read('columns', data_dir=folder, target='grade')
  np.testing.assert_array_equal(raw.test.ids, again.test.ids)
  other = tfds.read(
    'columns',
    data_dir=folder,
    target='grade',
    split_seed=1,
    test_fraction=0.5,
  )
  assert len(other.test) == 30
  # An id stays with its example.
  ages = dict(zip(raw.train.ids, raw.train.inputs[:, 0], strict=True))
  for name, age in zip(other.train.ids, other.train.inputs[:, 0], strict=True):
    assert ages.get(name, age) == age


def test_a_nested_table_with_numbers_as_classes_and_ids_of_its_own(folder):
  with pytest.raises(ValueError, match=r'/note.*features/a, features/b'):
    tfds.read('nested_table', data_dir=folder)
  raw = tfds.read(
    'nested_table:1.2.0', data_dir=folder, input=['features/a', 'features/b']
  )
  assert raw.task.names == ('3', '5', '7')
  assert (len(raw.train), len(raw.test)) == (30, 12)  # its validation split
  numbers = raw.train.inputs[:, 0].astype(int)
  np.testing.assert_array_equal(raw.train.inputs[:, 1], -numbers)
  np.testing.assert_array_equal(raw.train.targets, numbers % 3)
  assert raw.train.ids.tolist() == [f't{number}' for number in numbers]


def test_pictures_of_different_sizes_need_one(folder):
  with pytest.raises(ValueError, match=r'option size=\[height, width\]'):
    tfds.read('pictures', data_dir=folder)
  raw = tfds.read('pictures', data_dir=folder, size=[8, 6])
  assert raw.is_image
  assert raw.train.inputs.shape == (40, 8, 6, 3)
  assert raw.train.inputs.dtype == np.uint8
  np.testing.assert_array_equal(
    raw.train.targets, raw.train.inputs[:, 0, 0, 0] % 2
  )
  # A grey picture of one value keeps it, whatever its size.
  assert np.ptp(raw.train.inputs, axis=(1, 2, 3)).max() == 0


def test_ids_are_places_in_the_files_with_splits_end_to_end(folder):
  whole = tfds.read('pictures', data_dir=folder, input='vector')
  np.testing.assert_array_equal(whole.train.ids, np.arange(40))
  np.testing.assert_array_equal(whole.test.ids, np.arange(40, 50))
  part = tfds.read(
    'pictures',
    data_dir=folder,
    input='vector',
    train_split='train[10%:60%]',
    test_split='train[60%:]',
  )
  np.testing.assert_array_equal(part.train.ids, np.arange(4, 24))
  np.testing.assert_array_equal(part.test.ids, np.arange(24, 40))
  np.testing.assert_array_equal(part.train.inputs, whole.train.inputs[4:24])


def test_tensors_are_read_as_they_are(folder):
  vectors = tfds.read('pictures', data_dir=folder, input='vector')
  assert vectors.train.inputs.shape == (40, 4)
  assert not vectors.is_image
  pixels = tfds.read('pictures', data_dir=folder, input='pixels')
  assert pixels.is_image
  assert pixels.train.inputs.dtype == np.uint8
  np.testing.assert_array_equal(
    pixels.train.inputs[:, 0, 0], vectors.train.inputs[:, :1]
  )


def test_a_third_split_can_be_asked_for(folder):
  raw = tfds.read(
    'pictures', data_dir=folder, input='vector', validation_split='test'
  )
  np.testing.assert_array_equal(raw.validation.inputs, raw.test.inputs)


def test_both_kinds_of_files_give_the_same(data_dir, tfrecord_dir):
  one, two = (
    tfds.read('pictures', data_dir=folder, size=[8, 8])
    for folder in (data_dir, tfrecord_dir)
  )
  for field in ('inputs', 'targets', 'ids'):
    np.testing.assert_array_equal(
      getattr(one.train, field), getattr(two.train, field)
    )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'input': 'pictur'}, "feature of pictures 'pictur' .* mean 'picture'"),
    ({'target': 'labels'}, "'labels' is not known. Did you mean 'label'"),
    ({'target': 'pixels'}, 'one label per example'),
    ({'train_split': 'trian'}, "split of pictures 'trian' .* mean 'train'"),
    ({'test_split': 'tst[:5]'}, "split of pictures 'tst' .* mean 'test'"),
    ({'test_split': 'unlabelled'}, r'has -1 in row .* labels run from 0 to 1'),
    ({'size': [3]}, r'size=\[3\] must be \(height, width\)'),
    ({'test_fraction': 0.5}, 'has its own test split'),
    ({'input': ['vector', 'label']}, "target='label' is also among the inputs"),
  ],
)
def test_options_that_do_not_fit_are_named(data_dir, options, message):
  options = {'input': 'vector'} | options
  with pytest.raises(ValueError, match=message):
    tfds.read('pictures', data_dir=data_dir, **options)


def test_a_target_that_could_be_two_is_asked_for(data_dir):
  with pytest.raises(
    ValueError, match=r'option target. Class labels: colour, gr'
  ):
    tfds.read('columns', data_dir=data_dir)


def test_prepared_files_are_those_of_the_version(folder):
  names = [
    path.name for path in tfds.ensure_prepared('columns', data_dir=folder)
  ]
  assert {'dataset_info.json', 'features.json'} < set(names)
  assert any('columns-train' in name for name in names)


def _damaged_copy(folder, tmp_path, damage):
  shutil.copytree(folder / 'pictures', tmp_path / 'pictures')
  path = sorted((tmp_path / 'pictures' / '2.0.0').glob('*-train.*'))[1]
  content = bytearray(path.read_bytes())
  if damage == 'cut off':
    content = content[: len(content) * 2 // 3]
  else:
    # Within the pixels of a picture.
    content[content.index(b'IDAT') + 8] ^= 1
  path.write_bytes(content)
  return path


@pytest.mark.parametrize('damage', ['cut off', 'flipped'])
def test_a_damaged_tfrecord_is_named(tfrecord_dir, tmp_path, damage):
  path = _damaged_copy(tfrecord_dir, tmp_path, damage)
  with pytest.raises(ValueError, match=f'{path.name} is damaged: .*record'):
    tfds.read('pictures', data_dir=tmp_path, size=[8, 8])


@pytest.mark.parametrize('damage', ['cut off', 'flipped'])
def test_a_damaged_array_record_is_named(data_dir, tmp_path, damage):
  shutil.copytree(data_dir / 'columns', tmp_path / 'columns')
  (path,) = (tmp_path / 'columns').rglob('*.array_record-*')
  content = bytearray(path.read_bytes())
  if damage == 'cut off':
    content = content[: len(content) * 2 // 3]
  else:
    content[100] ^= 1
  path.write_bytes(content)
  with pytest.raises(
    ValueError, match=r"columns.*split 'train': .* files are damaged"
  ):
    tfds.read('columns', data_dir=tmp_path, target='grade')


@pytest.mark.parametrize('content', ['{"name": "colum', '{"splits": [3]}', ''])
def test_a_damaged_description_is_named_in_one_line(
  data_dir, tmp_path, content
):
  shutil.copytree(data_dir / 'columns', tmp_path / 'columns')
  (path,) = (tmp_path / 'columns').rglob('dataset_info.json')
  path.write_text(content)
  with pytest.raises(ValueError, match=f'{path.parent} is damaged') as caught:
    tfds.read('columns', data_dir=tmp_path, target='grade')
  assert '\n' not in str(caught.value)
  assert len(str(caught.value)) < 700


def test_a_picture_that_is_none_is_named(tmp_path):
  NoPictures(
    data_dir=tmp_path, file_format='array_record'
  ).download_and_prepare()
  with pytest.raises(ValueError, match=r'picture of example 0 .*not readable'):
    tfds.read('no_pictures', data_dir=tmp_path)


@pytest.fixture(scope='module')
def mnist(tfds_dir):
  """The test split of both copies, and a little of what they train on."""
  tfrecord = tfds_dir.parent / 'tfds_tfrecord'
  if not tfrecord.is_dir():
    pytest.skip('there is no TFRecord copy of MNIST beside TFDS_DATA_DIR')
  return [
    tfds.read('mnist', data_dir=d, train_split='test', test_split='train[:90]')
    for d in (tfds_dir, tfrecord)
  ]


def _sorted_rows(split):
  rows = np.column_stack([split.inputs.reshape(len(split), -1), split.targets])
  rows = np.ascontiguousarray(rows.astype(np.uint8))
  return np.sort(rows.view(f'S{rows.shape[1]}')[:, 0])


def test_both_copies_of_mnist_hold_the_same_examples(mnist):
  one, two = mnist
  for copy in (one, two):
    assert copy.train.inputs.shape == (10_000, 28, 28, 1)
    assert copy.test.inputs.shape == (90, 28, 28, 1)
  np.testing.assert_array_equal(
    _sorted_rows(one.train), _sorted_rows(two.train)
  )
  assert np.bincount(one.train.targets).min() > 800

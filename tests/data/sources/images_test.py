"""Folders of pictures, written by Pillow for each test."""

import os

import numpy as np
import PIL.Image
import pytest

from al_jax.data.sources import images

_CLASSES = ('cat', 'dog', 'train')


def _pixels(seed, shape):
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def _write(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  PIL.Image.fromarray(pixels).save(path)


def _write_classes(folder, per_class=10, shape=(5, 4, 3), extension='png'):
  """Returns the pixels by path relative to the folder."""
  written = {}
  for label in _CLASSES:
    for number in range(per_class):
      name = f'{label}/{number}.{extension}'
      written[name] = _pixels(len(written), shape)
      _write(folder / name, written[name])
  return written


def _read(folder, **options):
  return images.read(str(folder), **options)


def test_a_folder_per_class_is_read_and_split(tmp_path):
  written = _write_classes(tmp_path / 'toy')
  raw = _read(tmp_path / 'toy')
  assert raw.name == 'toy'
  assert raw.is_image
  # A class may be called train.
  assert raw.task.names == _CLASSES
  assert raw.train.inputs.shape == (27, 5, 4, 3)
  assert raw.train.inputs.dtype == np.uint8
  assert len(raw.test) == 3
  for split in (raw.train, raw.test):
    for pixels, target, name in zip(
      split.inputs, split.targets, split.ids, strict=True
    ):
      np.testing.assert_array_equal(pixels, written[name])
      assert name.startswith(_CLASSES[target])


@pytest.mark.parametrize('validation', ['val', 'validation'])
def test_folders_of_splits_are_splits(tmp_path, validation):
  for number, name in enumerate(('train', 'test', validation)):
    _write_classes(tmp_path / name, per_class=number + 1)
  raw = _read(tmp_path)
  assert [len(s) for s in (raw.train, raw.test, raw.validation)] == [3, 6, 9]
  assert raw.train.ids[0] == 'train/cat/0.png'


def test_a_second_folder_can_be_the_test_split(tmp_path):
  _write_classes(tmp_path / 'one')
  _write_classes(tmp_path / 'two', per_class=1)
  raw = _read(tmp_path / 'one', test=str(tmp_path / 'two'))
  assert (len(raw.train), len(raw.test)) == (30, 3)
  assert raw.test.ids[0] == 'two/cat/0.png'


@pytest.mark.parametrize(
  'header', ['', 'filename,label\n', 'file,what\n', 'label,filename\n']
)
def test_a_labels_file_says_what_is_what(tmp_path, header):
  rows = []
  for number in range(4):
    _write(tmp_path / f'{number}.png', _pixels(number, (5, 4)))
    pair = (f'{number}.png', 'ab'[number % 2])
    rows.append(pair[::-1] if header.startswith('label') else pair)
  lines = [','.join(row) + '\n' for row in rows]
  (tmp_path / 'labels.csv').write_text(header + ''.join(lines))
  (tmp_path / 'test.csv').write_text(header + ''.join(lines[:2]))
  raw = _read(tmp_path, labels='labels.csv', test='test.csv')
  assert raw.task.names == ('a', 'b')
  assert raw.train.inputs.shape == (4, 5, 4, 1)
  np.testing.assert_array_equal(raw.train.targets, [0, 1, 0, 1])
  assert list(raw.test.ids) == ['0.png', '1.png']


@pytest.mark.parametrize('extension', ['bmp', 'gif', 'tiff', 'webp', 'jpg'])
def test_formats_of_pillow_are_read(tmp_path, extension):
  flat = np.full((8, 8), 100, np.uint8)
  for label in 'ab':
    for number in range(5):
      _write(tmp_path / label / f'{number}.{extension.upper()}', flat)
  raw = _read(tmp_path, channels=1)
  assert raw.train.inputs.shape == (9, 8, 8, 1)
  np.testing.assert_allclose(raw.train.inputs.astype(int), 100, atol=2)


def test_one_colour_picture_makes_all_of_them_colour(tmp_path):
  _write_classes(tmp_path, shape=(5, 4))
  assert _read(tmp_path).train.inputs.shape[-1] == 1
  assert _read(tmp_path, channels=3).train.inputs.shape[-1] == 3
  assert _read(tmp_path, channels=4).train.inputs.shape[-1] == 4
  _write(tmp_path / 'cat' / '0.png', _pixels(0, (5, 4, 4)))
  inputs = _read(tmp_path).train.inputs
  assert inputs.shape[-1] == 3
  is_grey = (np.ptp(inputs.astype(int), axis=-1) == 0).all(axis=(1, 2))
  assert np.count_nonzero(~is_grey) <= 1


def test_pictures_of_different_sizes_need_one_size(tmp_path):
  _write_classes(tmp_path)
  odd = tmp_path / 'dog' / '3.png'
  _write(odd, np.full((9, 7, 3), 50, np.uint8))
  with pytest.raises(ValueError, match=r'3\.png is 9 pixels high and 7 wide'):
    _read(tmp_path)
  raw = _read(tmp_path, size=(6, 3))
  assert raw.train.inputs.shape[1:] == (6, 3, 3)
  everything = np.concatenate([raw.train.inputs, raw.test.inputs])
  names = np.concatenate([raw.train.ids, raw.test.ids])
  resized = everything[list(names).index('dog/3.png')]
  np.testing.assert_array_equal(resized, 50)
  assert _read(tmp_path, size=8).train.inputs.shape[1:] == (8, 8, 3)


def test_hidden_and_other_files_are_left_out(tmp_path):
  _write_classes(tmp_path)
  (tmp_path / 'cat' / 'notes.txt').write_text('no picture')
  (tmp_path / 'cat' / '.hidden.png').write_text('no picture')
  (tmp_path / '.cache').mkdir()
  raw = _read(tmp_path)
  assert len(raw.train) + len(raw.test) == 30


@pytest.mark.parametrize('keep', [0, 30, 60, 100])
def test_an_unreadable_picture_is_named(tmp_path, keep):
  _write_classes(tmp_path, shape=(8, 8, 3))
  broken = tmp_path / 'dog' / '7.png'
  broken.write_bytes(broken.read_bytes()[:keep])
  with pytest.raises(ValueError, match=r'dog/7\.png is not a readable picture'):
    _read(tmp_path)


def test_a_pipe_is_no_picture(tmp_path):
  _write_classes(tmp_path)
  os.mkfifo(tmp_path / 'cat' / 'pipe.png')
  with pytest.raises(ValueError, match=r'pipe\.png is not a readable picture'):
    _read(tmp_path)


def test_pictures_of_more_than_8_bits_are_refused(tmp_path):
  _write_classes(tmp_path)
  _write(tmp_path / 'cat' / '5.png', np.full((5, 4), 60_000, np.uint16))
  with pytest.raises(ValueError, match=r"5\.png .*mode 'I;16'"):
    _read(tmp_path)


@pytest.mark.parametrize(
  ('options', 'error', 'message'),
  [
    ({'size': (0, 4)}, ValueError, r'size=\(0, 4\)'),
    ({'size': (1, 2, 3)}, ValueError, 'height, width'),
    ({'channels': 2}, ValueError, 'channels=2'),
    ({'labels': 'no.csv'}, FileNotFoundError, r'no labels file no\.csv'),
    ({'test': 'nowhere'}, FileNotFoundError, 'no folder nowhere'),
    ({'test_fraction': 0}, ValueError, 'test_fraction is 0'),
  ],
)
def test_bad_options_are_named(tmp_path, options, error, message):
  _write_classes(tmp_path)
  with pytest.raises(error, match=message):
    _read(tmp_path, **options)


def test_a_folder_that_does_not_fit_says_why(tmp_path):
  with pytest.raises(FileNotFoundError, match='no folder'):
    _read(tmp_path / 'nowhere')
  with pytest.raises(ValueError, match=r'no class folders.*labels'):
    _read(tmp_path)
  _write_classes(tmp_path)
  (tmp_path / 'empty').mkdir()
  with pytest.raises(ValueError, match='empty has no picture'):
    _read(tmp_path)


def test_a_labels_file_that_does_not_fit_says_why(tmp_path):
  labels = tmp_path / 'labels.csv'
  labels.write_text('filename,label\nno.png,a\n')
  with pytest.raises(FileNotFoundError, match=r"row 0 .*names 'no\.png'"):
    _read(tmp_path, labels='labels.csv')
  labels.write_text('filename\nno.png\n')
  with pytest.raises(ValueError, match='has one column'):
    _read(tmp_path, labels='labels.csv')
  labels.write_text(f'filename,label\n{5000 * "n"}.png,a\n')
  with pytest.raises(ValueError, match=r'row 0 .*nnn.*: File name too long'):
    _read(tmp_path, labels='labels.csv')


def test_a_labels_file_names_a_picture_once(tmp_path):
  _write_flat(tmp_path / 'flat', 4, 4)
  labels = tmp_path / 'flat' / 'labels.csv'
  labels.write_text(f'{labels.read_text()}\n./01.png,a\n')
  with pytest.raises(ValueError, match=r'row 4 .*as row 1 does'):
    _read(tmp_path / 'flat', labels='labels.csv')


def _write_flat(folder, num_pictures, num_named):
  """A flat folder with a labels file for the first pictures."""
  rows = ['filename,label']
  for number in range(num_pictures):
    _write(folder / f'{number:02}.png', _pixels(number, (5, 4)))
    rows.append(f'{number:02}.png,{"ab"[number % 2]}')
  (folder / 'labels.csv').write_text('\n'.join(rows[: num_named + 1]))


def test_pictures_without_a_label_are_refused_or_dropped(tmp_path):
  _write_flat(tmp_path / 'flat', 10, 6)
  with pytest.raises(ValueError, match=r"4 of the 10 .*'06\.png'.*='drop'"):
    _read(tmp_path / 'flat', labels='labels.csv')
  raw = _read(tmp_path / 'flat', labels='labels.csv', unlabeled='drop')
  assert len(raw.train) + len(raw.test) == 6
  (remark,) = raw.remarks
  assert '4 of the 10 pictures' in remark
  with pytest.raises(ValueError, match=r"'drip'.*Did you mean 'drop'"):
    _read(tmp_path / 'flat', labels='labels.csv', unlabeled='drip')
  with pytest.raises(ValueError, match=r"unlabeled='drop' needs .* labels"):
    _read(tmp_path / 'flat', unlabeled='drop')


@pytest.mark.parametrize('name', ['../secret.png', 'a/../../secret.png', '{}'])
def test_a_labels_file_cannot_name_pictures_outside_its_folder(tmp_path, name):
  secret = tmp_path / 'secret.png'
  _write(secret, _pixels(0, (5, 4)))
  _write_flat(tmp_path / 'flat', 4, 4)
  (tmp_path / 'flat' / 'a').mkdir()
  labels = tmp_path / 'flat' / 'labels.csv'
  labels.write_text(f'{labels.read_text()}\n{name.format(secret)},b\n')
  with pytest.raises(ValueError, match=r'row 4 .*names .*outside'):
    _read(tmp_path / 'flat', labels='labels.csv')


@pytest.mark.parametrize('link', ['bird', 'cat/0.png', 'cat/more', 'train'])
def test_links_inside_the_folder_are_refused(tmp_path, link):
  _write_classes(tmp_path / 'toy', per_class=4)
  elsewhere = tmp_path / 'elsewhere'
  _write_classes(elsewhere, per_class=1)
  place = tmp_path / 'toy' / link
  if place.is_dir():
    place.rename(tmp_path / 'old')
  place.unlink(missing_ok=True)
  place.symlink_to(elsewhere / 'cat' / ('0.png' if '.' in link else ''))
  with pytest.raises(ValueError, match=f'{link} is a link to .*not followed'):
    _read(tmp_path / 'toy')


def test_a_labels_file_cannot_name_a_link(tmp_path):
  _write_flat(tmp_path / 'flat', 4, 4)
  picture = tmp_path / 'flat' / '02.png'
  picture.rename(tmp_path / 'there.png')
  picture.symlink_to(tmp_path / 'there.png')
  with pytest.raises(ValueError, match=r'02\.png is a link'):
    _read(tmp_path / 'flat', labels='labels.csv')


def test_the_folder_itself_may_be_a_link(tmp_path):
  _write_classes(tmp_path / 'toy', per_class=4)
  (tmp_path / 'link').symlink_to(tmp_path / 'toy')
  assert len(_read(tmp_path / 'link').train) == 10


@pytest.mark.parametrize('limit', [30, 50])  # Pillow refuses, Pillow warns
def test_a_picture_of_too_many_pixels_is_refused(tmp_path, monkeypatch, limit):
  _write_classes(tmp_path, per_class=2, shape=(8, 8, 3))
  monkeypatch.setattr(PIL.Image, 'MAX_IMAGE_PIXELS', limit)
  with pytest.raises(ValueError, match=rf'0\.png has more than {limit} pixels'):
    _read(tmp_path, size=4)


def test_a_size_that_no_memory_holds_is_one_sentence(tmp_path):
  _write_classes(tmp_path, per_class=2)
  with pytest.raises(ValueError, match=r'6 pictures of size=\(10{6}, 10{6}\)'):
    _read(tmp_path, size=10**6)

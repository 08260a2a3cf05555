"""Modalities made of pictures."""

import math

import numpy as np
import pytest

from al_jax import data, tasks
from al_jax.data import checks, dataset, transforms
from al_jax.data.dataset import RawData, Split
from al_jax.data.transforms import views


def pictures(rng, dtype=np.uint8, shape=(5, 4, 2)):
  def split(size):
    return Split(
      rng.integers(0, 256, (size, *shape)).astype(dtype),
      np.arange(size, dtype=np.int32) % 2,
      np.arange(size),
    )

  return RawData(
    name='some',
    train=split(7),
    test=split(3),
    task=tasks.Classes(('a', 'b')),
    is_image=True,
  )


def of(raw, *names):
  return views.views(raw, views=names)


@pytest.fixture(params=[np.uint8, np.float32])
def raw(request, rng):
  return pictures(rng, request.param)


def test_halves_make_the_whole(raw):
  found = of(raw, 'left', 'right', 'top', 'bottom')
  for part, split in raw.parts().items():
    inputs = found.parts()[part].inputs
    for names, axis in ((('left', 'right'), 2), (('top', 'bottom'), 1)):
      whole = np.concatenate([inputs[name] for name in names], axis=axis)
      np.testing.assert_array_equal(whole, split.inputs)
      assert whole.dtype == split.inputs.dtype
  assert found.train.inputs['top'].shape == (7, 2, 4, 2)


def test_gradients_are_differences_to_the_next_pixel(raw):
  images = raw.train.inputs.astype(int)
  is_uint8 = raw.train.inputs.dtype == np.uint8
  wanted = np.zeros((7, 5, 4, 4), int)
  for i in range(5):
    for j in range(4):
      for c in range(2):
        if j < 3:
          wanted[:, i, j, c] = images[:, i, j + 1, c] - images[:, i, j, c]
        if i < 4:
          wanted[:, i, j, 2 + c] = images[:, i + 1, j, c] - images[:, i, j, c]
  if is_uint8:
    wanted = (255 + wanted) // 2
  found = of(raw, 'gradients').train.inputs['gradients']
  assert found.dtype == raw.train.inputs.dtype
  np.testing.assert_array_equal(found, wanted)


def test_the_spectrum_is_that_of_the_transform_written_out(raw):
  images = raw.train.inputs.astype(float)
  height, width = images.shape[1:3]
  of_rows, of_columns = (
    np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    for n in (height, width)
  )
  transform = np.einsum('ui,nijc,vj->nuvc', of_rows, images, of_columns)
  wanted = np.log1p(np.abs(transform[:, :, : width // 2 + 1])).reshape(7, -1)
  found = of(raw, 'spectrum').train.inputs['spectrum']
  assert found.shape == (7, 5 * 3 * 2)
  if raw.train.inputs.dtype == np.uint8:
    assert found.dtype == np.uint8
    wanted *= 255 / math.log(1 + 255 * height * width)
    # Rounded; and by half a unit where rounding meets float64.
    np.testing.assert_allclose(found, wanted, atol=0.5 + 1e-9)
  else:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_uint8_holds_the_spectrum_of_the_brightest_picture(rng):
  raw = pictures(rng)
  raw.train.inputs[0], raw.train.inputs[1] = 255, 0
  found = of(raw, 'spectrum').train.inputs['spectrum']
  assert found[0].max() == 255
  assert found[1].max() == 0


def test_blocks_and_mapped_files_change_nothing(rng, tmp_path, monkeypatch):
  raw = pictures(rng)
  wanted = dataset.fingerprint(of(raw, *views.VIEWS))
  monkeypatch.setattr(views, '_BLOCK_BYTES', 2 * 8 * 5 * 4 * 2)
  np.save(tmp_path / 'x.npy', raw.train.inputs)
  mapped = np.load(tmp_path / 'x.npy', mmap_mode='r')
  again = raw._replace(train=Split(mapped, raw.train.targets, raw.train.ids))
  assert dataset.fingerprint(of(again, *views.VIEWS)) == wanted


def test_a_view_is_the_same_whatever_others_there_are(raw):
  some, other = of(raw, 'right', 'left'), of(raw, 'left', 'right')
  assert dataset.fingerprint(some) == dataset.fingerprint(other)
  alone = of(raw, 'left')
  assert list(alone.train.inputs) == ['left']
  assert dataset.fingerprint(alone) != dataset.fingerprint(some)
  np.testing.assert_array_equal(
    alone.test.inputs['left'], some.test.inputs['left']
  )
  checks.check(some)
  assert not some.is_image


def test_digits_load_as_normalised_modalities_with_a_validation_split():
  names = ('left', 'right', 'gradients', 'spectrum')
  digits = data.load(
    {
      'source': 'digits',
      'transforms': [
        {'name': 'views', 'views': names},
        {'name': 'validation_split', 'size': 100},
        {'name': 'cap', 'train': 500},
      ],
    }
  )
  assert (len(digits.train), len(digits.validation)) == (500, 100)
  assert set(digits.train.inputs) == set(digits.mean) == set(digits.std)
  for name in ('left', 'gradients'):
    scaled = (digits.train.inputs[name] - digits.mean[name]) / digits.std[name]
    assert digits.mean[name].shape == scaled.shape[-1:]
    axes = tuple(range(scaled.ndim - 1))
    np.testing.assert_allclose(scaled.mean(axes), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axes), 1, atol=1e-4)
  assert digits.mean['spectrum'].shape == (8 * 5,)
  plain = data.load({'source': 'digits', 'transforms': []})
  row = np.flatnonzero(plain.train.ids == digits.train.ids[17])[0]
  np.testing.assert_array_equal(
    digits.train.inputs['left'][17], plain.train.inputs[row, :, :4]
  )


@pytest.mark.parametrize(
  ('spec', 'message'),
  [
    ({}, "'views' must be given"),
    ({'views': 'left'}, "views is 'left'; .* list of one or more of: bottom"),
    ({'views': ()}, r'views is \(\); it must be a list'),
    ({'views': 3}, 'views is 3; it must be a list'),
    ({'views': ('leftt',)}, "view 'leftt' .*Did you mean 'left'.*bottom, grad"),
    ({'views': (3,)}, 'view 3 is not known'),
    ({'views': ('left', 'top', 'left')}, "it has 'left' twice"),
    ({'views': ('left',), 'seed': 1}, "option 'seed' is not known"),
  ],
)
def test_what_is_no_view_is_named(rng, spec, message):
  with pytest.raises(ValueError, match=message):
    transforms.apply_transforms(pictures(rng), [{'name': 'views', **spec}])


def test_only_pictures_have_views(rng):
  raw = pictures(rng)
  with pytest.raises(ValueError, match=r'some must have pictures .*left'):
    of(of(raw, 'left'), 'right')
  with pytest.raises(ValueError, match=r"'left' needs .* 1 x 2 .* have 5 x 1"):
    of(pictures(rng, shape=(5, 1, 2)), 'left')

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.training import augment

KEY = jax.random.key(3)
IMAGE = jax.ShapeDtypeStruct((6, 5, 2), jnp.uint8)
EVERYTHING = ('flip', {'name': 'shift', 'pixels': 2}, {'name': 'crop'})
PAD_MODES = {'shift': 'reflect', 'crop': 'constant'}


@pytest.fixture
def images(rng):
  # No two values of an image are the same.
  order = [rng.permutation(60) for _ in range(16)]
  return np.stack(order).reshape(16, 6, 5, 2).astype(np.uint8)


def reference_move(image, row, column, pixels, mode):
  height, width, _ = image.shape
  padded = np.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)), mode)
  return padded[row : row + height, column : column + width]


@pytest.mark.parametrize('name', ['shift', 'crop'])
@pytest.mark.parametrize('pixels', [1, 3])
def test_a_move_equals_a_slice_of_the_padded_image(images, name, pixels):
  move = jax.jit(augment.AUGMENTATIONS[name], static_argnames='pixels')
  size = 2 * pixels + 1
  offsets = set()
  for seed, image in enumerate(images):
    moved = move(jax.random.key(seed), image, pixels=pixels)
    wanted = {
      (row, column): reference_move(image, row, column, pixels, PAD_MODES[name])
      for row in range(size)
      for column in range(size)
    }
    found = [at for at, w in wanted.items() if np.array_equal(moved, w)]
    assert len(found) == 1
    offsets.add(found[0])
  assert len(offsets) > 4


@pytest.mark.parametrize('name', ['shift', 'crop'])
def test_every_offset_is_as_likely_as_any_other(name):
  image = np.arange(1, 26, dtype=np.uint8).reshape(5, 5, 1)
  keys = jax.random.split(KEY, 1800)
  moved = jax.vmap(
    lambda key: augment.AUGMENTATIONS[name](key, image, pixels=1)
  )
  centres, counts = np.unique(moved(keys)[:, 2, 2, 0], return_counts=True)
  np.testing.assert_array_equal(centres, [7, 8, 9, 12, 13, 14, 17, 18, 19])
  assert np.sum((counts - 200) ** 2 / 200) < 26.1  # chi-squared, 8: p = 0.001


def test_a_flip_mirrors_left_and_right_one_time_in_two(images):
  image = images[0]
  keys = jax.random.split(KEY, 1000)
  flipped = np.asarray(jax.vmap(lambda key: augment.flip(key, image))(keys))
  is_mirror = (flipped == image[:, ::-1]).all((1, 2, 3))
  is_same = (flipped == image).all((1, 2, 3))
  assert (is_mirror ^ is_same).all()
  assert abs(is_mirror.mean() - 0.5) < 0.05


def test_a_chain_is_its_parts_in_order_each_with_a_key_of_its_own(images):
  specs = ('flip', {'name': 'shift', 'pixels': 2}, 'crop')
  two_pixels = functools.partial(augment.shift, pixels=2)
  index = np.arange(100, 103, dtype=np.int32)
  out = jax.jit(augment.build(specs, IMAGE))(KEY, index, images[:3])
  flip, shift, crop = map(jax.jit, (augment.flip, two_pixels, augment.crop))
  for position, image in zip(index, images[:3], strict=True):
    key = jax.random.fold_in(KEY, position)
    image = flip(jax.random.fold_in(key, 0), image)
    image = shift(jax.random.fold_in(key, 1), image)
    image = crop(jax.random.fold_in(key, 2), image)
    np.testing.assert_array_equal(out[position - 100], image)


def test_a_batch_may_be_cut_or_padded_in_any_way(images):
  change = jax.jit(augment.build(EVERYTHING, IMAGE))
  index = np.array([7, 2, 9, 40, 0, 11, 3, 5], np.int32)
  whole = change(KEY, index, images[:8])
  assert whole.dtype == np.uint8
  assert not np.array_equal(whole, images[:8])
  part = change(KEY, index[[6, 1]], images[[6, 1]])
  np.testing.assert_array_equal(part, whole[np.array([6, 1])])
  padded_index = np.array([-1, 9, -1, 40], np.int32)
  padded = np.zeros((4, 6, 5, 2), np.uint8)
  padded[[1, 3]] = images[[2, 3]]
  rows = change(KEY, padded_index, padded)
  np.testing.assert_array_equal(rows[np.array([1, 3])], whole[np.array([2, 3])])


def test_another_step_draws_anew_and_the_same_step_does_not(images):
  change = jax.jit(augment.build(EVERYTHING, IMAGE))
  index = np.arange(16, dtype=np.int32)
  first, again = change(KEY, index, images), change(KEY, index, images)
  np.testing.assert_array_equal(first, again)
  other = change(jax.random.key(4), index, images)
  assert not np.array_equal(first, other)


def test_without_augmentations_inputs_of_any_kind_pass_through():
  table = {'numbers': jax.ShapeDtypeStruct((4,), jnp.float32)}
  inputs = {'numbers': jnp.ones((2, 4))}
  assert augment.build((), table)(KEY, jnp.arange(2), inputs) is inputs


@pytest.mark.parametrize(
  ('specs', 'message'),
  [
    (['flop'], "augmentation 'flop' is not known. Did you mean 'flip'"),
    ([{'pixels': 2}], 'augmentation None is not known'),
    ([{'name': 'shift', 'pixel': 2}], "no option 'pixel'. Did you mean"),
    ([{'name': 'flip', 'pixels': 2}], "no option 'pixels'. It has: none"),
    (
      [{'name': 'crop', 'pixels': 0}],
      'pixels, .* is 0; .* at least 1 and below 5',
    ),
    (
      [{'name': 'shift', 'pixels': 5}],
      'pixels, .* is 5; .* at least 1 and below 5',
    ),
    ([{'name': 'shift', 'pixels': 1.5}], r'is 1\.5; it must be a whole number'),
    ('flip', "augment is 'flip'; it must be a list"),
    ({'name': 'flip'}, 'augment is .* it must be a list'),
    ([3], r'augment is \[3\]; it must be a list'),
  ],
)
def test_bad_specs_are_refused_before_any_work(specs, message):
  with pytest.raises(ValueError, match=message):
    augment.build(specs, IMAGE)


@pytest.mark.parametrize(
  'example',
  [
    jax.ShapeDtypeStruct((64,), jnp.float32),
    {'image': IMAGE},
  ],
)
def test_inputs_that_are_not_images_are_refused(example):
  with pytest.raises(ValueError, match='augmentation needs images'):
    augment.build(('flip',), example)


def darker(key, image, *, by=1):
  del key
  return image // (1 + by)


def test_a_function_of_ones_own_is_a_step_like_any_other(images):
  for spec in (
    {'name': darker, 'by': 2},
    {'name': f'{__name__}.darker', 'by': 2},
    functools.partial(darker, by=2),
  ):
    build = augment.build([spec, 'flip'], IMAGE)
    index = jnp.arange(len(images))
    # The place in the chain decides the key: a flip comes second in both.
    expected = augment.build([darker_by_nothing, 'flip'], IMAGE)
    np.testing.assert_array_equal(
      build(KEY, index, images), expected(KEY, index, images) // 3
    )


def darker_by_nothing(key, image):
  del key
  return image


def test_a_function_of_ones_own_may_take_what_is_no_image():
  example = {'text': jax.ShapeDtypeStruct((3,), jnp.float32)}
  build = augment.build(
    [lambda key, row: {'text': row['text'] + jax.random.normal(key)}], example
  )
  rows = {'text': jnp.zeros((2, 3))}
  found = build(KEY, jnp.arange(2), rows)['text']
  assert len(np.unique(found)) == 2


@pytest.mark.parametrize(
  ('function', 'message'),
  [
    (lambda key, image: image / 2, r'makes float32\[6, 5, 2\] of .* uint8\['),
    (lambda key, image: image[1:], r'makes uint8\[5, 5, 2\]'),
    (lambda key, image: (image, image), 'it must keep shape and dtype'),
    (lambda key, image: image @ key, 'fails for an input uint8'),
    (lambda image: image, 'fails for an input .* with TypeError'),
    ({'name': darker, 'bye': 1}, "no option 'bye'. Did you mean 'by'"),
    ('tests.nowhere.darker', "there is no module 'tests.nowhere'"),
    (3, 'augment is .3.; it must be a list of names, functions and'),
  ],
)
def test_what_is_no_augmentation_is_told_in_a_sentence(function, message):
  with pytest.raises(ValueError, match=message) as caught:
    augment.build([function], IMAGE)
  assert '\n' not in str(caught.value)

"""Dicts of modalities through checks, cache, moments and transforms."""

import numpy as np
import pytest

from al_jax import tasks
from al_jax.data import cache, checks, dataset, moments, named, transforms
from al_jax.data.dataset import RawData, Split

SIZES = {'train': 60, 'test': 20, 'validation': 10}


def some_inputs(size, seed=0):
  """A table, pictures, and a table that every third example lacks."""
  rng = np.random.default_rng(seed)
  present = (np.arange(size) % 3 > 0).astype(np.uint8)[:, np.newaxis]
  voice = (50 + 7 * rng.standard_normal((size, 4))).astype(np.float32)
  return {
    'voice': voice * present,
    'voice_present': present,
    'face': rng.standard_normal((size, 5)).astype(np.float32),
    'gesture': rng.integers(0, 256, (size, 4, 3, 2), dtype=np.uint8),
  }


def some_split(size, **changes):
  inputs = some_inputs(size, seed=size)
  return Split(
    inputs={name: changes.get(name, inputs[name]) for name in inputs},
    targets=np.arange(size, dtype=np.int32) % 3,
    ids=np.arange(size) + 100,
  )


def some_raw(**changes):
  splits = {name: some_split(size) for name, size in SIZES.items()}
  values = {
    'name': 'small',
    'task': tasks.Classes(('ant', 'bee', 'cat')),
    'is_image': False,
  }
  return RawData(**{**values, **splits, **changes})


def reordered(raw):
  """The same with the modalities named in another order."""
  return raw._replace(
    **{
      name: Split(
        dict(reversed(split.inputs.items())), split.targets, split.ids
      )
      for name, split in raw.parts().items()
    }
  )


def assert_same(found, wanted):
  assert set(found) == set(wanted)
  for name, array in found.items():
    assert array.dtype == wanted[name].dtype
    np.testing.assert_array_equal(array, wanted[name])


def test_a_modality_is_no_array_that_says_who_has_one():
  assert named.modalities(some_inputs(4)) == ['face', 'gesture', 'voice']


def test_taking_examples_takes_them_of_every_modality():
  split = some_split(9)
  taken = split.take(np.array([7, 2]))
  assert_same(
    taken.inputs, {name: part[[7, 2]] for name, part in split.inputs.items()}
  )
  assert 'face float32[2, 5]' in repr(taken)


def test_the_order_of_modalities_is_no_content_and_their_names_are():
  raw = some_raw()
  wanted = dataset.fingerprint(raw)
  assert dataset.fingerprint(reordered(raw)) == wanted
  others = []
  for old, new in (('face', 'hand'), ('voice', 'noise')):
    splits = {
      part: Split(
        {new if name == old else name: a for name, a in split.inputs.items()},
        split.targets,
        split.ids,
      )
      for part, split in raw.parts().items()
    }
    others.append(dataset.fingerprint(raw._replace(**splits)))
  others.append(
    dataset.fingerprint(
      some_raw(train=some_split(60, face=np.zeros((60, 5), np.float32)))
    )
  )
  assert len({wanted, *others}) == 4


def test_moments_are_of_the_examples_that_have_the_modality(monkeypatch):
  monkeypatch.setattr(moments, '_BLOCK_BYTES', 40)
  inputs = some_inputs(50)
  found = moments.moments_of(inputs)
  has = inputs['voice'][np.arange(50) % 3 > 0].astype(np.float64)
  np.testing.assert_allclose(found['voice'].mean, has.mean(0))
  np.testing.assert_allclose(found['voice'].variance, has.var(0))
  np.testing.assert_allclose(found['face'].mean, inputs['face'].mean(0), 1e-5)


def test_constants_are_per_modality_and_leave_presence_alone():
  inputs = some_inputs(50)
  mean, std = moments.constants_of(moments.moments_of(inputs), 'channel')
  shapes = {name: value.shape for name, value in mean.items()}
  assert shapes == {
    'voice': (4,),
    'voice_present': (1,),
    'face': (5,),
    'gesture': (2,),
  }
  assert (mean['voice_present'], std['voice_present']) == (0, 1)
  np.testing.assert_allclose(
    std['gesture'], inputs['gesture'].std((0, 1, 2)), rtol=1e-5
  )
  assert mean['voice'].min() > 40


def test_what_is_kept_on_disk_comes_back_by_modality(tmp_path):
  content = checks.examine(some_raw())

  def never():
    raise AssertionError('built again')

  for build in (lambda: content, never):
    found = cache.open_or_build('set', {}, build, cache_dir=tmp_path)
    assert found.fingerprint == content.fingerprint
    for part, split in found.raw.parts().items():
      assert_same(split.inputs, content.raw.parts()[part].inputs)
      assert isinstance(split.inputs['face'], np.memmap)
    for field in ('mean', 'variance'):
      assert_same(
        {n: getattr(m, field) for n, m in found.train_moments.items()},
        {n: getattr(m, field) for n, m in content.train_moments.items()},
      )


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'face': np.zeros((60, 5))}, "inputs 'face' .* float32 .*not float64"),
    ({'face': np.zeros((59, 5), np.float32)}, "59 inputs 'face', 60 inputs"),
    (
      {'face': np.full((60, 5), np.inf, np.float32)},
      r"train split: inputs 'face' .* index 0 \(id 100\).* inf",
    ),
    (
      {'face': np.zeros((60, 4), np.float32)},
      r'face float32\[5\], .* train split face float32\[4\]',
    ),
    (
      {'voice_present': np.full((60, 1), 2, np.uint8)},
      "'voice_present' must be 0 or 1, .* up to 2",
    ),
    (
      {'voice_present': np.zeros((60, 1), np.float32)},
      "'voice_present' must be 0 or 1, uint8 .* not float32",
    ),
    (
      {'voice_present': np.zeros((60, 1), np.uint8)},
      "no example has the modality 'voice'; leave it out",
    ),
  ],
)
def test_what_is_wrong_in_a_modality_is_named(changes, message):
  checks.check(some_raw())
  with pytest.raises(ValueError, match=message):
    checks.check(some_raw(train=some_split(60, **changes)))


def test_forms_that_fit_nothing_are_named():
  raw = some_raw()
  for train, message in (
    (Split({}, raw.train.targets, raw.train.ids), r'modalities are \[\]'),
    (
      Split({7: raw.train.inputs['face']}, raw.train.targets, raw.train.ids),
      r'modalities are \[7\]; they must be',
    ),
    (
      Split(raw.train.inputs['face'], raw.train.targets, raw.train.ids),
      r'they must be alike',
    ),
  ):
    with pytest.raises(ValueError, match=message):
      checks.check(raw._replace(train=train))
  with pytest.raises(ValueError, match='is_image must be False'):
    checks.check(raw._replace(is_image=True))
  alone = {
    name: Split(
      {'voice_present': split.inputs['voice_present']}, split.targets, split.ids
    )
    for name, split in raw.parts().items()
  }
  with pytest.raises(ValueError, match="'voice', which is not there"):
    checks.check(raw._replace(**alone))


@pytest.mark.parametrize(
  'spec',
  [
    {'name': 'cap', 'train': 20, 'test': 7},
    {'name': 'imbalance', 'ratio': 4},
    {'name': 'label_noise', 'rate': 0.3},
    {'name': 'validation_split', 'size': 12},
    {'name': 'redundancy', 'copies': 2, 'noise': 0},
  ],
  ids=lambda spec: spec['name'],
)
def test_transforms_draw_what_they_draw_of_one_array(spec):
  raw = some_raw(validation=None)
  plain = raw._replace(
    **{
      name: Split(split.inputs['face'], split.targets, split.ids)
      for name, split in raw.parts().items()
    }
  )
  found = transforms.apply_transforms(raw, [spec])
  wanted = transforms.apply_transforms(plain, [spec])
  for part, split in found.parts().items():
    expected = wanted.parts()[part]
    np.testing.assert_array_equal(split.inputs['face'], expected.inputs)
    np.testing.assert_array_equal(split.ids, expected.ids)
    np.testing.assert_array_equal(split.targets, expected.targets)
    # The others went with it. Row numbers are ids less 100; a copy's has a '#'.
    rows = [int(str(name).partition('#')[0]) - 100 for name in split.ids]
    source = raw.test if part == 'test' else raw.train
    assert_same(
      split.inputs, {name: a[rows] for name, a in source.inputs.items()}
    )


def test_noise_is_in_units_of_each_modality_and_of_its_own():
  size = 4_000
  raw = some_raw(train=some_split(size))
  found = transforms.redundancy(raw, copies=2, noise=0.1, seed=3)
  before, after = raw.train.inputs, found.train.inputs
  has = np.tile(before['voice_present'][:, 0] > 0, 2)
  assert after['gesture'].dtype == found.test.inputs['gesture'].dtype
  assert after['gesture'].dtype == np.float32
  says = after['voice_present']
  np.testing.assert_array_equal(says, np.tile(before['voice_present'], (2, 1)))
  assert says.dtype == found.test.inputs['voice_present'].dtype == np.uint8
  noise = after['voice'] - np.tile(before['voice'], (2, 1))
  assert not noise[~has].any()
  np.testing.assert_allclose(noise[has].std(0), 0.7, rtol=0.05)
  of_face = after['face'] - np.tile(before['face'], (2, 1))
  np.testing.assert_allclose(of_face.std(0), 0.1, rtol=0.05)
  of_gesture = after['gesture'] - np.tile(before['gesture'], (2, 1, 1, 1))
  # The same draws, if they were, would stand in the same order.
  both = np.corrcoef(of_face.ravel()[:size], of_gesture.ravel()[:size])
  assert abs(both[0, 1]) < 0.1


def test_noise_of_a_modality_does_not_depend_on_the_others():
  raw = some_raw()
  alone = raw._replace(
    **{
      name: Split({'face': split.inputs['face']}, split.targets, split.ids)
      for name, split in raw.parts().items()
    }
  )
  np.testing.assert_array_equal(
    transforms.redundancy(raw).train.inputs['face'],
    transforms.redundancy(alone).train.inputs['face'],
  )

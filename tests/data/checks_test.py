import numpy as np
import pytest

from al_jax import tasks
from al_jax.data import checks, dataset, moments
from al_jax.data.dataset import RawData, Split


def _split(num_examples=6, **changes):
  values = {
    'inputs': np.arange(num_examples * 3, dtype=np.float32).reshape(-1, 3),
    'targets': np.arange(num_examples, dtype=np.int32) % 3,
    'ids': np.arange(num_examples) + 100,
  }
  return Split(**values | changes)


def _raw(**changes):
  values = {
    'name': 'small',
    'train': _split(),
    'test': _split(4),
    'task': tasks.Classes(('ant', 'bee', 'cat')),
    'is_image': False,
  }
  return RawData(**values | changes)


def test_sound_data_pass():
  checks.check(_raw())
  checks.check(_raw(validation=_split(2)))


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('part', ['train', 'test', 'validation'])
def test_what_is_not_finite_is_named_by_first_index_and_id(
  monkeypatch, part, value
):
  monkeypatch.setattr(checks, '_BLOCK_BYTES', 24)  # two rows
  split = _split()
  split.inputs[5, 0] = split.inputs[3, 1] = value
  with pytest.raises(
    ValueError,
    match=rf'small, {part} split: .* index 3 \(id 103\), position \[1\], is '
    f'{value}',
  ):
    checks.check(_raw(**{part: split}))


@pytest.mark.parametrize('label', [-1, 3])
def test_labels_out_of_range_are_named_by_first_index_and_value(label):
  targets = np.array([0, 1, 2, label, label, 0], np.int32)
  with pytest.raises(
    ValueError,
    match=rf'label {label} at index 3 \(id 103\) is out of range; allowed are '
    r'0 to 2\. 2 labels are wrong',
  ):
    checks.check(_raw(train=_split(targets=targets)))


def test_a_class_without_training_examples_is_named():
  targets = np.array([0, 2, 2, 0, 0, 2], np.int32)
  with pytest.raises(
    ValueError, match=r"train split of 6 .* class 'bee'; every"
  ):
    checks.check(_raw(train=_split(targets=targets)))


def test_one_class_is_not_enough():
  targets = np.zeros(6, np.int32)
  raw = _raw(
    task=tasks.Classes(('ant',)),
    train=_split(targets=targets),
    test=_split(targets=targets),
  )
  with pytest.raises(
    ValueError, match="small: every example is of class 'ant'"
  ):
    checks.check(raw)


def test_names_of_classes_differ():
  with pytest.raises(ValueError, match="the class name 'bee' is there twice"):
    checks.check(_raw(task=tasks.Classes(('bee', 'ant', 'bee'))))


def test_many_missing_classes_are_counted():
  names = tuple(f'class {number}' for number in range(12))
  with pytest.raises(ValueError, match="'class 7' and 4 more"):
    checks.check(_raw(task=tasks.Classes(names)))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'inputs': np.zeros((4, 2), np.float32)}, r'float32\[2\].*float32\[3\]'),
    ({'inputs': np.zeros((4, 3), np.uint8)}, r'uint8\[3\].*float32\[3\]'),
  ],
)
def test_test_examples_must_look_like_training_examples(changes, message):
  with pytest.raises(ValueError, match=f'small, test split: .*{message}'):
    checks.check(_raw(test=_split(4, **changes)))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'inputs': np.zeros((6, 3))}, r'uint8 or float32 .*not float64'),
    ({'inputs': np.zeros(6, np.float32)}, r'of shape \[6\]'),
    ({'targets': np.zeros(6)}, 'targets must be class numbers, .*float64'),
    ({'targets': np.zeros((6, 1), np.int32)}, r'int32 of shape \[6, 1\]'),
    ({'targets': np.zeros(6, np.int64)}, 'targets must be int32 or float32'),
    ({'targets': np.zeros(5, np.int32)}, '6 inputs, 5 targets, 6 ids'),
    ({'ids': np.arange(7)}, '6 inputs, 6 targets, 7 ids'),
    ({'ids': np.array([1, 2, 3, 2, 3, 4])}, 'indices 1 and 3'),
  ],
)
def test_wrong_forms_are_named(changes, message):
  with pytest.raises(ValueError, match=f'small, train split: .*{message}'):
    checks.check(_raw(train=_split(**changes)))


def test_an_empty_split_is_named():
  with pytest.raises(ValueError, match='test split: there are no examples'):
    checks.check(_raw(test=_split(0)))


def test_pictures_have_four_axes():
  with pytest.raises(ValueError, match=r'pictures .*not \[6, 3\]'):
    checks.check(_raw(is_image=True))


def test_what_is_examined_has_fingerprint_and_moments():
  raw = _raw()
  found = checks.examine(raw)
  assert found.raw is raw
  assert found.fingerprint == dataset.fingerprint(raw)
  np.testing.assert_array_equal(
    found.train_moments.mean, moments.moments(raw.train.inputs).mean
  )


def test_the_fingerprint_depends_on_every_part_and_on_nothing_else(tmp_path):
  original = dataset.fingerprint(_raw())
  path = tmp_path / 'inputs.npy'
  np.save(path, _split().inputs)
  mapped = _split(inputs=np.load(path, mmap_mode='r'))
  assert dataset.fingerprint(_raw(name='other', train=mapped)) == original
  wide = _split(ids=np.array([f'{n:>9}'.strip() for n in range(100, 106)]))
  assert dataset.fingerprint(_raw(train=wide)) == original
  others = [
    _raw(test=_split(3)),
    _raw(validation=_split(2)),
    _raw(task=tasks.Classes(('ant', 'bee', 'cow'))),
    _raw(train=_split(targets=np.zeros(6, np.int32))),
    _raw(train=_split(ids=np.arange(6))),
    _raw(train=_split(inputs=np.zeros((6, 3), np.float32))),
  ]
  found = {dataset.fingerprint(raw) for raw in others}
  assert len(found) == len(others)
  assert original not in found

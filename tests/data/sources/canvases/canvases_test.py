"""The sources `keypoints:` and `detect:`."""

import functools

import numpy as np
import pytest

from al_jax import data, tasks
from al_jax.data import transforms
from al_jax.data.sources import digits as embedded
from al_jax.data.sources import tfds
from al_jax.data.sources.canvases import detect, digits, keypoints
from al_jax.data.sources.tfds import locate

# The first of the digits that have all classes.
FEW = {'train': 60, 'test': 30}


@pytest.fixture(scope='module')
def detected():
  return detect.read('digits', **FEW)


def as_found(raw, share=1.0):
  """Predictions that are right, with boxes of a share of the true width."""
  boxes = raw.test.targets['box'].copy()
  boxes[:, 2] = boxes[:, 0] + share * (boxes[:, 2] - boxes[:, 0])
  logits = np.eye(10, dtype=np.float32)[raw.test.targets['class']]
  return {'class': logits, 'box': boxes / np.float32(64)}


def test_digits_keep_their_ids_classes_and_splits(detected):
  source = embedded.read()
  for part, size in FEW.items():
    split, wanted = detected.parts()[part], source.parts()[part]
    np.testing.assert_array_equal(split.ids, wanted.ids[:size])
    np.testing.assert_array_equal(split.targets['class'], wanted.targets[:size])
    assert split.inputs.shape == (size, 64, 64, 1)
    assert split.inputs.dtype == np.uint8
  assert detected.task == tasks.detection(
    source.task.class_names, scale=64, box_weight=1.0
  )


def test_both_sources_have_the_same_pictures(detected):
  points = keypoints.read('digits', **FEW)
  assert points.task == tasks.Keypoints(3, scale=64)
  for part, split in points.parts().items():
    np.testing.assert_array_equal(split.inputs, detected.parts()[part].inputs)
    assert split.targets.shape == (FEW[part], 6)


@pytest.mark.parametrize('block', [7, 60])
def test_draws_depend_neither_on_blocks_nor_on_how_many(
  detected, block, monkeypatch
):
  monkeypatch.setattr(digits, '_BLOCK', block)
  found = detect.read('digits', train=40, test=30)
  np.testing.assert_array_equal(found.train.inputs, detected.train.inputs[:40])
  for name, part in found.train.targets.items():
    np.testing.assert_array_equal(part, detected.train.targets[name][:40])
  np.testing.assert_array_equal(found.test.inputs, detected.test.inputs)


def test_seeds_and_splits_differ(detected):
  other = detect.read('digits', **FEW, seed=1)
  of_split = detected.test.targets['box']
  for boxes in (other.train.targets['box'], of_split):
    same = detected.train.targets['box'][: len(boxes)] == boxes
    assert same.mean() < 0.2


def test_a_canvas_of_another_size_has_digits_as_large(detected):
  found = keypoints.read('digits', canvas=96, clutter=0, **FEW)
  assert found.task.scale == 96
  wanted = keypoints.read('digits', clutter=0, **FEW).train.targets
  # Places depend a little on what interpolation adds to ink.
  np.testing.assert_allclose(found.train.targets / 96, wanted / 64, atol=0.01)


def test_found_needs_the_class_and_half_of_the_box(detected):
  task, targets = detected.task, detected.test.targets
  assert task.headline == tasks.Metric('found', '%', True)
  found = dict(task.own_metrics)['found']
  for share, wanted in ((1, True), (0.55, True), (0.45, False)):
    predictions = as_found(detected, share)
    assert (found(predictions, targets) == wanted).all()
  wrong = as_found(detected)
  wrong['class'] = -wrong['class']
  assert not found(wrong, targets).any()


def test_what_comes_from_the_cache_is_the_same_and_can_be_measured(
  detected, tmp_path
):
  spec = {'source': 'detect:digits', **FEW}
  built, opened = (data.load(spec, cache_dir=tmp_path) for _ in range(2))
  assert built.fingerprint == opened.fingerprint
  assert len(list(tmp_path.glob('detect*/manifest.json'))) == 1
  assert isinstance(opened.train.inputs, np.memmap)
  np.testing.assert_array_equal(opened.train.inputs, detected.train.inputs)
  assert opened.task == detected.task
  task, right = opened.task, as_found(detected)
  targets = detected.test.targets
  told, _ = task.summarise(task.measure(right, targets), targets)
  for name in ('found', 'class.accuracy', 'box.iou'):
    assert told[name] == 1
  other = data.load({**spec, 'clutter': 0}, cache_dir=tmp_path)
  assert other.fingerprint != opened.fingerprint


def test_transforms_apply(detected):
  found = transforms.apply_transforms(
    detected,
    [
      {'name': 'cap', 'train': 40},
      {'name': 'validation_split', 'size': 10},
    ],
  )
  assert (len(found.train), len(found.validation)) == (30, 10)
  rows = np.searchsorted(detected.train.ids, found.train.ids)
  np.testing.assert_array_equal(
    found.train.targets['box'], detected.train.targets['box'][rows]
  )


@pytest.mark.parametrize(
  ('location', 'options', 'message'),
  [
    ('digit', {}, "digits 'digit' is not known. Did you mean 'digits'"),
    ('digits', {'canvas': 31}, 'canvas is 31; it must be .* at least 32'),
    ('digits', {'clutter': -1}, 'clutter is -1'),
    ('digits', {'seed': 0.5}, 'seed is 0.5'),
    ('digits', {'train': 2_000}, 'train is 2000; .* at most 1,438, or None'),
    ('digits', {'test': 0}, 'test is 0'),
    ('digits', {'data_dir': '/x'}, "data_dir is '/x'; it must be None"),
  ],
)
def test_what_is_not_allowed_is_refused(location, options, message):
  with pytest.raises(ValueError, match=message):
    keypoints.read(location, **options)


def test_a_weight_below_0_is_refused():
  with pytest.raises(ValueError, match='box_weight is -1'):
    detect.read('digits', box_weight=-1, **FEW)


def test_digits_that_nobody_has_are_refused_by_name(tmp_path):
  with pytest.raises(ValueError, match=r"digits 'letters' is not known"):
    data.load('detect:letters', cache_dir=tmp_path)
  with pytest.raises(ValueError, match=r'must be of the form keypoints:DIGITS'):
    data.load('keypoints', cache_dir=tmp_path)


def test_canvases_of_mnist(monkeypatch):
  try:
    folder = locate.locate('mnist')
  except (FileNotFoundError, ValueError):
    pytest.skip('MNIST is not there')
  assert digits.files('mnist', {}) == sorted(folder.iterdir())
  # All of it takes ten seconds to decode.
  few = {'train_split': 'train[:200]', 'test_split': 'test[:100]'}
  monkeypatch.setattr(tfds, 'read', functools.partial(tfds.read, **few))
  raw = keypoints.read('mnist', test=20)
  source = tfds.read('mnist')
  assert raw.train.inputs.shape == (200, 64, 64, 1)
  np.testing.assert_array_equal(raw.train.ids, source.train.ids)
  np.testing.assert_array_equal(raw.test.ids, source.test.ids[:20])

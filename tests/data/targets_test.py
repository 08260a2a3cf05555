"""Targets of all forms, and none, through checks, cache and transforms."""

import functools

import jax
import numpy as np
import pytest

from al_jax import tasks
from al_jax.data import cache, checks, dataset, transforms
from al_jax.data.dataset import RawData, Split

TASK = tasks.Mixed(
  {'kind': tasks.Classes(('ant', 'bee', 'cat')), 'box': tasks.Box(scale=8.0)},
  weights={'box': 2.0},
)
SIZES = {'train': 30, 'test': 12, 'validation': 6}


def mixed_split(size, start=0):
  ids = np.arange(start, start + size)
  box = np.stack([ids, ids, ids + 1, ids + 2], axis=1).astype(np.float32)
  return Split(
    inputs=ids[:, np.newaxis].astype(np.float32),
    targets={'kind': (ids % 3).astype(np.int32), 'box': box},
    ids=ids,
  )


def vector_of(split):
  return Split(split.inputs, split.targets['box'], split.ids)


def unlabelled(split):
  return Split(split.inputs, None, split.ids)


@pytest.fixture
def mixed():
  splits = {
    name: mixed_split(size, 100 * at)
    for at, (name, size) in enumerate(SIZES.items())
  }
  return RawData('small', task=TASK, is_image=False, **splits)


@pytest.fixture
def vector(mixed):
  splits = {name: vector_of(split) for name, split in mixed.parts().items()}
  return mixed._replace(task=tasks.Vector(4, scale=8.0), **splits)


def with_targets(raw, **parts):
  targets = {**raw.train.targets, **parts}
  return raw._replace(train=Split(raw.train.inputs, targets, raw.train.ids))


def assert_targets_go_with_ids(split):
  wanted = mixed_split(400).take(split.ids).targets
  if not isinstance(split.targets, dict):
    wanted = wanted['box']
  same = functools.partial(np.testing.assert_array_equal, strict=True)
  jax.tree.map(same, split.targets, wanted)


def test_sound_targets_pass(mixed, vector):
  checks.check(mixed)
  checks.check(vector)
  checks.check(mixed._replace(train=unlabelled(mixed.train), test=None))


def test_a_pool_without_targets_has_a_length_and_a_part(mixed):
  pool = unlabelled(mixed.train)
  assert len(pool) == 30
  part = pool.take(np.array([3, 1]))
  assert part.targets is None
  assert part.ids.tolist() == [3, 1]


def test_only_the_pool_may_lack_targets(mixed):
  for name in ('test', 'validation'):
    raw = mixed._replace(**{name: unlabelled(mixed.parts()[name])})
    with pytest.raises(ValueError, match=f'small, {name} split: .*no targets'):
      checks.check(raw)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'kind': np.full(30, 3, np.int32)}, r'kind: the label 3 at .*\(id 0\)'),
    ({'kind': np.full(30, 1.5)}, 'kind: targets must be class numbers'),
    ({'kind': np.zeros(30, np.int64)}, "targets 'kind' must be int32 or"),
    ({'box': np.zeros((30, 4))}, 'box: .*float32 .* not float64'),
    ({'box': np.zeros((30, 3), np.float32)}, 'have 3 numbers'),
    ({'box': np.full((30, 4), np.nan, np.float32)}, 'is not finite'),
    ({'box': np.zeros((29, 4), np.float32)}, "29 targets 'box', 30 targets"),
    ({'more': np.zeros(30, np.int32)}, 'the task has'),
    ({'kind': np.zeros(30, np.int32)}, "none is of class 'bee', 'cat'"),
  ],
)
def test_a_part_that_does_not_fit_is_named(mixed, changes, message):
  with pytest.raises(ValueError, match=f'small, train split.*{message}'):
    checks.check(with_targets(mixed, **changes))


def test_the_classes_of_a_part_have_different_names(mixed):
  task = tasks.Mixed({'box': TASK.parts[1][1], 'kind': tasks.Classes('aab')})
  with pytest.raises(ValueError, match="the class name 'a' is there twice"):
    checks.check(mixed._replace(task=task))


def test_one_array_is_not_what_a_mixed_task_has(mixed, vector):
  with pytest.raises(ValueError, match='targets are one array; the task has'):
    checks.check(mixed._replace(train=vector.train))


def test_the_fingerprint_depends_on_task_and_targets(mixed, vector):
  turned = dict(reversed(mixed.train.targets.items()))
  same = mixed._replace(
    train=Split(mixed.train.inputs, turned, mixed.train.ids)
  )
  assert dataset.fingerprint(same) == dataset.fingerprint(mixed)
  box = mixed.train.targets['box'] + np.float32(0.5)
  kinds = mixed.train.targets['kind']
  classes = Split(mixed.train.inputs, kinds, mixed.train.ids)
  others = [
    mixed,
    with_targets(mixed, box=box),
    mixed._replace(task=tasks.Mixed({**dict(TASK.parts)})),
    mixed._replace(train=unlabelled(mixed.train)),
    mixed._replace(test=None),
    vector,
    vector._replace(task=tasks.Vector(4, scale=1.0)),
    vector._replace(train=unlabelled(vector.train)),
    vector._replace(train=classes, task=TASK.parts[0][1]),
  ]
  assert len({dataset.fingerprint(raw) for raw in others}) == len(others)


def test_a_task_with_functions_has_a_fingerprint(mixed):
  task = tasks.Mixed(dict(TASK.parts), own_metrics={'mine': lambda p, t: p})
  found = checks.examine(mixed._replace(task=task))
  assert found.fingerprint != dataset.fingerprint(mixed)


@pytest.mark.parametrize('form', ['mixed', 'vector', 'pool alone'])
def test_what_comes_back_from_the_cache_is_what_was_kept(
  request, tmp_path, form
):
  raw = request.getfixturevalue('vector' if form == 'vector' else 'mixed')
  if form == 'pool alone':
    raw = raw._replace(train=unlabelled(raw.train), test=None, validation=None)
  content = checks.examine(raw)
  for build in (lambda: content, None):
    found = cache.open_or_build('small', {}, build, cache_dir=tmp_path).raw
    assert dataset.fingerprint(found) == content.fingerprint
    assert found.task == raw.task
    assert list(found.parts()) == list(raw.parts())
    for split in found.parts().values():
      if split.targets is None:
        assert form == 'pool alone'
      else:
        assert_targets_go_with_ids(split)


@pytest.mark.parametrize('form', ['mixed', 'vector'])
def test_targets_stay_with_their_examples(request, form):
  raw = request.getfixturevalue(form)._replace(validation=None)
  for spec in (
    {'name': 'cap', 'train': 9, 'test': 6},
    {'name': 'cap', 'train': 9, 'stratified': False},
    {'name': 'validation_split', 'size': 9},
  ):
    found = transforms.apply_transforms(raw, [spec])
    checks.check(found)
    for split in found.parts().values():
      assert_targets_go_with_ids(split)
  twice = transforms.redundancy(raw, copies=2, noise=0.5)
  for part in (slice(0, 30), slice(30, 60)):
    assert_targets_go_with_ids(
      Split(None, twice.train.take(part).targets, raw.train.ids)
    )


def test_classes_of_a_mixed_task_are_drawn_in_proportion(mixed):
  raw = transforms.cap(mixed, train=9)
  assert np.bincount(raw.train.targets['kind']).tolist() == [3, 3, 3]


def test_draws_without_classes_are_uniform_and_poison_changes_nothing(vector):
  poison = Split(vector.train.inputs, -vector.train.targets, vector.train.ids)
  for raw in (vector, vector._replace(train=poison)):
    found = transforms.cap(raw, train=9)
    plain = transforms.cap(raw._replace(train=unlabelled(raw.train)), train=9)
    np.testing.assert_array_equal(found.train.ids, plain.train.ids)


@pytest.mark.parametrize(
  ('spec', 'message'),
  [
    ({'name': 'imbalance', 'ratio': 2.0}, "'imbalance' needs classes"),
    ({'name': 'label_noise', 'rate': 0.5}, "'label_noise' needs classes"),
  ],
)
def test_what_needs_classes_says_so(mixed, vector, spec, message):
  for raw in (mixed, vector):
    with pytest.raises(ValueError, match=message):
      transforms.apply_transforms(raw, [spec])


@pytest.mark.parametrize(
  ('spec', 'message'),
  [
    ({'name': 'imbalance', 'ratio': 2.0}, 'training split of small has none'),
    ({'name': 'label_noise', 'rate': 0.5}, "'label_noise' needs targets"),
    ({'name': 'validation_split', 'size': 2}, 'no targets; a validation split'),
    ({'name': 'cap', 'test': 2}, 'test is 2; small has no such split'),
  ],
)
def test_a_pool_without_targets_refuses_what_needs_them(mixed, spec, message):
  pool = RawData('small', unlabelled(mixed.train), TASK.parts[0][1], False)
  checks.check(pool)
  with pytest.raises(ValueError, match=message):
    transforms.apply_transforms(pool, [spec])

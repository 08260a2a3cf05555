"""Sources of examples that nobody has labelled: the option `classes`."""

import re

import numpy as np
import PIL.Image
import pytest

from al_jax import data

CLASSES = ('cat', 'dog')
VALUES = np.arange(24, dtype=np.float32).reshape(8, 3)
NAMES = [f'n{at}' for at in range(8)]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
  """A pool in every form, in the working directory."""
  monkeypatch.chdir(tmp_path)
  np.save('x.npy', VALUES)
  np.save('names.npy', np.array(NAMES))
  np.savez('x.npz', vectors=VALUES, names=np.array(NAMES))
  rows = [
    f'{name},{",".join(map(str, row))},{"a" if row[0] else ""}'
    for name, row in zip(NAMES, VALUES, strict=True)
  ]
  (tmp_path / 'x.csv').write_text('\n'.join(['id,p,q,r,kind', *rows]))
  for at, name in enumerate(('b.png', 'deep/er/a.png', '.c.png')):
    path = tmp_path / 'pictures' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new('L', (5, 4), at).save(path)


@pytest.mark.parametrize(
  ('spec', 'ids'),
  [
    ({'source': 'file:x.npy'}, list(range(8))),
    ({'source': 'file:x.npy', 'ids': 'names.npy'}, NAMES),
    ({'source': 'file:x.npz', 'ids': 'names'}, NAMES),
    ({'source': 'file:x.npz', 'inputs': 'vectors'}, list(range(8))),
    ({'source': 'file:x.csv', 'ids': 'id', 'features': ['p', 'q', 'r']}, NAMES),
  ],
)
def test_numbers(spec, ids):
  dataset = data.load({**spec, 'classes': CLASSES})

  np.testing.assert_array_equal(dataset.train.inputs, VALUES)
  assert dataset.train.ids.tolist() == ids
  assert dataset.train.targets is None
  assert dataset.test is None
  assert dataset.task.class_names == CLASSES


def test_a_table_with_gaps_and_categories():
  spec = {'source': 'file:x.csv', 'ids': 'id', 'classes': CLASSES}

  dataset = data.load({**spec, 'missing': 'draw', 'categories': 'one_hot'})

  np.testing.assert_array_equal(dataset.train.inputs[:, :3], VALUES)
  assert dataset.train.targets is None


def test_pictures_at_any_depth():
  spec = {'source': 'images:pictures', 'classes': CLASSES}

  # The second time from the cache.
  for _ in range(2):
    dataset = data.load(spec)
    assert dataset.train.ids.tolist() == ['b.png', 'deep/er/a.png']
    assert dataset.train.inputs.shape == (2, 4, 5, 1)
    assert dataset.train.targets is None


@pytest.mark.parametrize(
  ('spec', 'said'),
  [
    ({'classes': 'cat'}, "classes='cat' must be two or more names"),
    ({'classes': ['cat', 3]}, 'must be two or more names'),
    ({'classes': ['cat', 'cat']}, "has 'cat' twice"),
    ({'classes': CLASSES, 'targets': 'y.npy'}, 'and targets is about their'),
    ({'source': 'file:x.npz', 'classes': CLASSES}, 'the keys vectors, names'),
    ({'source': 'file:x.csv', 'classes': CLASSES}, "'n0' where a number"),
    ({'source': 'images:pictures', 'classes': CLASSES, 'test': 'x'}, 'test is'),
    (
      {'source': 'images:pictures', 'classes': CLASSES, 'unlabeled': 'drop'},
      'unlabeled is about',
    ),
    (
      {'source': 'images:.', 'classes': CLASSES, 'labels': 'x.csv'},
      'labels is',
    ),
  ],
)
def test_what_does_not_fit_is_refused(spec, said):
  with pytest.raises(ValueError, match=re.escape(said)):
    data.load({'source': 'file:x.npy', **spec})

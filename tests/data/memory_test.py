"""`Dataset.from_arrays`: arrays, modalities and frames in memory."""

import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

import al_jax
from al_jax import data, parts, tasks

RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, (60, 4)).astype(np.float32)
Y = np.arange(60) % 3
NAMES = np.array(['ant', 'bee', 'cat'])[Y]
PICTURES = RNG.integers(0, 256, (60, 5, 4)).astype(np.uint8)
TASK = tasks.Mixed(
  {'kind': tasks.Classes(('ant', 'bee', 'cat')), 'at': tasks.Vector(2)}
)
make = al_jax.Dataset.from_arrays


def same(one, other):
  return one.fingerprint == other.fingerprint


def assert_rows_stay_together(dataset, x, targets):
  for split in (dataset.train, dataset.test):
    np.testing.assert_array_equal(split.inputs, x[split.ids])
    np.testing.assert_array_equal(split.targets, targets[split.ids])


def test_a_table_is_split_normalised_and_named_as_a_file_is(tmp_path):
  found = make(X, NAMES)
  np.savez(tmp_path / 'a.npz', x=X, y=NAMES)
  read = data.load(f'file:{tmp_path / "a.npz"}', cache_dir=tmp_path / 'cache')
  assert same(found, read)
  assert found.task == tasks.Classes(('ant', 'bee', 'cat'))
  assert (len(found.train), len(found.test)) == (54, 6)
  assert_rows_stay_together(found, X, Y)
  assert found.normalize == 'feature' and not found.is_image
  np.testing.assert_allclose(found.mean, found.train.inputs.mean(0), rtol=1e-5)


def test_arrays_of_other_frameworks_and_types_are_the_same_data():
  for x, y in ((jnp.asarray(X), jnp.asarray(Y)), (X.tolist(), Y.tolist())):
    assert same(make(X, Y), make(x, y))
  assert same(make(X, Y), make(X.astype(np.float64), Y.astype(float)))


def test_pictures_are_what_they_are_in_files():
  found = make(PICTURES, Y)
  assert found.train.inputs.shape == (54, 5, 4, 1)
  assert found.train.inputs.dtype == np.uint8
  assert found.is_image and found.normalize == 'channel'
  assert make(PICTURES[..., None].astype(float), Y).is_image
  assert make(PICTURES, Y, normalize='none').mean.tolist() == [0]
  with pytest.raises(ValueError, match='channels come last'):
    make(np.zeros((60, 7, 5, 5)), Y)


def test_numbers_to_predict_have_a_scale():
  found = make(X, X[:, 0] * 2, scale=5.0)
  assert found.task == tasks.Vector(1, 5.0)
  assert_rows_stay_together(found, X, 2 * X[:, :1])
  assert make(X, X[:, :2], scale=1).task.size == 2
  with pytest.raises(ValueError, match=r'class labels .* scale=1\.0'):
    make(X, X[:, 0])


def test_a_mixed_task_takes_a_dict():
  found = make(X, {'kind': NAMES, 'at': X[:, :2]}, task=TASK)
  for split in (found.train, found.test):
    np.testing.assert_array_equal(split.targets['kind'], Y[split.ids])
    np.testing.assert_array_equal(split.targets['at'], X[split.ids, :2])


def test_a_pool_without_labels_has_no_test_split_of_its_own():
  kinds = tasks.Classes(('ant', 'bee', 'cat'))
  found = make(X, task=kinds)
  assert found.train.targets is None and found.test is None
  found = make(X, task=kinds, test=(X[:9], NAMES[:9]))
  assert found.test.targets.tolist() == Y[:9].tolist()
  assert found.test.ids.tolist() == list(range(60, 69))


def test_splits_by_share_by_number_of_their_own_or_none():
  def sizes(**options):
    return [
      0 if split is None else len(split)
      for found in [make(X, Y, **options)]
      for split in (found.train, found.test, found.validation)
    ]

  assert sizes(test=0.25) == [45, 15, 0]
  assert sizes(test=7) == [53, 7, 0]
  assert sizes(test=None) == [60, 0, 0]
  assert sizes(test=6, validation=9) == [45, 6, 9]
  assert sizes(validation=0.5) == [27, 6, 27]
  assert sizes(test=(X[:5], Y[:5]), validation=(X[:8], Y[:8])) == [60, 5, 8]
  assert sizes(test=10, max_train=20) == [20, 10, 0]
  cap = {'name': 'cap', 'train': 12}
  assert sizes(test=6, transforms=[cap]) == [12, 6, 0]


def test_the_seed_is_that_of_the_splits():
  assert same(make(X, Y), make(X, Y, seed=0))
  assert not same(make(X, Y), make(X, Y, seed=1))


def test_modalities_and_who_has_them():
  partly = X.copy()
  partly[4:9] = np.nan
  found = make({'left': X, 'right': partly}, Y)
  has = found.train.inputs['right_present'][:, 0]
  np.testing.assert_array_equal(has, ~np.isin(found.train.ids, np.arange(4, 9)))
  assert np.isfinite(found.train.inputs['right']).all()
  says = {'right_present': np.arange(60) >= 20}
  found = make({'left': X, 'right': X, **says}, Y)
  assert found.train.inputs['right_present'].dtype == np.uint8
  partly[0, 1] = np.nan
  with pytest.raises(ValueError, match=r"x\['right'\] has nan in row 0"):
    make({'left': X, 'right': partly}, Y)


def test_text_and_objects_are_tables_too():
  x = np.array([['1', 'u'], ['2.5', 'v'], ['', 'u']] * 20)
  found = make(x, Y, missing='median', categories='one_hot')
  assert found.train.inputs.shape == (54, 3)
  found = make(x.astype(object), Y, categories=[0, 1], missing='median')
  assert found.train.inputs.shape == (54, 4)


@pytest.mark.parametrize(
  ('x', 'y', 'options', 'message'),
  [
    (X, None, {}, r'y is None: x is unlabelled.* task=tasks\.Classes'),
    (X, {'a': Y}, {}, r'y is a dict; .* task=tasks\.Mixed'),
    (X, None, {'task': TASK, 'test': 5}, 'test is 5, and y is None'),
    (X, Y, {'task': TASK}, 'are one array; the task .* a dict of kind, at'),
    (X, Y, {'task': 'classes'}, "task is 'classes'; it must be a task"),
    (X, Y, {'task': TASK, 'scale': 1}, 'scale=1 .* give one of the two'),
    (X, Y, {'task': tasks.Classes('ab')}, 'has 2 in row 2 .* 0 to 1'),
    (X, Y[:9], {}, r'inputs of shape \[60, 4\] and targets of shape \[9\]'),
    (X, 'kind', {}, "y is 'kind', the name of a column; x is a ndarray"),
    (X, Y, {'features': ['a']}, 'columns of a data frame; x is a ndarray'),
    ('x.csv', Y, {}, r"al_jax\.load\('file:x.csv'\)"),
    (X[:, 0], Y, {}, r'shape \[60\]; allowed are \[N, D\]'),
    (X, Y, {'test': 60}, 'test is 60; .* at most 59'),
    (X, Y, {'test': 1.5}, r'test is 1\.5; .* below 1'),
    (X, Y, {'test': (X,)}, r'test has 1 entries; .* \(x, y\)'),
    (X, Y, {'test': X}, r'test is a ndarray without labels: test=\(x, y\)'),
    (X, Y, {'test': (X[:, :2], Y)}, 'test has 2 columns, x has 4'),
    (X, Y, {'test': (PICTURES, Y)}, r'test has arrays .* must be alike'),
    (X, Y, {'test': None, 'max_train': 5}, 'max_train=5 is for a test split'),
    (X, Y, {'ids': ['a'] * 60}, 'ids must be unique'),
    (X, Y, {'ids': [*map(str, range(59)), None]}, 'ids: .* no id in row 59'),
    (X, Y, {'ids': ['a', np.nan, *range(58)]}, 'ids: .* no id in row 1 '),
    (X, Y, {'seed': -1}, 'seed'),
    (X, Y, {'normalize': 'z'}, "normalize 'z' is not known"),
    (X, Y, {'transforms': [{'name': 'cup'}]}, "'cup' is not known"),
    (PICTURES, Y, {'missing': 'mean'}, "missing='mean' is for tables"),
    ({'a': X, 'a_present': X[:, 0]}, Y, {}, "'a_present' must be 0 or 1"),
    ({'a': X, 3: X}, Y, {}, 'the names of modalities are'),
    ({'a': X}, Y, {'test': ({'b': X}, Y)}, 'has the modalities b, x has .* a;'),
    ({'a': X[:, 0]}, Y, {}, r"x\['a'\]: inputs have shape \[60\]"),
    ({'a': X}, Y, {'categories': 'one_hot'}, 'is for tables'),
    (Y, X, {}, r'x has shape \[60\], .* labels have \[60, 4\]: .* swapped'),
  ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(x, y, options, message):
  with pytest.raises(ValueError, match=message):
    make(x, y, **options)


def test_gaps_are_refused_with_row_and_column():
  broken = X.copy()
  broken[7, 2] = np.nan
  with pytest.raises(ValueError, match=r"'2' has no value in row 7 .*'median'"):
    make(broken, Y)
  broken[3:5, 0] = np.nan
  with pytest.raises(ValueError, match=r"'0' .* Other .*: '2' \(1\)\."):
    make(broken, Y)
  assert np.isfinite(make(broken, Y, missing='draw').train.inputs).all()


def test_load_says_where_arrays_go():
  pandas = pytest.importorskip('pandas')
  for value in (X, jnp.asarray(X), pandas.DataFrame(X)):
    with pytest.raises(ValueError, match=r'Dataset\.from_arrays\(x, y\)'):
      al_jax.load(value)


def test_a_function_of_ones_own_may_return_a_data_set(tmp_path, monkeypatch):
  (tmp_path / 'in_memory_data.py').write_text(
    'import al_jax, numpy as np\n'
    'def made(*, num=30):\n'
    '  x = np.arange(3.0 * num).reshape(num, 3)\n'
    '  return al_jax.Dataset.from_arrays(\n'
    '    x, np.arange(num) % 2, normalize="channel", test=6)\n'
  )
  monkeypatch.chdir(tmp_path)
  # Another test may have left folders to search.
  parts.search_in([])
  source = {'source': 'in_memory_data.made', 'num': 40}
  found = data.load(source)
  assert (len(found.train), len(found.test)) == (34, 6)
  assert found.normalize == 'channel'
  capped = data.load(
    {
      **source,
      'normalize': 'none',
      'transforms': [{'name': 'cap', 'train': 10}],
    }
  )
  assert (len(capped.train), capped.normalize) == (10, 'none')


def blocks_of(title):
  """The Python blocks of a section of docs/data.md."""
  page = pathlib.Path(__file__).parents[2] / 'docs' / 'data.md'
  section = page.read_text().split(f'## {title}\n')[1].split('\n## ')[0]
  return re.findall(r'^```python\n(.*?)^```', section, re.M | re.S)


def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
  pytest.importorskip('pandas')
  arrays, function = blocks_of('Arrays and frames')
  (frame,) = blocks_of('Missing values and categories')
  space = {}
  (pool,) = blocks_of('Pools without labels')
  exec(pool, space)
  np.save(tmp_path / 'x.npy', X)
  assert space['unlabelled'](path=tmp_path / 'x.npy').train.targets is None
  exec(arrays, space)
  assert len(space['dataset'].test) == 50
  exec(frame, space)
  assert space['dataset'].train.inputs.shape == (36, 4)
  (tmp_path / 'my_customers.py').write_text(function)
  rows = [f'{at},{at % 4},{"ab"[at % 2]}' for at in range(40)]
  (tmp_path / 'c.csv').write_text('\n'.join([',visits,bought', *rows]))
  monkeypatch.chdir(tmp_path)
  # Another test may have left folders to search.
  parts.search_in([])
  found = data.load({'source': 'my_customers.customers', 'path': 'c.csv'})
  assert len(found.train) + len(found.test) == 30

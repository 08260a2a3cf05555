"""Gaps and categories, by declared choices: of frames, arrays and files."""

import numpy as np
import pytest

from al_jax import data
from al_jax.data import columns, filling, splits

NAN = np.nan
# The test split has what training lacks, and extremes that would show.
TRAIN = {
  'age': [1.0, NAN, 3.0, 8.0, 1.0, 3.0],
  'city': ['rome', 'oslo', None, 'rome', 'oslo', 'rome'],
  'size': ['S', 'L', 'M', 'S', None, 'S'],
}
TEST = {
  'age': [900.0, NAN],
  'city': ['aden', None],
  'size': ['L', 'S'],
}
LABELS = {'train': ['p', 'q'] * 3, 'test': ['p', 'q']}
ORDER = {'city': 'one_hot', 'size': ['S', 'M', 'L']}


def prepared(missing, categories=ORDER, train=TRAIN, test=TEST, **options):
  parts = {
    split: splits.Part(
      [np.array(column, object) for column in table.values()],
      np.array(LABELS[split]),
    )
    for split, table in (('train', train), ('test', test))
  }
  declared = columns.Declared(missing, categories)
  return columns.prepare('t', parts, tuple(train), declared, **options)


def settled(*arguments, seed=0, **options):
  table = prepared(*arguments, **options)
  raw = splits.assemble('t', table.parts, None, is_image=False)
  return filling.settle(raw, table, seed=seed)


@pytest.mark.parametrize(('fill', 'age'), [('median', 3.0), ('mean', 3.2)])
def test_statistics_are_of_the_training_split_alone(fill, age):
  raw = settled(fill)
  # age, oslo, rome, size; codes of size in training are 0, 2, 1, 0, 0.
  size = {'median': 0.0, 'mean': 0.6}[fill]
  np.testing.assert_allclose(
    raw.train.inputs,
    [
      [1, 0, 1, 0],
      [age, 1, 0, 2],
      [3, 0, 0, 1],
      [8, 0, 1, 0],
      [1, 1, 0, size],
      [3, 0, 1, 0],
    ],
    rtol=1e-6,
  )
  # Neither aden nor a gap is one of the cities of training.
  np.testing.assert_allclose(
    raw.test.inputs, [[900, 0, 0, 2], [age, 0, 0, 0]], rtol=1e-6
  )
  said = ' '.join(raw.remarks)
  assert f"2 in 'age' ({fill} of the training split)" in said
  assert "2 in 'city' (0 for every category)" in said
  assert "1 examples have a category in 'city'" in said


def test_nothing_of_the_test_split_changes_the_training_inputs():
  other = {'age': [-5.0, 7.0], 'city': ['bern', 'cork'], 'size': ['M', 'M']}
  for fill in ('median', 'mean', 'draw'):
    one, two = settled(fill), settled(fill, test=other)
    np.testing.assert_array_equal(one.train.inputs, two.train.inputs)


def test_draws_are_seeded_and_from_the_values_of_training():
  many = {'age': [1.0, 2.0, 4.0] + 97 * [NAN]}
  parts = {'train': splits.Part([np.array(many['age'])], np.arange(100) % 2)}
  declared = columns.Declared('draw')
  table = columns.prepare('t', parts, ('age',), declared)
  raw = splits.assemble('t', table.parts, None, is_image=False)
  one, again, other = (
    filling.settle(raw, table, seed=seed).train.inputs for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(one, again)
  assert (one != other).any()
  assert set(one.ravel().tolist()) == {1.0, 2.0, 4.0}


def test_dropped_rows_keep_the_names_of_the_others():
  raw = settled('drop')
  assert raw.train.ids.tolist() == [0, 3, 5]
  assert raw.test.ids.tolist() == [6]
  # The rows of a split without gaps go on from all rows before, too.
  full = {'age': [1.0, 2.0], 'city': ['rome', 'oslo'], 'size': ['S', 'L']}
  assert settled('drop', test=full).test.ids.tolist() == [6, 7]
  assert raw.train.targets.tolist() == [0, 1, 1]
  assert 'left out 3 of 6 rows of the train split' in ' '.join(raw.remarks)
  raw = settled({'age': 'drop', 'city': 'draw', 'size': 'median'})
  assert raw.train.ids.tolist() == [0, 2, 3, 4, 5]


def test_all_text_or_the_columns_that_are_named_become_categories():
  train = {'a': [1, 2, 1, 2, 1, 2], 'b': list('xyxyxy'), 'c': [True, False] * 3}
  test = {'a': [1, 2], 'b': ['x', 'y'], 'c': [True, False]}
  found = settled(None, 'one_hot', train=train, test=test)
  np.testing.assert_array_equal(found.test.inputs, [[1, 1, 0, 1], [2, 0, 1, 0]])
  found = settled(None, ['a', 1], train=train, test=test)
  np.testing.assert_array_equal(
    found.test.inputs, [[1, 0, 1, 0, 1], [0, 1, 0, 1, 0]]
  )


@pytest.mark.parametrize(
  ('missing', 'categories', 'message'),
  [
    (
      None,
      ORDER,
      "train split: the column 'age' has no value in row 1.*median",
    ),
    ({'age': 'mean'}, ORDER, "'city' has no value in row 2"),
    ('mean', None, "'city' has 'rome' in row 0 .* categories='one_hot'"),
    ('mean', ['city'], "'size' has 'S' in row 0"),
    ('mean', {**ORDER, 'size': ['S', 'L']}, "'size' the category 'M' is not"),
    ('mode', ORDER, "missing 'mode' is not known"),
    ({'age': None}, ORDER, 'missing None is not known'),
    ({'agee': 'mean'}, ORDER, "'agee' is not known. Did you mean 'age'"),
    ('mean', {'city': 'onehot'}, "'city' has 'onehot'; it must be 'one_hot'"),
    ('mean', {'size': ['S']}, 'two or more categories'),
    ('mean', {'size': ['S', 'M', 'L', 'S ']}, "'size' has the level 'S' twice"),
    ('mean', {'size': ['1', 1]}, "'size' has the level '1' twice"),
    ('mean', {'size': ['S', None]}, "'size' has the level None; a level is"),
    ('mean', {2: ['S', ['M', 'L']]}, r"2 has the level \['M', 'L'\]; a level"),
    ({'age': 'mean', 0: 'draw'}, ORDER, "missing names .* 'age' twice: .* 0"),
    ('mean', {-1: 'one_hot', **ORDER}, "categories names .* 'size' twice: -1"),
    ('mean', ['city', 1], "categories names the column 'city' twice"),
    ('mean', {'size': np.array(['S', 'M'])}, "'size' has array.* or a list"),
    ('mean', np.array([1, 2]), r'categories is array\(\[1, 2\]\); it must be'),
    ('mean', 'city', "categories is 'city'; it must be 'one_hot', a list"),
  ],
)
def test_what_is_not_declared_is_refused(missing, categories, message):
  with pytest.raises(ValueError, match=message):
    prepared(missing, categories)


def test_a_column_without_any_value_is_refused():
  train, test = {'age': 6 * [NAN]}, {'age': [1.0, 2.0]}
  for missing in ('median', 'draw'):
    with pytest.raises(ValueError, match="'age' has no value in the training"):
      settled(missing, None, train=train, test=test)
  with pytest.raises(ValueError, match="'drop' would leave out all 6 rows"):
    settled('drop', None, train=train, test=test)


def test_dates_are_neither_numbers_nor_categories():
  days = np.arange('2020-01-01', '2020-01-07', dtype='datetime64[D]')
  parts = {'train': splits.Part([days], np.arange(6) % 2)}
  with pytest.raises(ValueError, match='values of type datetime64'):
    columns.prepare('t', parts, ('day',), columns.Declared(None, 'one_hot'))


def test_a_gap_among_targets_is_dropped_or_refused(tmp_path):
  path = tmp_path / 'houses.csv'
  rows = [f'{at},{at * at if at % 5 else ""}' for at in range(30)]
  path.write_text('\n'.join(['rooms,price', *rows]))

  def load(**options):
    return data.load(
      {'source': f'file:{path}', 'targets': ('price',), **options},
      cache_dir=tmp_path / 'cache',
    )

  with pytest.raises(ValueError, match=r"'price' has nothing .* 'drop' alone"):
    load()
  with pytest.raises(ValueError, match=r"row 0 .* a dict with 'drop'"):
    load(missing='median')
  with pytest.raises(ValueError, match="'price' is 'mean'; a target is never"):
    load(missing={'price': 'mean'})
  with pytest.raises(ValueError, match=r"targets=\('rooms', 'price'\)"):
    load(targets='rooms,price')
  found = load(missing={'price': 'drop'})
  assert len(found.train) + len(found.test) == 24


def test_a_file_without_gaps_reads_the_same_whatever_is_declared(tmp_path):
  path = tmp_path / 'table.csv'
  rng = np.random.default_rng(0)
  rows = [
    f'{a!r},{b},{c}'
    for a, b, c in zip(
      rng.normal(size=40).tolist(), [True, False] * 20, 'xyzw' * 10, strict=True
    )
  ]
  path.write_text('\n'.join(['a,b,class', *rows]))
  spec = {'source': f'file:{path}'}
  plain, declared = (
    data.load({**spec, **options}, cache_dir=tmp_path / 'cache')
    for options in ({}, {'missing': 'median', 'categories': 'one_hot'})
  )
  assert plain.fingerprint == declared.fingerprint


def test_arrays_in_files_have_columns_by_position(tmp_path):
  x = np.arange(80, dtype=np.float32).reshape(40, 2)
  x[3, 1] = np.nan
  np.savez(tmp_path / 'a.npz', x=x, y=np.arange(40) % 2)
  spec = {'source': f'file:{tmp_path / "a.npz"}', 'split_seed': 1}
  with pytest.raises(ValueError, match="'1' has no value in row 3"):
    data.load(spec, cache_dir=tmp_path / 'cache')
  found = data.load({**spec, 'missing': {1: 'mean'}}, cache_dir=tmp_path / 'c')
  both = {**dict(zip(found.train.ids, found.train.inputs, strict=True))}
  others = [row[1] for at, row in both.items() if at != 3]
  np.testing.assert_allclose(both[3], [6, np.mean(others)], rtol=1e-6)

"""Data frames of pandas and polars as data sets."""

import numpy as np
import pytest

import al_jax
from al_jax import data, tasks

NUM = 40
COLUMNS = {
  'a': [None if at % 7 == 0 else float(at) for at in range(NUM)],
  'old': [at % 3 == 0 for at in range(NUM)],
  'city': [['oslo', 'rome', None][at % 3] for at in range(NUM)],
  'name': [f'n{at}' for at in range(NUM)],
  'kind': [['p', 'q'][at % 2] for at in range(NUM)],
}
DECLARED = {'missing': 'median', 'categories': 'one_hot', 'ids': 'name'}
make = al_jax.Dataset.from_arrays


@pytest.fixture(scope='module', params=['pandas', 'polars'])
def frames(request):
  return pytest.importorskip(request.param)


@pytest.fixture(scope='module')
def pandas():
  return pytest.importorskip('pandas')


@pytest.fixture(scope='module')
def from_csv(tmp_path_factory, pandas):
  folder = tmp_path_factory.mktemp('csv')
  pandas.DataFrame(COLUMNS).to_csv(folder / 'table.csv', index=False)
  spec = {'source': f'file:{folder / "table.csv"}', **DECLARED}
  return data.load(spec, cache_dir=folder / 'cache')


def test_a_frame_is_the_same_data_as_its_file(frames, from_csv):
  found = make(frames.DataFrame(COLUMNS), 'kind', **DECLARED)
  assert found.fingerprint == from_csv.fingerprint
  assert found.train.inputs.shape == (36, 4)
  assert found.task == tasks.Classes(('p', 'q'))


def test_labels_may_be_a_column_of_their_own(frames, from_csv):
  frame = frames.DataFrame(COLUMNS)
  x = frames.DataFrame({k: v for k, v in COLUMNS.items() if k != 'kind'})
  for y in (frame['kind'], COLUMNS['kind'], frame[['kind']]):
    found = make(x, y, **DECLARED)
    assert found.fingerprint == from_csv.fingerprint


def test_types_that_know_of_gaps_and_categories(pandas, from_csv):
  frame = pandas.DataFrame(COLUMNS).astype(
    {'a': 'Float64', 'old': 'boolean', 'city': 'category', 'kind': 'category'}
  )
  found = make(frame, 'kind', **DECLARED)
  assert found.fingerprint == from_csv.fingerprint
  codes = pandas.DataFrame({'a': np.arange(40), 'kind': COLUMNS['kind']})
  with pytest.raises(ValueError, match=r"'a' has '0' .* categories="):
    make(codes.astype({'a': 'category'}), 'kind')


def test_columns_of_numbers_to_predict_are_no_inputs(frames):
  frame = frames.DataFrame({name: np.arange(40.0) for name in 'xyz'})
  found = make(frame, ['y', 'z'], scale=10)
  assert found.task == tasks.Vector(2, 10.0)
  assert found.train.inputs.shape == (36, 1)
  task = tasks.Mixed({'one': tasks.Vector(1), 'two': tasks.Vector(2)})
  found = make(frame, {'one': 'x', 'two': np.ones((40, 2))}, task=task)
  np.testing.assert_array_equal(
    found.train.targets['one'][:, 0], found.train.ids
  )
  assert found.train.inputs.shape == (36, 2)


def test_a_test_frame_has_the_columns_of_the_other(frames):
  frame = frames.DataFrame({'a': range(40), 'b': range(40), 'y': [0, 1] * 20})
  swapped = frame[['y', 'b', 'a']]
  found = make(frame, 'y', test=swapped[:10])
  assert (len(found.train), len(found.test)) == (40, 10)
  again = make(frame, 'y', test=(frame[['a', 'b']][:10], frame['y'][:10]))
  assert again.fingerprint == found.fingerprint
  with pytest.raises(ValueError, match=r"features: .* 'b' is not known"):
    make(frame, 'y', test=frame[['a', 'y']])


def test_an_example_is_in_one_split_and_has_an_id(frames):
  frame = frames.DataFrame(
    {'a': range(40), 'y': [0, 1] * 20, 'id': [*range(1, 40), None]}
  )
  with pytest.raises(ValueError, match=r"'id' of x: .* no id in row 39"):
    make(frame, 'y', ids='id')
  frame = frame[:39]
  found = make(frame[8:], 'y', ids='id', test=frame[:4], validation=frame[4:8])
  assert found.test.ids.tolist() == [1, 2, 3, 4]
  with pytest.raises(ValueError, match=r'id 9 is in the train .* the test spl'):
    make(frame[8:], 'y', ids='id', test=frame[:10])
  with pytest.raises(
    ValueError, match=r'id 3 is in the test .* the validation'
  ):
    make(frame[8:], 'y', ids='id', test=frame[:4], validation=frame[2:8])


def test_columns_to_use_may_be_named(frames):
  frame = frames.DataFrame({'a': range(40), 'b': range(40), 'y': [0, 1] * 20})
  assert make(frame, 'y', features=['b']).train.inputs.shape == (36, 1)
  with pytest.raises(ValueError, match=r"'bb' is not known. Did you mean 'b'"):
    make(frame, 'y', features=['bb'])
  with pytest.raises(ValueError, match=r"'yy' is not known. Did you mean 'y'"):
    make(frame, 'yy')


def test_an_index_that_became_a_column_is_no_input(frames):
  frame = frames.DataFrame({'Unnamed: 0': range(40), 'y': [0, 1] * 20})
  with pytest.raises(ValueError, match="column 0 is named 'Unnamed: 0'"):
    make(frame, 'y')


def test_rows_in_another_order_are_refused(pandas):
  frame = pandas.DataFrame(COLUMNS)
  shuffled = frame['kind'].sample(frac=1, random_state=0)
  with pytest.raises(ValueError, match=r'different pandas indexes.* y\.loc'):
    make(frame[['old']], shuffled)
  make(frame[['old']], shuffled.loc[frame.index])


def test_a_frame_without_rows_or_with_a_name_twice_is_refused(pandas):
  with pytest.raises(ValueError, match='without rows'):
    make(pandas.DataFrame({'a': [], 'y': []}), 'y')
  twice = pandas.DataFrame(np.ones((3, 3)), columns=['a', 'a', 'y'])
  with pytest.raises(ValueError, match="two columns named 'a'"):
    make(twice, 'y')


def test_a_gap_among_labels_is_refused_or_dropped(frames):
  labels = [None, *COLUMNS['kind'][1:]]
  frame = frames.DataFrame({'old': COLUMNS['old'], 'kind': labels})
  with pytest.raises(ValueError, match=r'no label in row 0 .*never filled'):
    make(frame, 'kind')
  found = make(frame, 'kind', missing={'kind': 'drop'}, test=None)
  assert found.train.ids.tolist() == list(range(1, NUM))

"""Folders with a file per modality."""

import itertools

import jax
import numpy as np
import pytest

from al_jax import data, models
from al_jax.data.sources import modalities
from al_jax.loop import program

# Modalities and widths of the sets that people have, and numbers that mean
# nothing. Of MindReading widths are made up, and so is a file to leave out.
EMOFBVP = {'face': 540, 'gesture': 540, 'voice': 180, 'physiology': 120}
MIND_READING = {'face': 240, 'voice': 180, 'body': 60}
SUBSETS = [
  names
  for number in range(1, 5)
  for names in itertools.combinations(EMOFBVP, number)
]


def features(size, width, seed=0):
  rng = np.random.default_rng((seed, size, width))
  return rng.standard_normal((size, width)).astype(np.float32)


def write(folder, name, **arrays):
  np.savez(folder / f'{name}.npz', **arrays)


def write_set(folder, widths, num_classes, size):
  """Files with ids, in orders of their own; labels in a file of theirs."""
  ids = np.array([f'clip{number:03d}' for number in range(size)])
  for place, (name, width) in enumerate(widths.items()):
    order = np.random.default_rng(place).permutation(size)
    rows = features(size, width)
    rows[:, 0] = np.arange(size)
    write(folder, name, features=rows[order], ids=ids[order])
  labels = np.array([f'emotion{n % num_classes:02d}' for n in range(size)])
  write(folder, 'labels', labels=labels, ids=ids)
  return folder


@pytest.fixture(scope='module')
def emofbvp(tmp_path_factory):
  return write_set(tmp_path_factory.mktemp('emoFBVP'), EMOFBVP, 23, 230)


@pytest.fixture(scope='module')
def mind_reading(tmp_path_factory):
  folder = tmp_path_factory.mktemp('MindReading')
  return write_set(folder, MIND_READING, 24, 240)


@pytest.fixture(scope='module')
def cache_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('cache')


def load(folder, cache_dir, **options):
  spec = {'source': f'modalities:{folder}', **options}
  return data.load(spec, cache_dir=cache_dir)


def check_builds(dataset, names):
  """The network of a data set has an encoder for each of these."""
  facts = program.facts_of(dataset, 50)
  network = models.build('fusion', facts)
  variables = jax.eval_shape(network.init, jax.random.key(0))
  inputs = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((3, *leaf.shape), leaf.dtype),
    facts.example,
  )
  output = jax.eval_shape(network.apply, variables, inputs)
  assert output.predictions.shape == (3, dataset.task.outputs)
  params = variables['params']
  assert {p for p in params if p.startswith('encoder')} == {
    f'encoder_{name}' for name in names
  }
  for name in names:
    kernel = params[f'encoder_{name}']['hidden_1']['kernel']
    assert kernel.shape == (facts.example[name].shape[0], 128)


@pytest.mark.parametrize('names', SUBSETS, ids='+'.join)
def test_every_subset_of_emofbvp_resolves_and_builds(emofbvp, cache_dir, names):
  found = load(emofbvp, cache_dir, modalities=names)
  assert {n: a.shape[1] for n, a in found.train.inputs.items()} == {
    name: EMOFBVP[name] for name in names
  }
  assert (len(found.train), len(found.test)) == (207, 23)
  assert len(found.task.class_names) == 23
  assert not found.is_image
  check_builds(found, names)
  # Whatever is chosen, these are the same examples in the same order.
  whole = load(emofbvp, cache_dir)
  for part in ('train', 'test'):
    split, expected = getattr(found, part), getattr(whole, part)
    np.testing.assert_array_equal(split.ids, expected.ids)
    np.testing.assert_array_equal(split.targets, expected.targets)
    for name in names:
      np.testing.assert_array_equal(split.inputs[name], expected.inputs[name])


def test_rows_are_found_by_their_ids(emofbvp, cache_dir):
  found = load(emofbvp, cache_dir)
  numbers = [int(name.removeprefix('clip')) for name in found.train.ids]
  assert numbers != sorted(numbers)
  np.testing.assert_array_equal(found.train.targets, np.array(numbers) % 23)
  for name in EMOFBVP:
    np.testing.assert_array_equal(found.train.inputs[name][:, 0], numbers)
    np.testing.assert_array_equal(
      found.train.inputs[name][:, 1], features(230, EMOFBVP[name])[numbers, 1]
    )


def test_face_and_voice_of_mind_reading(mind_reading, cache_dir):
  chosen = [
    load(mind_reading, cache_dir, modalities=names)
    for names in (('face', 'voice'), ['voice', 'face'])
  ]
  assert set(chosen[0].train.inputs) == {'face', 'voice'}
  assert chosen[0].fingerprint == chosen[1].fingerprint
  check_builds(chosen[0], ('face', 'voice'))
  assert chosen[0].name == mind_reading.name
  # Each modality is normalised on its own, column by column.
  np.testing.assert_allclose(
    chosen[0].mean['voice'],
    chosen[0].train.inputs['voice'].mean(0),
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize(
  ('names', 'message'),
  [
    (
      ('face', 'vioce'),
      "'vioce' is not known.*'voice'.* Known: face, gesture, physiology, voice",
    ),
    (('labels',), "'labels' is not known"),
    (('face', 'face'), "it has 'face' twice"),
    ((), r'modalities is \(\); .* one or more of: face, gesture'),
    ('face', "modalities is 'face'; it must be a list"),
  ],
)
def test_a_choice_that_is_none_is_named(emofbvp, cache_dir, names, message):
  with pytest.raises(ValueError, match=message):
    load(emofbvp, cache_dir, modalities=names)


def read(folder, **options):
  options = {'test_fraction': 0.25, **options}
  return modalities.read(str(folder), **options)


def whole(raw, name):
  """A modality of all splits in the order of integer ids."""
  splits = list(raw.parts().values())
  order = np.argsort(np.concatenate([split.ids for split in splits]))
  return np.concatenate([split.inputs[name] for split in splits])[order]


def labels_of(raw):
  splits = list(raw.parts().values())
  order = np.argsort(np.concatenate([split.ids for split in splits]))
  return np.concatenate([split.targets for split in splits])[order]


LABELS = np.arange(12) % 3


@pytest.mark.parametrize('ids', [{}, {'ids': np.arange(12)}])
def test_labels_are_the_same_class_as_numbers_and_as_text(ids, tmp_path):
  for name, labels in (
    ('face', LABELS),
    ('voice', LABELS.astype(np.float32)),
    ('lips', LABELS.astype(str)),
  ):
    write(tmp_path, name, x=features(12, 4), y=labels, **ids)
  dataset = load(tmp_path, tmp_path / 'cache', test_fraction=0.25)
  assert dataset.task.names == ('0', '1', '2')


def test_without_ids_rows_belong_together(tmp_path):
  face = features(12, 4)
  pictures = np.arange(12 * 20).reshape(12, 5, 4).astype(np.uint8)
  write(tmp_path, 'face', x=face, y=LABELS[:, np.newaxis])
  write(tmp_path, 'lips', images=pictures, labels=LABELS)
  write(tmp_path, 'voice', data=face * 2)
  raw = read(tmp_path)
  np.testing.assert_array_equal(whole(raw, 'face'), face)
  np.testing.assert_array_equal(whole(raw, 'voice'), face * 2)
  np.testing.assert_array_equal(whole(raw, 'lips'), pictures[..., np.newaxis])
  np.testing.assert_array_equal(labels_of(raw), LABELS)
  assert raw.train.inputs['lips'].dtype == np.uint8
  assert set(raw.train.inputs) == {'face', 'lips', 'voice'}


def test_keys_can_be_named(tmp_path):
  write(tmp_path, 'face', a=features(12, 4), b=LABELS, c=np.arange(12), x=1)
  write(tmp_path, 'voice', a=features(12, 3), c=np.arange(12)[::-1])
  raw = read(tmp_path, inputs='a', targets='b', ids='c')
  np.testing.assert_array_equal(whole(raw, 'face'), features(12, 4))
  np.testing.assert_array_equal(whole(raw, 'voice'), features(12, 3)[::-1])
  np.testing.assert_array_equal(labels_of(raw), LABELS)


@pytest.mark.parametrize('pattern', ['{0}_{1}', '{1}_{0}'])
def test_splits_of_the_files_are_kept(tmp_path, pattern):
  sizes = {'train': 6, 'test': 4, 'val': 3}

  def of(kind, make):
    return {
      pattern.format(kind, word): make(size) for word, size in sizes.items()
    }

  write(
    tmp_path,
    'face',
    **of('x', lambda n: features(n, 4)),
    **of('y', lambda n: np.arange(n) % 3),
  )
  write(tmp_path, 'voice', **of('x', lambda n: features(n, 2)))
  raw = modalities.read(str(tmp_path))
  assert [len(s) for s in raw.parts().values()] == [6, 4, 3]
  for split in raw.parts().values():
    size = len(split)
    np.testing.assert_array_equal(split.inputs['voice'], features(size, 2))
    np.testing.assert_array_equal(split.targets, np.arange(size) % 3)
  with pytest.raises(ValueError, match=r'test split, so test_fraction=0\.25'):
    read(tmp_path)


def test_a_file_of_labels_may_divide_what_the_files_do_not(tmp_path):
  ids = np.arange(12)
  write(tmp_path, 'face', x=features(12, 4), ids=ids)
  write(
    tmp_path,
    'labels',
    y_train=LABELS[[9, 1, 2]],
    ids_train=[9, 1, 2],
    y_test=LABELS[[4, 0, 5]],
    ids_test=[4, 0, 5],
  )
  raw = modalities.read(str(tmp_path))
  assert raw.train.ids.tolist() == [9, 1, 2]
  assert raw.test.ids.tolist() == [4, 0, 5]
  np.testing.assert_array_equal(
    raw.test.inputs['face'], features(12, 4)[[4, 0, 5]]
  )
  np.testing.assert_array_equal(raw.train.targets, LABELS[[9, 1, 2]])


def test_splits_of_the_files_count_where_the_labels_have_one(tmp_path):
  parts = {'train': [3, 0, 1, 2], 'test': [8, 7, 9]}
  for name, width in (('face', 4), ('voice', 2)):
    arrays = {}
    for part, rows in parts.items():
      arrays[f'x_{part}'] = features(12, width)[rows]
      arrays[f'ids_{part}'] = rows
    write(tmp_path, name, **arrays)
  (tmp_path / 'labels.csv').write_text(
    'label,id\n' + ''.join(f'class{n % 3},{n}\n' for n in range(12))
  )
  raw = modalities.read(str(tmp_path))
  assert raw.task.names == ('class0', 'class1', 'class2')
  for part, rows in parts.items():
    split = raw.parts()[part]
    assert split.ids.tolist() == rows
    np.testing.assert_array_equal(split.targets, np.array(rows) % 3)
    np.testing.assert_array_equal(split.inputs['voice'], features(12, 2)[rows])


@pytest.mark.parametrize(
  ('header', 'row', 'options'),
  [
    ('id,label', '{id},{label}', {}),
    ('label,x,id', '{label},7,{id}', {}),
    ('clip,emotion', '{id},{label}', {}),
    (None, '{id},{label}', {}),
    ('a,b,c', '0,{label},{id}', {'targets': 'b', 'ids': 'c'}),
  ],
)
def test_labels_may_be_a_table(tmp_path, header, row, options):
  lines = [] if header is None else [header]
  lines += [row.format(id=n, label='uvw'[n % 3]) for n in range(11, -1, -1)]
  folder, elsewhere = tmp_path / 'set', tmp_path / 'said.csv'
  folder.mkdir()
  key = options.get('ids', 'ids')
  write(folder, 'face', x=features(12, 4), **{key: range(12)})
  elsewhere.write_text('\n'.join(lines))
  raw = read(folder, labels=str(elsewhere), **options)
  np.testing.assert_array_equal(whole(raw, 'face'), features(12, 4))
  np.testing.assert_array_equal(labels_of(raw), LABELS)
  assert raw.task.names == ('u', 'v', 'w')


def test_a_table_of_one_column_labels_the_rows(tmp_path):
  write(tmp_path, 'face', x=features(12, 4))
  (tmp_path / 'labels.csv').write_text('label\n' + '\n'.join('abc' * 4))
  raw = read(tmp_path)
  np.testing.assert_array_equal(labels_of(raw), LABELS)
  np.testing.assert_array_equal(whole(raw, 'face'), features(12, 4))


def test_class_names_are_kept(tmp_path):
  write(tmp_path, 'face', x=features(12, 4), y=LABELS)
  write(tmp_path, 'voice', x=features(12, 4), class_names=['z', 'y', 'x'])
  assert read(tmp_path).task.names == ('z', 'y', 'x')
  write(tmp_path, 'lips', x=features(12, 4), class_names=['x', 'y', 'z'])
  with pytest.raises(ValueError, match=r'class_names differ: .*lips.*voice'):
    read(tmp_path)


def test_a_row_of_nan_is_a_modality_that_is_not_there(tmp_path):
  voice = features(12, 3)
  voice[[2, 7]] = np.nan
  write(tmp_path, 'face', x=features(12, 4), y=LABELS)
  write(tmp_path, 'voice', x=voice)
  raw = read(tmp_path)
  assert set(raw.train.inputs) == {'face', 'voice', 'voice_present'}
  present = whole(raw, 'voice_present')
  assert (present.dtype, present.shape) == (np.uint8, (12, 1))
  assert np.flatnonzero(present[:, 0] == 0).tolist() == [2, 7]
  filled = np.where(np.isnan(voice), 0, voice)
  np.testing.assert_array_equal(whole(raw, 'voice'), filled)
  assert set(read(tmp_path, modalities=['face']).train.inputs) == {'face'}


def test_an_id_that_is_not_there_is_a_modality_that_is_not(tmp_path):
  ids = np.arange(12)
  write(tmp_path, 'face', x=features(12, 4), y=LABELS, ids=ids)
  few = [8, 3, 0, 1, 11]
  lips = np.arange(1, 5 * 16 + 1).reshape(5, 4, 4).astype(np.uint8)
  # One that nobody knows is left out; '3' is the id 3.
  write(
    tmp_path,
    'lips',
    x=np.concatenate([lips, lips[:1]]),
    ids=[*map(str, few), '99'],
  )
  voice = features(12, 3)
  voice[4] = np.nan
  write(tmp_path, 'voice', x=voice[::-1], ids=ids[::-1])
  (tmp_path / 'labels.csv').write_text(
    'id,label\n' + ''.join(f'{n},{n % 3}\n' for n in ids)
  )
  raw = read(tmp_path)
  assert np.flatnonzero(whole(raw, 'voice_present') == 0).tolist() == [4]
  present = whole(raw, 'lips_present')[:, 0]
  assert np.flatnonzero(present).tolist() == sorted(few)
  found = whole(raw, 'lips')
  np.testing.assert_array_equal(found[few][..., 0], lips)
  assert not found[present == 0].any()
  assert found.dtype == np.uint8


def test_what_is_missing_comes_through_cache_and_normalisation(
  tmp_path, cache_dir
):
  voice = 100 + features(40, 3)
  voice[::4] = np.nan
  write(tmp_path, 'voice', x=voice, y=np.arange(40) % 2)
  write(tmp_path, 'face', x=features(40, 2))
  for _ in range(2):
    found = load(tmp_path, cache_dir)
  assert isinstance(found.train.inputs['voice_present'], np.memmap)
  has = found.train.inputs['voice_present'][:, 0] > 0
  np.testing.assert_allclose(
    found.mean['voice'], found.train.inputs['voice'][has].mean(0), rtol=1e-5
  )
  assert found.mean['voice_present'] == 0
  assert found.std['voice_present'] == 1


def broken(row):
  values = features(12, 4)
  values[5] = row
  return values


IDS = np.arange(12)


@pytest.mark.parametrize(
  ('files', 'options', 'message'),
  [
    ({}, {}, 'has no .npz files, one for each modality'),
    (
      {'face': {'x': broken([1, np.nan, 1, 1]), 'y': LABELS}},
      {},
      r"face.npz: 'x' has nan in row 5 \(counted from 0\), at \[1\].*all NaN",
    ),
    (
      {'face': {'x': broken([np.nan] * 3 + [np.inf]), 'y': LABELS}},
      {},
      'face.npz: .* row 5',
    ),
    (
      {'face': {'x': broken(np.inf), 'y': LABELS}},
      {},
      r'face.npz: .* has inf in row 5',
    ),
    ({'face': {'x': features(12, 4)}}, {}, 'no file has labels'),
    ({'face': {'z': 1, 'y': LABELS}}, {}, r'no inputs .*x, X, .*keys .*z, y'),
    (
      {'face': {'face': features(12, 4), 'y': LABELS}},
      {'inputs': 'fase'},
      "inputs: the key 'fase' .*Did you mean 'face'",
    ),
    (
      {'face': {'x': features(12, 4), 'y': LABELS}},
      {'ids': 'name'},
      "ids: the key 'name' is not known",
    ),
    (
      {'face': {'x': features(12, 4), 'y': LABELS}},
      {'targets': 'yy'},
      'no file has labels',
    ),
    (
      {'face': {'x': features(12, 4), 'y': LABELS[:11]}},
      {},
      'face.npz: lengths .* 12 inputs, 11 labels',
    ),
    (
      {'face': {'x': features(12, 4), 'y': np.eye(12)}},
      {},
      r"'y' must hold one label .* \[12, 12\]",
    ),
    (
      {
        'face': {'x': features(12, 4), 'y': LABELS},
        'voice': {'x': features(11, 4)},
      },
      {},
      'voice.npz has 11 rows in its train split; there are 12 labels',
    ),
    (
      {
        'face': {'x': features(12, 4), 'y': LABELS},
        'voice': {'x': features(12, 4), 'y': (LABELS + (IDS == 4)) % 3},
      },
      {},
      "voice.npz has the label '2' in row 4 .*face.npz has '1'",
    ),
    (
      {
        'face': {'x': features(12, 4), 'y': LABELS, 'ids': IDS},
        'voice': {'x': features(12, 4), 'y': LABELS, 'ids': IDS[::-1]},
      },
      {},
      "voice.npz has the label '0' for the id '11', .*face.npz has '2'",
    ),
    (
      {
        'face': {'x': features(12, 4), 'y': LABELS, 'ids': IDS},
        'voice': {'x': features(12, 4)},
      },
      {},
      'ids in face.npz and none in voice.npz',
    ),
    (
      {'face': {'x': features(12, 4), 'y': LABELS, 'ids': IDS % 11}},
      {},
      'face.npz: the id 0 is there twice: in row 0 .* row 11',
    ),
    (
      {
        'face': {'x': features(12, 4), 'ids': IDS},
        'labels': {'y': LABELS, 'ids': IDS + 2},
      },
      {},
      "2 of 12 ids are in no file of a modality; the first is '12'",
    ),
    (
      {
        'face': {'x': features(12, 4), 'ids': IDS, 'y': LABELS},
        'voice': {'x': features(13, 4), 'ids': np.arange(13)},
      },
      {},
      "id '12' of the train split has no label",
    ),
    (
      {
        'face': {'x': features(12, 4), 'ids': IDS, 'y': LABELS},
        'voice': {'x': features(12, 4), 'ids': IDS + 50},
        'labels': {'y': LABELS, 'ids': IDS},
      },
      {},
      "voice.npz has no features for any of the .* are '50', '51', '52'",
    ),
    (
      {
        'face': {'x_train': features(9, 4), 'x_test': features(3, 4)},
        'labels': {'y': LABELS},
      },
      {},
      r'face.npz has the splits train, test, .*labels.npz has train;',
    ),
    (
      {'face': {'x_train': features(9, 4), 'x_test': features(3, 4), 'y': 1}},
      {},
      'x_train, x_test and y must be of the same splits',
    ),
    (
      {
        'face': {'x': features(12, 4), 'ids': IDS},
        'labels': {
          'y_train': LABELS[:6],
          'ids_train': IDS[:6],
          'y_test': LABELS[5:],
          'ids_test': IDS[5:],
        },
      },
      {},
      'labels.npz: the id 5 is there twice: in row 5 of its train split',
    ),
    (
      {
        'face': {
          'x_train': features(6, 4),
          'ids_train': IDS[:6],
          'x_test': features(6, 4),
          'ids_test': IDS[6:],
        },
        'voice': {
          'x_train': features(6, 4),
          'ids_train': IDS[1:7],
          'x_test': features(6, 4),
          'ids_test': IDS[6:] + 1,
        },
        'labels': {'y': np.arange(20) % 3, 'ids': np.arange(20)},
      },
      {},
      "the id '6' is in the train split and in the test split",
    ),
    (
      {'face_present': {'x': features(12, 4), 'y': LABELS}},
      {},
      "not ending in '_present'; got 'face_present'",
    ),
    ({'a.b': {'x': features(12, 4), 'y': LABELS}}, {}, r"digits.*got 'a\.b'"),
  ],
)
def test_files_that_do_not_fit_are_named(tmp_path, files, options, message):
  for name, arrays in files.items():
    write(tmp_path, name, **arrays)
  with pytest.raises(ValueError, match=message):
    read(tmp_path, **options)


def test_what_is_not_there_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'no folder .*absent'):
    read(tmp_path / 'absent')
  write(tmp_path, 'face', x=features(12, 4), y=LABELS)
  with pytest.raises(FileNotFoundError, match=r'no file said\.csv'):
    read(tmp_path, labels='said.csv')
  write(tmp_path, 'labels', y=LABELS)
  (tmp_path / 'labels.csv').write_text('label\n')
  with pytest.raises(
    ValueError, match=r'labels.npz and labels.csv; the option'
  ):
    read(tmp_path)
  with pytest.raises(ValueError, match=r"targets: the column .* 'emotion'"):
    read(tmp_path, labels='labels.csv', targets='emotion')


def test_a_file_that_changes_is_read_again(tmp_path, cache_dir):
  write(tmp_path, 'face', x=features(12, 4), y=LABELS)
  options = {'test_fraction': 0.25}
  first = load(tmp_path, cache_dir, **options)
  write(tmp_path, 'face', x=features(12, 4, seed=1), y=LABELS)
  again = load(tmp_path, cache_dir, **options)
  assert again.fingerprint != first.fingerprint

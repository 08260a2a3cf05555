"""`al-jax select`: from files to a CSV."""

import csv
import os
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

import al_jax
from al_jax import errors
from al_jax.commands import select
from al_jax.data.sources import single

ROOT = pathlib.Path(__file__).parent.parent.parent
N, K = 24, 3
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(N, 4)).astype(np.float32)
EMBEDDINGS = RNG.normal(size=(N, 6)).astype(np.float32)
SAMPLES = RNG.normal(size=(5, N, 4)).astype(np.float32)
NAMES = np.array([f'scan {i:03}' for i in range(N)])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('arrays')
  np.save(folder / 'logits.npy', LOGITS)
  np.savez(folder / 'both.npz', logits=LOGITS, samples=SAMPLES)
  np.savez(folder / 'one.npz', LOGITS)
  np.savetxt(folder / 'plain.csv', LOGITS, delimiter=',')
  header = ','.join(f'class {c}' for c in range(4))
  np.savetxt(
    folder / 'named.csv', LOGITS, delimiter=',', header=header, comments=''
  )
  (folder / 'ids.txt').write_text('\n'.join(NAMES) + '\n')
  np.save(folder / 'ids.npy', NAMES)
  (folder / 'labeled.txt').write_text('3\n17\n5\n')
  (folder / 'labeled_names.txt').write_text('\n'.join(NAMES[:2]))
  np.save(folder / 'mask.npy', np.isin(np.arange(N), [3, 17, 5]))
  return folder


@pytest.fixture
def call(folder, monkeypatch, capsys):
  """Calls the command in the folder: status, output and errors."""
  monkeypatch.chdir(folder)
  monkeypatch.setattr(sys, 'argv', ['al-jax select'])
  saved = flagsaver.save_flag_values()

  def called(*words):
    flags.FLAGS.unparse_flags()
    # The tests have a cache of their own.
    words = ('al-jax select', '--nocompilation_cache', f'--k={K}', *words)
    status = select.main(select.parse_flags(list(words)))
    told = capsys.readouterr()
    # What a flag was set to is forgotten.
    flagsaver.restore_flag_values(saved)
    return status, told.out, told.err

  yield called
  flagsaver.restore_flag_values(saved)


def rows_of(text):
  return list(csv.DictReader(text.splitlines()))


def direct(**arguments):
  return al_jax.select('margin', K, logits=LOGITS, **arguments)


@pytest.mark.parametrize(
  'file',
  ['logits.npy', 'both.npz:logits', 'one.npz', 'plain.csv', 'named.csv'],
)
def test_any_file_gives_the_picks_of_the_function(call, file):
  status, told, wrong = call('--strategy=margin', f'--logits={file}')
  assert (status, wrong) == (0, '')
  rows = rows_of(told)
  assert list(rows[0]) == ['order', 'id', 'value']
  assert [row['order'] for row in rows] == ['0', '1', '2']
  picks = direct()
  assert [int(row['id']) for row in rows] == picks.ids.tolist()
  values = np.array([row['value'] for row in rows], np.float32)
  np.testing.assert_array_equal(values, picks.values)


@pytest.mark.parametrize(
  ('labeled', 'ids'),
  [
    ('labeled.txt', None),
    ('mask.npy', None),
    ('mask.npy', 'ids.txt'),
    ('mask.npy', 'ids.npy'),
  ],
)
def test_labels_and_ids_of_files(call, labeled, ids):
  words = [f'--labeled={labeled}', *([f'--ids={ids}'] if ids else [])]
  _, told, _ = call('--strategy=margin', '--logits=logits.npy', *words)
  mask = np.isin(np.arange(N), [3, 17, 5])
  picks = direct(labeled=mask, ids=NAMES if ids else None)
  assert [row['id'] for row in rows_of(told)] == picks.ids.astype(str).tolist()


def test_what_it_wrote_is_what_it_reads_as_labeled(call, folder):
  words = '--strategy=margin', '--logits=logits.npy', '--ids=ids.txt'
  path = folder / 'picks.csv'
  assert call(*words, '--out=picks.csv') == (0, 'picks.csv\n', '')
  first = [row['id'] for row in rows_of(path.read_text())]
  _, told, _ = call(*words, '--labeled=picks.csv')
  second = [row['id'] for row in rows_of(told)]
  np.testing.assert_array_equal(second, direct(ids=NAMES, labeled=first).ids)
  assert not set(first) & set(second)
  before = path.read_bytes()
  status, told, wrong = call(*words, '--seed=1', '--out=picks.csv')
  assert (status, told, path.read_bytes()) == (1, '', before)
  assert wrong == (
    'ValueError: --out is picks.csv, which exists; --overwrite replaces it.\n'
  )
  assert call(*words, '--k=1', '--out=picks.csv', '--overwrite')[0] == 0
  assert len(rows_of(path.read_text())) == 1


@pytest.mark.parametrize('labeled', ['1\n2\n', '1\n007\n'])
def test_ids_of_which_some_are_no_numbers_are_all_text(call, folder, labeled):
  names = ['007', *map(str, range(1, N))]
  (folder / 'sevens.txt').write_text('\n'.join(names))
  (folder / 'some.txt').write_text(labeled)
  words = '--strategy=margin', '--logits=logits.npy', '--ids=sevens.txt'
  _, told, _ = call(*words, '--labeled=some.txt')
  picks = direct(ids=names, labeled=labeled.split())
  assert [row['id'] for row in rows_of(told)] == picks.ids.tolist()


def test_ids_that_are_bytes_are_written_as_text(call, folder):
  np.save(folder / 'bytes.npy', NAMES.astype(bytes))
  words = '--strategy=margin', '--logits=logits.npy'
  _, told, _ = call(*words, '--ids=bytes.npy', '--labeled=labeled_names.txt')
  assert [row['id'] for row in rows_of(told)] == direct(
    ids=NAMES, labeled=NAMES[:2]
  ).ids.tolist()


def test_options_of_the_strategy(call):
  _, told, _ = call(
    '--strategy=bald',
    '--samples=both.npz:samples',
    '--strategy_options=draw=power',
    '--strategy_options=coldness=2',
  )
  picks = al_jax.select(
    'bald', K, samples=SAMPLES, options={'draw': 'power', 'coldness': 2}
  )
  assert [int(row['id']) for row in rows_of(told)] == picks.ids.tolist()


@pytest.mark.parametrize(
  ('words', 'sentence'),
  [
    (['--logits=logits.npy'], 'ValueError: --strategy is not set; see --help.'),
    (
      ['--strategy=margin', '--logits=none.npy'],
      "ValueError: --logits is 'none.npy'; there is no such file.",
    ),
    (
      ['--strategy=margin', '--logits=both.npz'],
      'ValueError: both.npz has 2 arrays; name one: both.npz:KEY. Keys: '
      'logits, samples.',
    ),
    (
      ['--strategy=margin', '--logits=both.npz:logit'],
      "ValueError: both.npz: the key 'logit' is not known. Did you mean "
      "'logits'? Known: logits, samples.",
    ),
    (
      ['--strategy=margin', '--logits=ids.pt'],
      "ValueError: ids.pt has the extension '.pt'; it must be one of .npy, "
      '.npz, .safetensors, .parquet, .csv, .tsv, .txt. np.save writes .npy.',
    ),
    (
      ['--strategy=margin', '--logits=logits.npy', '--out=none/picks.csv'],
      'ValueError: --out is none/picks.csv; there is no folder none.',
    ),
    (
      ['--strategy=margin', '--logits=logits.npy', '--strategy_options=draw'],
      "ValueError: --strategy_options is 'draw'; it must be NAME=VALUE, each "
      'name once.',
    ),
    (
      ['--strategy=core_set', '--logits=logits.npy'],
      "ValueError: strategy 'core_set' needs embeddings [N, D]; given are "
      'logits.',
    ),
  ],
)
def test_a_wrong_flag_is_one_line(call, words, sentence):
  assert call(*words) == (1, '', f'{sentence}\n')


def test_ids_of_text(tmp_path):
  path = tmp_path / 'ids.csv'
  for text, wanted in {
    '7\n8\n': [7, 8],
    '007\n8\n': ['007', '8'],
    'id\na\nb\n': ['a', 'b'],
    'a\nb\n': ['a', 'b'],
    'name,id\nx,4\ny,5\n': [4, 5],
    '"a, b"\nc\n': ['a, b', 'c'],
  }.items():
    path.write_text(text)
    assert single.read_ids(str(path)).tolist() == wanted, text
  path.write_text('name,of\nx,4\ny,5\n')
  assert single.read_ids(f'{path}:name').tolist() == ['x', 'y']
  with pytest.raises(ValueError, match='has 2 columns and none is called'):
    single.read_ids(str(path))
  with pytest.raises(ValueError, match="the column 'nam' is not known"):
    single.read_ids(f'{path}:nam')


def test_a_column_that_names_rows_is_no_number_of_an_embedding(tmp_path):
  path = tmp_path / 'x.csv'
  for first in ('id', '', 'Unnamed: 0'):
    path.write_text(f'{first},a\n0,0.5\n1,0.7\n')
    with pytest.raises(
      ValueError, match=f"has the column '{first}', which looks like ids"
    ):
      single.read_numbers(str(path))


def test_a_cell_that_is_no_number_is_told_by_place(tmp_path):
  path = tmp_path / 'x.csv'
  path.write_text('a,b\n1,2\n3,?\n')
  with pytest.raises(
    ValueError, match=r"the column 'b' has '\?'.* is needed"
  ) as e:
    single.read_numbers(str(path))
  assert 'option' not in str(e.value)


def test_an_array_on_disk_is_mapped(folder):
  assert isinstance(single.read_numbers(str(folder / 'logits.npy')), np.memmap)


def test_safetensors(folder):
  safetensors = pytest.importorskip('safetensors.numpy')
  path = str(folder / 'both.safetensors')
  safetensors.save_file({'logits': LOGITS, 'samples': SAMPLES}, path)
  np.testing.assert_array_equal(single.read_numbers(f'{path}:samples'), SAMPLES)
  with pytest.raises(ValueError, match='has 2 arrays; name one: '):
    single.read_numbers(path)


def test_safetensors_are_an_extra(folder, monkeypatch):
  monkeypatch.setitem(sys.modules, 'safetensors', None)
  with pytest.raises(
    errors.MissingPackageError, match=r'al-jax\[safetensors\]'
  ):
    single.read_numbers(str(folder / 'x.safetensors'))


def test_the_light_installation_has_the_command(folder):
  # Whoever imports what only an extra brings fails here.
  outside = [name for packages in errors.EXTRAS.values() for name in packages]
  program = (
    f'import sys\nfor name in {outside}: sys.modules[name] = None\n'
    'from al_jax import __main__ as command\n'
    'sys.exit(command.main(sys.argv[1:]))\n'
  )
  ended = subprocess.run(
    [
      *(sys.executable, '-c', program, 'select', '--strategy=margin'),
      *(f'--k={K}', '--logits=logits.npy', '--nocompilation_cache'),
    ],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stderr
  found = [int(row['id']) for row in rows_of(ended.stdout)]
  assert found == direct().ids.tolist()


def test_arrays_in_files_are_read_in_parts(call, folder):
  library = pytest.importorskip('safetensors.numpy')
  library.save_file(
    {'logits': LOGITS, 'embeddings': EMBEDDINGS.astype(np.float16)},
    folder / 'both.safetensors',
  )
  words = (
    '--strategy=badge',
    '--logits=both.safetensors:logits',
    '--embeddings=both.safetensors:embeddings',
  )
  found = []
  for placement in ('device', 'host'):
    status, output, _ = call(*words, f'--placement={placement}')
    assert status == 0
    found.append([row['id'] for row in csv.DictReader(output.splitlines())])
  assert found[0] == found[1] and len(set(found[0])) == K


def test_a_safetensors_file_is_mapped(tmp_path):
  library = pytest.importorskip('safetensors.flax')
  arrays = {
    'half': jnp.asarray(LOGITS, jnp.bfloat16),
    'whole': jnp.asarray(LOGITS),
    'none': jnp.zeros((0, 3)),
  }
  library.save_file(arrays, tmp_path / 'x.safetensors')
  for name, array in arrays.items():
    found = single.read_numbers(f'{tmp_path}/x.safetensors:{name}')
    assert isinstance(found, np.memmap) or not found.size
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_numbers_of_a_parquet_file(tmp_path):
  pyarrow = pytest.importorskip('pyarrow')
  parquet = pytest.importorskip('pyarrow.parquet')
  half = EMBEDDINGS.astype(np.float16)
  table = {
    'lists': pyarrow.array(list(half)),
    'ragged': pyarrow.array([[0.0] * (1 + row % 2) for row in range(N)]),
    'text': pyarrow.array(NAMES),
  }
  parquet.write_table(pyarrow.table(table), tmp_path / 'x.parquet')
  columns = {f'x{each}': LOGITS[:, each] for each in range(4)}
  parquet.write_table(pyarrow.table(columns), tmp_path / 'wide.parquet')
  found = single.read_numbers(f'{tmp_path}/x.parquet:lists')
  assert isinstance(found, np.memmap) and found.dtype == np.float16
  np.testing.assert_array_equal(found, half)
  found = single.read_numbers(f'{tmp_path}/wide.parquet')
  np.testing.assert_array_equal(found, LOGITS)
  for name, told in {
    'ragged': 'lists of different lengths',
    'text': "'text' is of type string",
    'absent': 'the column',
  }.items():
    with pytest.raises(ValueError, match=told):
      single.read_numbers(f'{tmp_path}/x.parquet:{name}')

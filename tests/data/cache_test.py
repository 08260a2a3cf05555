import json
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

import al_jax
from al_jax import files, tasks
from al_jax.data import cache, checks
from al_jax.data.dataset import RawData, Split

KEY = {'source': 'made up', 'options': {}}


def _content(num_examples=400, validation=False):
  rng = np.random.default_rng(num_examples)

  def split(size, prefix):
    return Split(
      inputs=rng.integers(0, 256, (size, 6, 5, 3), dtype=np.uint8),
      targets=np.arange(size, dtype=np.int32) % 2,
      ids=np.array([f'{prefix}_{i:05d}' for i in range(size)]),
    )

  return checks.examine(
    RawData(
      name='made up',
      train=split(num_examples, 'train'),
      test=split(20, 'test'),
      task=tasks.Classes(('naïve', 'other')),
      is_image=True,
      validation=split(10, 'validation') if validation else None,
    )
  )


def _never():
  raise AssertionError('built again')


def _assert_equal(found, expected):
  assert found.fingerprint == expected.fingerprint
  for name in ('name', 'task', 'is_image'):
    assert getattr(found.raw, name) == getattr(expected.raw, name)
  assert found.raw.parts().keys() == expected.raw.parts().keys()
  for part, split in found.raw.parts().items():
    for field in ('inputs', 'targets', 'ids'):
      stored = getattr(split, field)
      original = getattr(expected.raw.parts()[part], field)
      assert stored.dtype == original.dtype
      np.testing.assert_array_equal(stored, original)
  for field in ('mean', 'variance'):
    np.testing.assert_array_equal(
      getattr(found.train_moments, field),
      getattr(expected.train_moments, field),
    )


def _entry(root):
  (entry,) = (path for path in root.iterdir() if path.is_dir())
  return entry


@pytest.mark.parametrize('validation', [False, True])
def test_what_comes_back_is_what_was_kept_memory_mapped(tmp_path, validation):
  content = _content(validation=validation)
  built = cache.open_or_build('a b:c', KEY, lambda: content, cache_dir=tmp_path)
  opened = cache.open_or_build('a b:c', KEY, _never, cache_dir=tmp_path)
  for found in (built, opened):
    _assert_equal(found, content)
    assert isinstance(found.raw.train.inputs, np.memmap)
    assert not found.raw.train.inputs.flags.writeable
  assert _entry(tmp_path).name.startswith('a-b-c-')


@pytest.mark.parametrize('changed', ['key', 'format', 'version'])
def test_another_key_format_or_version_is_another_entry(
  tmp_path, monkeypatch, changed
):
  cache.open_or_build('set', KEY, _content, cache_dir=tmp_path)
  key = KEY
  if changed == 'key':
    key = KEY | {'options': {'size': 8}}
  elif changed == 'format':
    monkeypatch.setattr(cache, '_FORMAT', 0)
  else:
    monkeypatch.setattr(al_jax, '__version__', '0.0.0')
  other = _content(30)
  found = cache.open_or_build('set', key, lambda: other, cache_dir=tmp_path)
  _assert_equal(found, other)


def _flip(path, position):
  content = bytearray(path.read_bytes())
  content[position] ^= 1
  path.write_bytes(content)


def _cut(path):
  path.write_bytes(path.read_bytes()[:-1])


def _name_outside(entry):
  """Adds a file beside the entry, and the digest of a manifest with it."""
  shutil.copy(entry / 'test_ids.npy', entry.parent / 'outside.npy')
  manifest = json.loads((entry / 'manifest.json').read_text())
  stored = manifest['facts']['files']
  stored['../outside'] = stored['test_ids']
  manifest['digest'] = files.digest(manifest['facts'])
  (entry / 'manifest.json').write_text(json.dumps(manifest))


DAMAGES = {
  'cut off': lambda entry: _cut(entry / 'train_inputs.npy'),
  'bit flipped in the pixels': (
    lambda entry: _flip(entry / 'train_inputs.npy', 20_000)
  ),
  'bit flipped in a header': lambda entry: _flip(entry / 'test_ids.npy', 60),
  'last bit flipped': lambda entry: _flip(entry / 'train_mean.npy', -1),
  'file missing': lambda entry: (entry / 'train_targets.npy').unlink(),
  'manifest missing': lambda entry: (entry / 'manifest.json').unlink(),
  'manifest empty': lambda entry: (entry / 'manifest.json').write_text(''),
  'manifest a list': (lambda entry: (entry / 'manifest.json').write_text('[]')),
  'manifest of another form': (
    lambda entry: (entry / 'manifest.json').write_text('{"a": 1}')
  ),
  'manifest names a file outside': _name_outside,
  'manifest changed': (
    lambda entry: (entry / 'manifest.json').write_text(
      (entry / 'manifest.json').read_text().replace('other', 'othex')
    )
  ),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_entry_is_noticed_and_built_anew(tmp_path, damage):
  content = _content()
  cache.open_or_build('set', KEY, lambda: content, cache_dir=tmp_path)
  DAMAGES[damage](_entry(tmp_path))
  with pytest.warns(RuntimeWarning, match='is damaged and is rebuilt'):
    found = cache.open_or_build('set', KEY, lambda: content, cache_dir=tmp_path)
  _assert_equal(found, content)
  cache.open_or_build('set', KEY, _never, cache_dir=tmp_path)


def test_every_block_of_the_ends_of_long_files_is_looked_at(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(cache, '_BLOCK', 1_000)
  monkeypatch.setattr(cache, '_MAX_BLOCKS', 5)
  path = tmp_path / 'long'
  path.write_bytes(np.random.default_rng(0).bytes(8_500))
  original = cache._checksum(path)
  noticed = []
  for block in range(9):
    _flip(path, block * 1_000 + 17)
    noticed.append(cache._checksum(path) != original)
    _flip(path, block * 1_000 + 17)
  assert noticed == [True, False] * 4 + [True]


def test_what_a_killed_process_left_is_removed_and_not_read(tmp_path):
  content = _content()
  cache.open_or_build('set', KEY, lambda: content, cache_dir=tmp_path)
  entry = _entry(tmp_path)
  half_written = entry.with_name(f'{entry.name}.partial-123-abc')
  entry.rename(half_written)
  (half_written / 'manifest.json').unlink()
  found = cache.open_or_build('set', KEY, lambda: content, cache_dir=tmp_path)
  _assert_equal(found, content)
  assert not half_written.exists()


def test_an_error_of_the_source_is_passed_on_and_leaves_nothing(tmp_path):
  def fail():
    raise FileNotFoundError('the source is gone')

  with pytest.raises(FileNotFoundError, match='the source is gone'):
    cache.open_or_build('set', KEY, fail, cache_dir=tmp_path)
  assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_folder_that_cannot_be_written_to_costs_only_the_cache(tmp_path):
  (tmp_path / 'file').write_text('in the way')
  content = _content()
  with pytest.warns(RuntimeWarning, match='cannot be kept .* without a cache'):
    found = cache.open_or_build(
      'set', KEY, lambda: content, cache_dir=tmp_path / 'file' / 'cache'
    )
  assert found is content


def test_a_full_disk_costs_only_the_cache_and_leaves_nothing(tmp_path):
  content = _content()
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  try:
    # No file may grow beyond this, as on a disk with so little space left.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    with pytest.warns(RuntimeWarning, match='cannot be kept'):
      found = cache.open_or_build(
        'set', KEY, lambda: content, cache_dir=tmp_path
      )
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert found is content
  assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('AL_JAX_CACHE_DIR', str(tmp_path / 'chosen'))
  cache.open_or_build('set', KEY, _content)
  assert (_entry(tmp_path / 'chosen') / 'manifest.json').is_file()


# Not forked: the suite has threads of JAX, which a fork would leave behind.
SCRIPT = """
import pathlib, sys, time
import numpy as np
from al_jax.data import cache, checks
from al_jax.data.dataset import RawData, Split
from al_jax.tasks import Classes

root = pathlib.Path(sys.argv[1])

def build():
  (root / f'built-by-{sys.argv[2]}').touch()
  time.sleep(1)  # long enough for the others to come
  inputs = np.arange(3_000, dtype=np.float32).reshape(500, 6)
  split = Split(inputs, np.arange(500, dtype=np.int32) % 2, np.arange(500))
  return checks.examine(RawData('x', split, Classes(('odd', 'even')), False))

(root / f'ready-{sys.argv[2]}').touch()
while len(list(root.glob('ready-*'))) < 3:
  time.sleep(0.01)
found = cache.open_or_build('set', {}, build, cache_dir=root)
print(found.fingerprint, int(found.raw.train.inputs.sum()))
"""


def test_of_processes_that_come_at_once_one_builds_and_all_read(tmp_path):
  processes = [
    subprocess.Popen(
      [sys.executable, '-c', SCRIPT, str(tmp_path), str(number)],
      stdout=subprocess.PIPE,
      text=True,
    )
    for number in range(3)
  ]
  said = {process.communicate(timeout=600)[0] for process in processes}
  assert [process.returncode for process in processes] == [0, 0, 0]
  (line,) = said
  assert line.split()[1] == str(sum(range(3_000)))
  assert len(list(tmp_path.glob('built-by-*'))) == 1
  assert not list(tmp_path.glob('*.partial-*'))

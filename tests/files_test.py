import concurrent.futures
import errno
import json
import math
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from al_jax import files

KILLED_WHILE_WRITING = """
import os, signal, sys
from al_jax import files
with files.replacing(sys.argv[1]) as partial:
  partial.write_text('half of the ne')
  os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
  path = tmp_path / 'records.jsonl'
  path.write_text('old')
  return path


def test_the_new_file_takes_its_place_only_when_all_is_written(path):
  with files.replacing(path) as partial:
    partial.write_text('new')
    assert partial.parent == path.parent  # a rename needs one file system
    assert path.read_text() == 'old'
  assert path.read_text() == 'new'
  assert list(path.parent.iterdir()) == [path]


def test_a_link_where_the_new_file_is_written_is_not_followed(path):
  other = path.with_name('thesis.tex')
  other.write_text('years of work')
  path.with_name(path.name + '.partial').symlink_to(other)
  with files.replacing(path) as partial:
    partial.write_text('new')
  assert other.read_text() == 'years of work'
  assert path.read_text() == 'new' and not path.is_symlink()


def test_a_reader_that_has_the_old_file_open_goes_on_reading_it(path):
  with path.open() as reader:
    with files.replacing(path) as partial:
      partial.write_text('new and longer')
    assert reader.read() == 'old'


def test_a_file_that_is_not_there_yet_is_made(tmp_path):
  path = tmp_path / 'new.json'
  with files.replacing(str(path)) as partial:
    partial.write_text('{}')
  assert path.read_text() == '{}'


def test_an_error_leaves_the_old_file_and_nothing_else(path):
  failing = pytest.raises(RuntimeError, match='no space')
  with failing, files.replacing(path) as partial:
    partial.write_text('half')
    raise RuntimeError('no space')
  assert path.read_text() == 'old'
  assert list(path.parent.iterdir()) == [path]


def test_writing_nothing_is_an_error_and_not_an_empty_file(path):
  with pytest.raises(FileNotFoundError), files.replacing(path):
    pass
  assert path.read_text() == 'old'


def test_what_a_killed_process_leaves_the_next_write_takes_away(path):
  command = [sys.executable, '-c', KILLED_WHILE_WRITING, str(path)]
  killed = subprocess.run(command, timeout=600, check=False)
  assert killed.returncode == -signal.SIGKILL
  assert path.read_text() == 'old'
  with files.replacing(path) as partial:
    partial.write_text('new')
  assert path.read_text() == 'new'
  assert list(path.parent.iterdir()) == [path]


def test_a_lock_is_of_one_at_a_time_and_leaves_nothing(tmp_path):
  inside, most = [], []

  def enter(number):
    for _ in range(20):
      with files.locked(tmp_path / 'entry', 'waiting'):
        inside.append(number)
        most.append(len(inside))
        assert list(tmp_path.iterdir()) == [tmp_path / 'entry.lock']
        inside.remove(number)

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(enter, range(4)))
  assert len(most) == 80 and set(most) == {1}
  assert list(tmp_path.iterdir()) == []


def test_what_is_locked_may_be_deleted_with_its_folder(tmp_path):
  folder = tmp_path / 'cache'
  folder.mkdir()
  with files.locked(folder / 'entry', 'waiting'):
    shutil.rmtree(folder)
  assert not folder.exists()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
  (tmp_path / 'entry.lock').symlink_to(tmp_path / 'thesis.tex')
  with pytest.raises(OSError), files.locked(tmp_path / 'entry', 'waiting'):
    pass
  assert not (tmp_path / 'thesis.tex').exists()


def test_an_error_of_the_disk_names_the_file(path):
  failing = pytest.raises(OSError, match=r'records\.jsonl')
  with failing as caught, files.replacing(path):
    raise OSError(errno.ENOSPC, 'No space left on device')
  assert caught.value.errno == errno.ENOSPC
  with pytest.raises(OSError, match='other'), files.replacing(path):
    raise OSError(errno.EIO, 'Input/output error', 'other')


def test_json_has_words_for_what_is_not_finite():
  value = {'a': [math.nan, 1.5, {'b': math.inf}], 'c': -math.inf, 'd': np.nan}
  clean = files.json_value(value)
  assert clean == {
    'a': ['NaN', 1.5, {'b': 'Infinity'}],
    'c': '-Infinity',
    'd': 'NaN',
  }
  json.dumps(clean, allow_nan=False)
  assert math.isnan(float(clean['d']))
  assert [float(clean['a'][2]['b']), float(clean['c'])] == [math.inf, -math.inf]


def test_what_json_knows_stays_as_it_is():
  value = {'n': None, 't': True, 'i': 3, 's': 'NaN', 'l': [], 'f': 0.1}
  assert files.json_value(value) == value

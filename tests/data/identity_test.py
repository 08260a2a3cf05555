import os

import pytest

from al_jax.data import identity


@pytest.fixture
def small_share(monkeypatch):
  """A file of more than 64 bytes is read in blocks of 16."""
  monkeypatch.setattr(identity, '_BUDGET', 64)
  monkeypatch.setattr(identity, '_BLOCK', 16)


def changed(path, position):
  """Flips a byte; size and time stay."""
  before = path.stat()
  content = bytearray(path.read_bytes())
  content[position] ^= 1
  path.write_bytes(content)
  os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.usefixtures('small_share')
@pytest.mark.parametrize(
  ('size', 'position'), [(64, 0), (64, 33), (64, 63), (999, 0), (999, 998)]
)
def test_another_content_is_another_file(tmp_path, size, position):
  path = tmp_path / 'data'
  path.write_bytes(bytes(size))
  before = identity.of_files([path])
  assert identity.of_files([path]) == before
  changed(path, position)
  assert identity.of_files([path]) != before


@pytest.mark.usefixtures('small_share')
def test_a_small_file_may_be_touched_and_a_large_one_not(tmp_path):
  for size, same in ((64, True), (65, False)):
    path = tmp_path / 'data'
    path.write_bytes(bytes(size))
    before = identity.of_files([path])
    os.utime(path, ns=(0, 0))
    assert (identity.of_files([path]) == before) == same


def test_files_are_told_by_name_and_order(tmp_path):
  paths = [tmp_path / 'a', tmp_path / 'b']
  for path in paths:
    path.write_bytes(b'same')
  first, second = identity.of_files(paths)
  assert first != second
  assert identity.of_files([]) == []


def test_little_of_large_files_is_read(tmp_path, monkeypatch):
  path = tmp_path / 'sparse'
  with path.open('wb') as file:
    file.truncate(1 << 31)
  read = []

  class Counting:
    def __init__(self, digest_size):
      del digest_size

    def update(self, content):
      read.append(len(content))

    def hexdigest(self):
      return ''

  monkeypatch.setattr(identity.hashlib, 'blake2b', Counting)
  identity.of_files([path])
  assert 0 < sum(read) <= 1 << 26

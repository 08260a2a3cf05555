"""New lines of files that grow, are cut, and are replaced."""

import os

import pytest

from al_jax import files
from al_jax.pages import tail
from al_jax.pages.tail import Place, Series


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'lines'


def test_only_new_whole_lines_are_handed_out(path):
  follower = tail.Tail(path)
  assert follower.read() == ([], False)
  path.write_bytes(b'one\ntwo\nthr')
  assert follower.read() == ([b'one', b'two'], False)
  assert follower.read() == ([], False)
  with path.open('ab') as file:
    file.write(b'ee\n\nfive')
  assert follower.read() == ([b'three', b''], False)


def test_only_new_bytes_are_read(path, monkeypatch):
  path.write_bytes(b'x' * 99 + b'\n')
  follower = tail.Tail(path)
  follower.read()
  with path.open('ab') as file:
    file.write(b'new\n')
  sizes = []
  fdopen = os.fdopen

  def counting(*arguments):
    file = fdopen(*arguments)
    read = file.read

    class Counting:
      def __enter__(self):
        return self

      def __exit__(self, *error):
        file.close()

      def __getattr__(self, name):
        return getattr(file, name)

      def read(self, *size):
        sizes.append(len(content := read(*size)))
        return content

    return Counting()

  monkeypatch.setattr(os, 'fdopen', counting)
  assert follower.read().lines == [b'new']
  # Once more the bytes that tell a rewritten file, at most 256.
  assert sizes == [100, 4]


@pytest.mark.parametrize(
  'content', [b'a\n', b'a\nb\nc\n', b'a\nb\nc\nd\n', b'', b'z\ny\nx\nw\n']
)
@pytest.mark.parametrize('is_in_place', [True, False])
def test_a_file_that_was_replaced_is_read_anew(path, content, is_in_place):
  path.write_bytes(b'a\nb\nz\n')
  follower = tail.Tail(path)
  follower.read()
  if is_in_place:
    path.write_bytes(content)
  else:
    with files.replacing(path) as partial:
      partial.write_bytes(content)
  assert follower.read() == (content.splitlines(), True)
  assert follower.read() == ([], False)


def test_a_file_that_is_gone_is_told_once(path):
  path.write_bytes(b'a\n')
  follower = tail.Tail(path)
  follower.read()
  path.unlink()
  assert follower.read() == ([], True)
  assert follower.read() == ([], False)
  path.write_bytes(b'a\n')
  assert follower.read() == ([b'a'], False)


def test_links_and_pipes_are_not_read(path, tmp_path):
  (tmp_path / 'secret').write_bytes(b'secret\n')
  path.symlink_to(tmp_path / 'secret')
  assert tail.Tail(path).read().lines == []
  path.unlink()
  os.mkfifo(path)
  assert tail.Tail(path).read().lines == []


def test_a_reader_of_a_series_gets_what_it_lacks():
  series = Series()
  series.add('a', 1)
  is_anew, rows, place = series.since(Place())
  assert (is_anew, rows) == (True, [1])
  series.add('b', 2)
  series.add('b', 2)
  series.add('a', 3)
  is_anew, rows, place = series.since(place)
  assert (is_anew, rows) == (False, [2, 3])
  assert series.values() == [3, 2]
  series.clear()
  series.add('c', 4)
  assert series.since(place)[:2] == (True, [4])


def test_a_series_forgets_the_older_half():
  series, place, seen = Series(most=10), Place(), []
  for number in range(100):
    series.add(number, number)
    _, rows, place = series.since(place)
    seen += rows
  assert seen == list(range(100))
  kept = series.since(Place())[1]
  assert kept == series.values() == list(range(100 - len(kept), 100))
  assert 5 <= len(kept) <= 10

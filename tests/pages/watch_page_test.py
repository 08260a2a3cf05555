"""The page for watching, as a browser asks for it."""

import json
import re
import time

import pytest

from al_jax.pages import server
from tests.pages import made


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A run with sample sheets, beside what nobody may see."""
  inside = tmp_path_factory.mktemp('outside') / 'run'
  made.a_run(inside, made.the_rows(), live=[made.begin(), made.progress(1)])
  pictures = inside / 'pictures'
  pictures.mkdir()
  (pictures / 'a <b> ü_seed0_round1_sheet.png').write_bytes(b'a picture')
  (pictures / 'notes.txt').write_text('secret')
  (pictures / 'link.png').symlink_to(inside / 'manifest.json')
  (inside.parent / 'secret.png').write_text('secret')
  return inside


@pytest.fixture(scope='module')
def page(folder):
  with made.watching(folder) as running:
    made.events(running, bool)
    yield running


def test_the_page_and_its_files_are_served(page):
  status, headers, content = made.asked(page, '/')
  assert status == 200 and headers['content-type'].startswith('text/html')
  assert b'<!doctype html>' in content
  names = {path.name for path in server.STATIC.iterdir()}
  for name in names - {'watch.html', 'label.html'}:
    status, headers, _ = made.asked(page, f'/static/{name}')
    kind = 'javascript' if name.endswith('.js') else 'css'
    assert status == 200 and kind in headers['content-type']


def test_the_page_asks_nobody_else_and_makes_no_html():
  for path in server.STATIC.iterdir():
    text = path.read_text()
    assert not re.search(r'https?://(?!www\.w3\.org/2000/svg)', text), path
    for way in ('innerHTML', 'outerHTML', 'insertAdjacentHTML', 'eval('):
      assert way not in text, path
    if path.suffix == '.html':
      assert ' style=' not in text and not re.search(r'<script>', text)


def test_events_say_all_of_a_run(page):
  found = made.events(page, lambda found: len(found) == 5)
  assert [name for name, _ in found] == [
    'look',
    'cells',
    'records',
    'progress',
    'details',
  ]
  by_name = dict(found)
  assert len(by_name['records']['rows']) == 12
  (sheet,) = by_name['details']['sheets']
  assert sheet['name'] == 'a <b> ü_seed0_round1_sheet.png'


def test_a_line_of_progress_is_told_soon(tmp_path):
  made.a_run(tmp_path, live=[made.begin()])
  with made.watching(tmp_path) as running:
    seconds = []

    def enough(found):
      if found and not seconds:
        with (tmp_path / 'live.jsonl').open('a') as file:
          file.write(json.dumps(made.progress(3)) + '\n')
        seconds.append(time.perf_counter())
      return found and found[-1][0] == 'progress'

    made.events(running, enough)
    assert time.perf_counter() - seconds[0] < 2


def test_a_sample_sheet_is_served_by_its_name(page):
  path = '/pictures/0/a%20%3Cb%3E%20%C3%BC_seed0_round1_sheet.png?written=1'
  status, headers, content = made.asked(page, path)
  assert (status, content) == (200, b'a picture')
  assert headers['content-type'] == 'image/png'


@pytest.mark.parametrize(
  'path',
  [
    '/pictures/0/notes.txt',
    '/pictures/0/link.png',
    '/pictures/0/../../secret.png',
    '/pictures/0/..%2f..%2fsecret.png',
    '/pictures/0/%2e%2e/%2e%2e/secret.png',
    '/pictures/0/..%5c..%5csecret.png',
    '/pictures/0/%00.png',
    '/pictures/0/',
    '/pictures/9/a.png',
    '/pictures/-1/a.png',
    '/pictures/x/a.png',
    '/static/../watch_page.py',
    '/static/%2e%2e/watch_page.py',
    '/static/..%2f..%2fpages%2fserver.py',
    '//etc/passwd',
    '/etc/passwd',
    '/queries/0/0/0',  # random has made no query
    '/queries/0/7/0',
    '/queries/7/0/0',
    '/queries/0/0/0/sheet.png',
  ],
)
def test_nothing_else_is_served(page, path):
  status, headers, content = made.asked(page, path)
  assert status == 404 and b'secret' not in content.replace(b'secret.png', b'')
  assert b'import' not in content
  assert headers['content-type'].startswith('text/plain')


def test_why_there_is_no_sheet_of_queries_is_told(page):
  assert made.asked(page, '/queries/0/0/0')[2] == (
    b'random, seed 0, has made no query yet.\n'
  )


def test_nothing_can_be_posted(page):
  status, _, _ = made.asked(page, '/', 'POST', X_Token=page.token)
  assert status == 405

"""The page on which people label: its routes, and in headless Chromium."""

import contextlib
import http.client
import json
import urllib.parse

import numpy as np
import PIL.Image
import pytest

from al_jax import labelling
from al_jax.labelling import project
from al_jax.pages import label_page
from tests.pages import browser as browser_lib
from tests.pages import made
from tests.pages.browser import until

HTML = '<img src=x onerror="document.body.innerText=1">'
CLASSES = ['dark', HTML]


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """Twelve pictures, the odd ones white."""
  folder = tmp_path_factory.mktemp('pictures')
  for at in range(12):
    shade = 255 * (at % 2)
    PIL.Image.new('RGB', (6, 5), (shade,) * 3).save(folder / f'p {at}&.png')
  return folder


@pytest.fixture
def state(tmp_path, pictures):
  folder = tmp_path / 'state'
  config = {'learner': {'stop': {'steps': 5}}, 'model': {'name': 'mlp'}}
  labelling.begin(folder, f'images:{pictures}', CLASSES, config=config)
  return folder


@contextlib.contextmanager
def serving(folder):
  page = label_page.Labelling(folder, annotator='ann', folds=0)
  with made.serving(label_page.application(page)) as running:
    yield running


def got(running, path):
  status, headers, content = made.asked(running, path)
  assert status == 200, content
  return headers, content


def posted(running, path, content, token=None):
  connection = http.client.HTTPConnection('127.0.0.1', running.port, timeout=60)
  token = running.token if token is None else token
  with contextlib.closing(connection):
    connection.request('POST', path, json.dumps(content), {'X-Token': token})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_queries_are_answered_changed_and_taken_back(state):
  batch = labelling.propose(state, 4)
  first, second, *_ = (query.id for query in batch.queries)
  with serving(state) as running:
    said = json.loads(got(running, '/state')[1])
    assert said['classes'] == CLASSES
    assert [query['id'] for query in said['queries']] == [
      query.id for query in batch.queries
    ]
    for label in ('dark', labelling.SKIP):
      status, text = posted(running, '/answer', {'id': first, 'label': label})
      assert status == 200
      assert json.loads(text)['queries'][0]['answer'] == label
    posted(running, '/answer', {'id': second, 'label': HTML})
    assert project.of(state).labels == {second: HTML}
    assert posted(running, '/take_back', {'id': second})[0] == 200
    assert not project.of(state).labels


def test_pictures_are_shown_by_id(state, pictures):
  (query,) = labelling.propose(state, 1).queries
  name = urllib.parse.quote(query.id)
  with serving(state) as running:
    headers, content = got(running, f'/picture?id={name}')
    assert headers['Content-Type'] == 'image/png'
    assert content.startswith(b'\x89PNG')
    assert made.asked(running, '/picture?id=nix')[0] == 404
    assert made.asked(running, '/picture')[0] == 404
    assert made.asked(running, '/picture?id=../../etc/passwd')[0] == 404


@pytest.mark.parametrize(
  ('path', 'content', 'status', 'said'),
  [
    ('/answer', {'id': 'nix', 'label': 'dark'}, 409, 'no such example'),
    ('/answer', {'id': 'p 0&.png', 'label': 'drak'}, 409, 'never asked'),
    ('/answer', {'id': 'p 0&.png'}, 400, 'label is None'),
    ('/answer', [1], 400, 'not a JSON object'),
    ('/answer', {'id': 'x' * 200_000, 'label': 'dark'}, 413, 'bytes were'),
    ('/take_back', {'id': 'p 0&.png'}, 400, 'no answer by'),
    ('/ask', {'k': 0}, 400, 'k is 0'),
    ('/ask', {'k': 'x'}, 400, "k is 'x'"),
  ],
)
def test_bad_posts_change_nothing(state, path, content, status, said):
  before = (state / 'history.jsonl').read_bytes()
  with serving(state) as running:
    found, text = posted(running, path, content)
    assert found == status
    assert said in text
    assert posted(running, path, content, token='x')[0] == 403
  assert (state / 'history.jsonl').read_bytes() == before


def test_rows_of_a_table_are_shown_as_the_file_has_them(tmp_path):
  table = tmp_path / 'x.csv'
  lines = [f'n{at},{at},"<b>{at}</b>"' for at in range(8)]
  table.write_text('\n'.join(['name,p,text', *lines]))
  spec = {'source': f'file:{table}', 'ids': 'name', 'features': ['p']}
  labelling.begin(tmp_path / 'state', spec, ['a', 'b'])
  with serving(tmp_path / 'state') as running:
    _, content = got(running, '/row?id=n5')
    assert json.loads(content) == [
      ['name', 'n5'],
      ['p', '5'],
      ['text', '<b>5</b>'],
    ]


def test_vectors_have_nothing_to_show(tmp_path):
  np.save(tmp_path / 'x.npy', np.eye(8, dtype=np.float32))
  labelling.begin(tmp_path / 'state', f'file:{tmp_path}/x.npy', ['a', 'b'])
  with serving(tmp_path / 'state') as running:
    assert json.loads(got(running, '/row?id=5')[1]) == []


@pytest.fixture(scope='module')
def browser():
  with browser_lib.opened(height=1000) as opened:
    yield opened


def test_a_batch_is_labelled_by_keys(state, browser):
  with serving(state) as running:
    browser.get(running.address)
    shown = 'document.getElementById("{}").innerText'.format
    assert until(browser, f'{shown("next-title")} === "Nothing was asked yet"')
    browser.execute_script('document.getElementById("k").value = 4')
    browser.find_element('id', 'ask').click()
    assert until(browser, f'{shown("place")} === "1 of 4"', 60)
    assert until(browser, 'document.querySelector("#shown img").naturalWidth')
    # A class with HTML in its name is text.
    assert HTML in browser.execute_script(f'return {shown("classes")}')
    body = browser.find_element('tag name', 'body')
    for number, key in enumerate('1-2', start=2):
      body.send_keys(key)
      assert until(browser, f'{shown("place")} === "{number} of 4"')
    body.send_keys('\ue003')  # Backspace
    assert until(browser, f'{shown("place")} === "3 of 4"')
    for key, left in (('2', 1), ('?', 0)):
      body.send_keys(key)
      assert until(
        browser,
        'document.querySelectorAll("#strip button:not([class])").length '
        f'=== {left}',
      )
    assert until(browser, f'{shown("next-title")} === "Batch 1 is done"')
    now = project.of(state)
    assert sorted(now.labels.values()) == sorted(CLASSES)
    assert len(now.without_label('skip')) == 1
    assert len(now.without_label('unsure')) == 1
    browser.find_element('id', 'ask').click()
    assert until(browser, f'{shown("guess")}.startsWith("model says")', 120)
  lines = [line['message'] for line in browser.get_log('browser')]
  assert [line for line in lines if 'ERR_' not in line] == []


def test_a_server_that_ends_is_told_and_loses_nothing(state, browser):
  labelling.propose(state, 3)
  with serving(state) as running:
    browser.get(running.address)
    assert until(browser, 'document.querySelector("#shown img")')
  problem = 'document.getElementById("problem")'
  assert until(browser, f'!{problem}.hidden')
  said = browser.execute_script(f'return {problem}.innerText')
  assert said.startswith('The program that serves this page does not answer')


@pytest.mark.parametrize(
  ('classes', 'keys'),
  [
    (['cat', 'dog'], ['1', '2']),
    (list('XAB'), ['x', 'a', 'b']),
    (list('0123456789'), list('0123456789')),
    (
      [*'abcdefgh', 'iron', 'ivy', 'joy'],
      [*'abcdefgh', '1', '2', 'j'],
    ),
  ],
)
def test_keys_do_not_mislead(tmp_path, browser, pictures, classes, keys):
  labelling.begin(tmp_path / 'state', f'images:{pictures}', classes)
  labelling.propose(tmp_path / 'state', 1)
  shown = (
    '[...document.querySelectorAll("#classes kbd")]'
    '.map((each) => each.textContent.toLowerCase())'
  )
  with serving(tmp_path / 'state') as running:
    browser.get(running.address)
    assert until(browser, f'{shown}.length')
    assert browser.execute_script(f'return {shown}') == keys

"""A batch goes to a real server of Label Studio, and its export comes back.

python -m venv label_studio && label_studio/bin/pip install label-studio
LABEL_STUDIO=label_studio/bin/label-studio python -m pytest -m study \
        tests/labelling/label_studio_test.py
"""

import contextlib
import csv
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import PIL.Image
import pytest
from sklearn.datasets import load_digits

from al_jax.labelling import project
from tests.labelling.kill_test import ROOT

TOKEN = 'b' * 40
# It makes its data base first.
_SECONDS_TO_START = 300


@contextlib.contextmanager
def label_studio(folder):
  """A server on the loopback interface, with nothing in it; its address."""
  program = os.environ.get('LABEL_STUDIO')
  if program is None:
    pytest.skip('LABEL_STUDIO names no program; see the top of this file')
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    port = taken.getsockname()[1]
  log = folder / 'label_studio.log'
  server = subprocess.Popen(
    [program, 'start', '--no-browser', '--port', str(port)],
    env={
      **os.environ,
      'HOST': '',
      'LABEL_STUDIO_BASE_DATA_DIR': str(folder),
      'LABEL_STUDIO_HOST': f'http://127.0.0.1:{port}',
      'LABEL_STUDIO_USERNAME': 'ann@example.org',
      'LABEL_STUDIO_PASSWORD': 'a long password 1',
      'LABEL_STUDIO_USER_TOKEN': TOKEN,
      'LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN': 'true',
      'COLLECT_ANALYTICS': 'false',
      'SENTRY_DSN': '',
      'FRONTEND_SENTRY_DSN': '',
      'LATEST_VERSION_CHECK': 'false',
    },
    stdout=log.open('w'),
    stderr=subprocess.STDOUT,
  )
  address = f'http://127.0.0.1:{port}'
  try:
    end = time.monotonic() + _SECONDS_TO_START
    while True:
      try:
        call(address, '/api/projects/')
        break
      except (urllib.error.URLError, ConnectionError):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < end
        time.sleep(1)
    yield address
  finally:
    server.terminate()
    server.wait(30)


def call(address, path, content=None):
  """What its API answers to a GET; to a POST, if there is content."""
  request = urllib.request.Request(
    address + path,
    None if content is None else json.dumps(content).encode(),
    {'Authorization': f'Token {TOKEN}', 'Content-Type': 'application/json'},
  )
  try:
    with urllib.request.urlopen(request, timeout=60) as answer:
      return json.loads(answer.read())
  except urllib.error.HTTPError as error:
    raise AssertionError(f'{path}: {error.read().decode()}') from error


def label(*arguments):
  """Runs `al-jax label` in a process of its own."""
  ended = subprocess.run(
    [sys.executable, '-m', 'al_jax', 'label', *arguments],
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stderr
  return ended.stdout


def annotate(address, task, answer):
  """Labels a task as somebody does who clicks; None skips it."""
  choice = {
    'from_name': 'label',
    'to_name': 'example',
    'type': 'choices',
    'value': {'choices': [answer]},
  }
  content = {'result': [choice]}
  if answer is None:
    content = {'result': [], 'was_cancelled': True}
  call(address, f'/api/tasks/{task["id"]}/annotations/', content)


def asked(out):
  """The ids of a batch that was written."""
  with open(out, newline='') as file:
    return [row['id'] for row in csv.DictReader(file)]


@pytest.mark.study
def test_a_batch_goes_there_and_back(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  digits = load_digits()
  pool = tmp_path / 'pool'
  pool.mkdir()
  truth = {}
  for at, picture in enumerate(digits.images[:300]):
    name = f'digit {at}.png'
    pixels = (picture * 15).astype('uint8')
    PIL.Image.fromarray(pixels).save(pool / name)
    truth[name] = str(digits.target[at])
  ask = ('ask', '--state=state', '--k=20', '--folds=0')
  classes = ','.join(map(str, range(10)))
  label(*ask, '--pool=images:pool', f'--classes={classes}', '--out=first.csv')
  interface = pathlib.Path('first_label_studio.xml').read_text()
  tasks = json.loads(pathlib.Path('first_label_studio.json').read_text())
  with label_studio(tmp_path) as address:
    made = call(
      address, '/api/projects/', {'title': 'digits', 'label_config': interface}
    )
    where = f'/api/projects/{made["id"]}'
    call(address, f'{where}/import', tasks)
    every = f'{where}/export?exportType=JSON&download_all_tasks=true'
    there = call(address, every)
    assert [task['data']['id_of_example'] for task in there] == asked(
      'first.csv'
    )
    # Some of them, one skipped; the others stay without an answer.
    names = [task['data']['id_of_example'] for task in there]
    for task, name in zip(there[:12], names, strict=False):
      annotate(address, task, truth[name])
    annotate(address, there[12], None)
    for form in ('JSON', 'JSON_MIN'):
      exported = call(address, f'{where}/export?exportType={form}')
      pathlib.Path(f'{form}.json').write_text(json.dumps(exported))

    said = label('tell', '--state=state', 'JSON.json')
    assert said.startswith('13 answers taken; 12 labels in all, 7 queries')
    # What was told before is told again.
    said = label('tell', '--state=state', 'JSON_MIN.json')
    assert said.startswith('0 answers taken, 1')
    now = project.of('state')
    assert now.labels == {name: truth[name] for name in names[:12]}
    assert now.without_label('skip') == [names[12]]

    label(*ask, '--out=second.csv')
    assert not set(asked('second.csv')) & set(names)
    # Predictions are annotations to begin with.
    tasks = json.loads(pathlib.Path('second_label_studio.json').read_text())
    call(address, f'{where}/import', tasks)
    last = call(address, every)[-1]
    (prediction,) = call(address, f'/api/tasks/{last["id"]}/')['predictions']
    assert prediction['result'][0]['value']['choices'][0] in truth.values()
    assert 0 < prediction['score'] < 1

"""What tests of pages are made of: folders of runs, and a server."""

import contextlib
import http.client
import json
import threading
import time

from al_jax import tasks
from al_jax.pages import server, watch_page
from al_jax.pages.watching import Watch
from al_jax.storage import manifest, records
from tests.factories import a_record

SYSTEMS = ('random', 'margin')


def an_about(systems=SYSTEMS, *, seeds=2, rounds=3, **changes):
  """A manifest of a run that is not finished."""
  return {
    'config': {
      'protocol': {'rounds': rounds},
      'seeds': seeds,
      'first_seed': 0,
    },
    'data': {
      'name': 'digits',
      'fingerprint': 'none',
      'train': 100,
      'test': 10,
      'task': tasks.to_json(tasks.numbered(10)),
    },
    'systems': list(systems),
    'command': 'al-jax run --workdir=here',
    'started': '2026-01-01T00:00:00+00:00',
    **changes,
  }


def the_rows(systems=SYSTEMS, *, seeds=2, rounds=3, **changes):
  """Records of all rounds, by system, seed and round."""
  return [
    a_record(
      system,
      seed,
      labels=10 * (number + 1),
      round=number,
      accuracy=0.5 + 0.1 * number + 0.01 * seed,
      train={'loss': 1 / (1 + number)},
      seconds_fit=2.0,
      **changes,
    )
    for system in systems
    for seed in range(seeds)
    for number in range(rounds)
  ]


def a_run(folder, rows=(), about=None, live=()):
  """Writes what a run leaves in a folder."""
  folder.mkdir(parents=True, exist_ok=True)
  manifest.write(folder / 'manifest.json', about or an_about())
  records.write_jsonl(folder / 'records.jsonl', rows)
  lines = [json.dumps(line) + '\n' for line in live]
  (folder / 'live.jsonl').write_text(''.join(lines))
  return folder


def begin(num_finished=0, when=None):
  when = time.time() if when is None else when
  return {'event': 'begin', 'time': when, 'num_finished': num_finished}


def progress(step, *, system='random', seed=0, round=0, loss=0.5):
  return {
    'event': 'progress',
    'time': time.time(),
    'system': system,
    'seed': seed,
    'round': round,
    'labels': 10 * (round + 1),
    'step': step,
    'metrics': {'loss': loss, 'accuracy': 0.5},
  }


def ended(how, message=''):
  return {
    'event': 'ended',
    'time': time.time(),
    'how': how,
    'message': message,
  }


@contextlib.contextmanager
def serving(application):
  """The server of an application, in a thread."""
  made = server.Server(application)
  server.connect(application, made)
  thread = threading.Thread(target=made.run, daemon=True)
  thread.start()
  try:
    yield made
  finally:
    made.stop()
    thread.join(10)
  assert not thread.is_alive()


@contextlib.contextmanager
def watching(*folders):
  """The server of a page that watches folders."""
  with serving(watch_page.application(Watch(folders))) as made:
    yield made


def asked(made, path, method='GET', **headers):
  """An answer: its status, headers and content."""
  connection = http.client.HTTPConnection('127.0.0.1', made.port, timeout=30)
  names = {name.replace('_', '-'): of for name, of in headers.items()}
  with contextlib.closing(connection):
    connection.request(method, path, headers=names)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def events(made, enough, seconds=10):
  """Events of the page until there are enough of them; a list of pairs."""
  connection = http.client.HTTPConnection(
    '127.0.0.1', made.port, timeout=seconds
  )
  found, name = [], None
  with contextlib.closing(connection):
    connection.request('GET', '/events')
    answer = connection.getresponse()
    assert answer.headers['content-type'].startswith('text/event-stream')
    while not enough(found):
      line = answer.readline().decode()
      if line.startswith('event: '):
        name = line.split()[1]
      elif line.startswith('data: '):
        found.append((name, json.loads(line[6:])))
  return found

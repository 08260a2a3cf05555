import contextlib
import http.server
import socket
import sys
import threading
import time
import urllib.parse

import pytest

from al_jax import errors
from al_jax.models.weights import hub

constants = pytest.importorskip('huggingface_hub.constants')

COMMIT = 'a' * 40
REFUSALS = {
  'gated': (403, 'GatedRepo'),
  'broken': (500, ''),
}


class Handler(http.server.BaseHTTPRequestHandler):
  """The route of the hub that a download takes."""

  protocol_version = 'HTTP/1.1'

  def do_HEAD(self):
    self.reply(with_content=False)

  def do_GET(self):
    self.reply(with_content=True)

  def reply(self, with_content):
    self.server.asked.append(f'{self.command} {self.path}')
    owner, name, route, revision, *file = self.path.strip('/').split('/')
    assert route == 'resolve'
    if name in REFUSALS:
      return self.refuse(*REFUSALS[name])
    files = self.server.repositories.get(f'{owner}/{name}')
    if files is None:
      return self.refuse(404, 'RepoNotFound')
    if urllib.parse.unquote(revision) not in ('main', 'refs/pr/1', COMMIT):
      return self.refuse(404, 'RevisionNotFound')
    content = files.get('/'.join(file))
    if content is None:
      return self.refuse(404, 'EntryNotFound')
    self.send_response(200)
    self.send_header('ETag', f'"{abs(hash(content)):x}"')
    self.send_header('X-Repo-Commit', COMMIT)
    self.send_header('X-Linked-Size', str(len(content)))
    self.send_header('Content-Length', str(len(content)))
    self.end_headers()
    if with_content:
      self.wfile.write(content)

  def refuse(self, status, code):
    self.send_response(status)
    self.send_header('X-Error-Code', code)
    self.send_header('X-Repo-Commit', COMMIT)
    self.send_header('Content-Length', '0')
    self.end_headers()

  def log_message(self, *args):
    pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """Keeps the user's own cache, token and proxies out of the tests."""
  for variable in ('NO_PROXY', 'no_proxy'):
    monkeypatch.setenv(variable, '127.0.0.1')
  monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path / 'hub'))
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
  monkeypatch.setattr(constants, 'HF_HUB_DISABLE_IMPLICIT_TOKEN', True)
  return tmp_path / 'hub'


@pytest.fixture
def server(cache, monkeypatch):
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  server.daemon_threads = True
  server.asked = []
  server.repositories = {
    'me/net': {'model.safetensors': b'new', 'pytorch_model.bin': b'old'},
    'me/old.net_1': {'pytorch_model.bin': b'old', 'sub/x-1.pth': b'third'},
    'me/empty': {'README.md': b'nothing'},
  }
  monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{server.server_port}/')
  thread = threading.Thread(target=server.serve_forever, args=(0.01,))
  thread.start()
  yield server
  server.shutdown()
  thread.join()
  server.server_close()


@contextlib.contextmanager
def seconds(most):
  started = time.monotonic()
  yield
  assert time.monotonic() - started < most


@pytest.mark.parametrize(
  ('where', 'content'),
  [
    ('hub:me/net', b'new'),
    ('hub:me/net:pytorch_model.bin', b'old'),
    ('hub:me/net@main', b'new'),
    ('hub:me/net@refs/pr/1', b'new'),
    (f'hub:me/net@{COMMIT}:pytorch_model.bin', b'old'),
    ('hub:me/old.net_1', b'old'),
    ('hub:me/old.net_1:sub/x-1.pth', b'third'),
  ],
)
def test_a_file_is_downloaded_once(server, cache, where, content):
  path = hub.locate(where)
  assert path.read_bytes() == content
  assert path.is_relative_to(cache)
  asked = len(server.asked)
  assert any(each.startswith('GET') for each in server.asked)
  assert hub.locate(where) == path
  assert len(server.asked) == asked


def test_without_a_network_a_download_is_still_there(server, monkeypatch):
  path = hub.locate('hub:me/old.net_1')
  monkeypatch.setenv('HF_ENDPOINT', closed_endpoint())
  assert hub.locate('hub:me/old.net_1') == path
  with pytest.raises(ConnectionError):
    hub.locate('hub:me/net')


def test_a_file_of_another_name_is_not_taken_for_the_usual_one(server):
  assert hub.locate('hub:me/net:pytorch_model.bin').read_bytes() == b'old'
  assert hub.locate('hub:me/net').read_bytes() == b'new'


@pytest.mark.parametrize(
  ('where', 'kind', 'message'),
  [
    (
      'hub:me/other',
      FileNotFoundError,
      r'^hub:me/other: there is no repository me/other, or it is private; ',
    ),
    (
      'hub:me/net@v9',
      FileNotFoundError,
      r'^hub:me/net@v9: me/net has no revision v9; give a branch, a tag or ',
    ),
    (
      'hub:me/net:no.bin',
      FileNotFoundError,
      r'the repository me/net has no file no\.bin; .* write hub:me/net:FILE\.$',
    ),
    (
      'hub:me/empty',
      FileNotFoundError,
      r'has no file model\.safetensors or pytorch_model\.bin; look at',
    ),
    ('hub:me/gated', PermissionError, r'request it on its page and log in'),
    (
      'hub:me/broken',
      ConnectionError,
      r'cannot be downloaded \(.*500.*\); download the file elsewhere and give',
    ),
  ],
)
def test_what_the_hub_lacks_is_said_in_a_sentence(server, where, kind, message):
  with seconds(20), pytest.raises(kind, match=message) as caught:
    hub.locate(where)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'where',
  [
    'hub:',
    'hub:net',
    'hub:me/net/more',
    'hub:me/net@',
    'hub:me/net:',
    'hub:me/net:a:b',
    'hub:me/net:../../secret',
    'hub:me/net:/etc/passwd',
    'hub:me/net@../../secret',
    'hub:../net',
    'hub:me/n--t',
    'hub:me/net-',
    f'hub:me/{"n" * 200}',
    'hub:me/n t',
    'hub://me/net',
  ],
)
def test_a_malformed_address_asks_nobody(server, where):
  with pytest.raises(ValueError, match=r'no address on the hub.*hub:OWNER/'):
    hub.locate(where)
  assert not server.asked


def closed_endpoint():
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return f'http://127.0.0.1:{free.getsockname()[1]}'


def test_a_hub_that_cannot_be_reached_is_given_up_soon(cache, monkeypatch):
  monkeypatch.setenv('HF_ENDPOINT', closed_endpoint())
  with seconds(10), pytest.raises(ConnectionError) as caught:
    hub.locate('hub:me/net')
  message = str(caught.value)
  assert message.startswith('hub:me/net cannot be downloaded (')
  assert message.endswith('download the file elsewhere and give its path.')


def test_a_hub_that_never_answers_is_given_up_soon(cache, monkeypatch):
  monkeypatch.setattr(hub, '_SECONDS', 1)
  with socket.socket() as silent:
    silent.bind(('127.0.0.1', 0))
    silent.listen()
    port = silent.getsockname()[1]
    monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{port}')
    with seconds(10), pytest.raises(ConnectionError, match='cannot be down'):
      hub.locate('hub:me/net')


def test_offline_mode_is_named(server, monkeypatch):
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
  with seconds(10), pytest.raises(ConnectionError, match='ffline'):
    hub.locate('hub:me/net')
  assert not server.asked


def test_the_package_that_is_missing_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(
    errors.MissingPackageError, match=r'huggingface-hub.*al-jax\[hub\]'
  ):
    hub.locate('hub:me/net')


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
  (tmp_path / 'net.pth').write_bytes(b'x')
  assert hub.locate(str(tmp_path / 'net.pth')) == tmp_path / 'net.pth'
  monkeypatch.setenv('HOME', str(tmp_path))
  assert hub.locate('~/net.pth') == tmp_path / 'net.pth'


def test_a_path_of_no_file_is_refused(tmp_path):
  with pytest.raises(
    FileNotFoundError, match=r'There is no file .*no\.pth; give the path'
  ):
    hub.locate(str(tmp_path / 'no.pth'))
  with pytest.raises(ValueError, match=r'is a folder; give the path of a file'):
    hub.locate(str(tmp_path))


def test_a_file_of_a_package_is_found_without_importing_it(
  tmp_path, monkeypatch
):
  folder = tmp_path / 'some_weights'
  folder.mkdir()
  (folder / '__init__.py').write_text('raise RuntimeError("imported")')
  (folder / 'net.pth').write_bytes(b'x')
  monkeypatch.syspath_prepend(tmp_path)
  assert hub.locate('package:some_weights/net.pth') == folder / 'net.pth'
  with pytest.raises(FileNotFoundError, match=r"has no file 'other\.pth'"):
    hub.locate('package:some_weights/other.pth')


@pytest.mark.parametrize('name', ['not_here', 'os.path', '', '..'])
def test_a_package_that_is_not_here_is_named(name):
  with pytest.raises(FileNotFoundError, match='there is no package'):
    hub.locate(f'package:{name}/net.pth')

"""The guard before every page, and the port."""

import http.client

import pytest
from starlette import applications, responses, routing

from al_jax.pages import server
from tests.pages import made


async def _told(request):
  return responses.PlainTextResponse(await request.body() or b'read')


@pytest.fixture(scope='module')
def page():
  """A page that can be read and posted to."""
  routes = [routing.Route('/', _told, methods=['GET', 'POST'])]
  with made.serving(applications.Starlette(routes=routes)) as running:
    yield running


def test_only_this_machine_is_listened_to(page):
  assert page._socket.getsockname() == ('127.0.0.1', page.port)


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost'])
def test_its_own_pages_are_answered(page, host):
  own = f'{host}:{page.port}'
  for headers in ({}, {'Origin': f'http://{own}'}):
    status, answered, content = made.asked(page, '/', Host=own, **headers)
    assert (status, content) == (200, b'read')
  assert "default-src 'self'" in answered['Content-Security-Policy']
  assert answered['X-Content-Type-Options'] == 'nosniff'
  assert answered['Cache-Control'] == 'no-store'
  assert 'Access-Control-Allow-Origin' not in answered


@pytest.mark.parametrize(
  'host',
  ['evil.example', 'evil.example:{port}', '127.0.0.1', '127.0.0.1:1', '', '['],
)
@pytest.mark.parametrize('method', ['GET', 'POST'])
def test_a_name_pointed_at_this_machine_is_refused(page, host, method):
  host = host.format(port=page.port)
  status, headers, content = made.asked(
    page, '/', method, Host=host, X_Token=page.token
  )
  assert status == 403
  assert f'Host is {host!r}; it must be 127.0.0.1:' in content.decode()
  assert headers['X-Content-Type-Options'] == 'nosniff'


def test_two_hosts_are_refused(page):
  connection = http.client.HTTPConnection('127.0.0.1', page.port, timeout=10)
  connection.putrequest('GET', '/')  # has a Host of its own
  connection.putheader('Host', 'evil.example')
  connection.endheaders()
  assert connection.getresponse().status in (400, 403)
  connection.close()


@pytest.mark.parametrize(
  'origin',
  [
    'null',
    'http://evil.example',
    'https://127.0.0.1:{port}',
    'http://127.0.0.1',
    'http://localhost:{port}',  # another origin than the Host of the request
  ],
)
@pytest.mark.parametrize('method', ['GET', 'POST'])
def test_pages_of_other_sites_are_refused(page, origin, method):
  status, _, content = made.asked(
    page,
    '/',
    method,
    Origin=origin.format(port=page.port),
    X_Token=page.token,
  )
  assert status == 403 and b'Origin is' in content


@pytest.mark.parametrize('token', [None, '', 'wrong', 'ü'])
def test_a_post_needs_the_token(page, token):
  headers = {} if token is None else {'X_Token': token.encode()}
  status, _, content = made.asked(page, '/', 'POST', **headers)
  assert status == 403 and b'X-Token is not that of this server' in content


def test_a_post_with_the_token_is_answered(page):
  assert made.asked(page, '/', 'POST', X_Token=page.token)[0] == 200
  assert page.address == f'http://127.0.0.1:{page.port}/#token={page.token}'


@pytest.mark.parametrize('method', ['PUT', 'DELETE', 'OPTIONS', 'TRACE'])
def test_other_methods_are_refused(page, method):
  status, _, content = made.asked(page, '/', method, X_Token=page.token)
  assert status == 405 and method.encode() in content


def test_every_server_has_a_token_of_its_own(page):
  other = server.Server(applications.Starlette())
  assert other.token != page.token and len(other.token) > 20
  other._socket.close()


def test_a_port_that_is_taken_is_told_in_a_sentence(page):
  with pytest.raises(OSError, match=f'--port is {page.port}, which cannot'):
    server.Server(applications.Starlette(), page.port)


@pytest.mark.parametrize('port', [-1, 70_000, 'x'])
def test_what_is_no_port_is_told_in_a_sentence(port):
  with pytest.raises(ValueError, match=r'--port is .* at least 0'):
    server.Server(applications.Starlette(), port)

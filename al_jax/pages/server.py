"""Serves pages to browsers on this machine only.

The server listens on the loopback interface. Pages of other sites that are open
in a browser on this machine could still send requests to it; `Guard` rejects
requests that do not come from the server's own pages.
"""

import contextlib
import pathlib
import secrets
import signal
import socket
import threading
from collections.abc import (
  Awaitable,
  Callable,
  Iterator,
  MutableMapping,
  Sequence,
)
from typing import Any

from al_jax import errors

with errors.needs('A page'):
  import uvicorn
  from starlette import applications, responses, routing, staticfiles
  from starlette.datastructures import Headers, MutableHeaders
  from starlette.exceptions import HTTPException

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable, Callable], Awaitable[None]]

HOST = '127.0.0.1'
STATIC = pathlib.Path(__file__).parent / 'static'
_READING = ('GET', 'HEAD')
_POLICY = (
  "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
  "base-uri 'none'; form-action 'self'"
)
_HEADERS = {
  'Content-Security-Policy': _POLICY,
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Cache-Control': 'no-store',
}


def application(routes: Sequence[Any]) -> applications.Starlette:
  """Makes an application from routes, and adds the static files of all pages.

  Args:
    routes: Starlette routes.

  Returns:
    A Starlette application, to stand behind `Guard`.
  """
  static = routing.Mount('/static', staticfiles.StaticFiles(directory=STATIC))
  return applications.Starlette(
    routes=[*routes, static], exception_handlers={HTTPException: _said}
  )


async def _said(request: Any, error: HTTPException):
  """Responds to an error with a line of text."""
  del request
  return responses.PlainTextResponse(
    f'{error.detail}\n', error.status_code, headers=error.headers
  )


class Guard:
  """Middleware that rejects requests from pages of other sites.

  The header Host shows a domain name that another site has pointed at this
  machine, and Origin a request by another site. A POST needs the token printed
  when the server starts.
  """

  def __init__(self, application: Application, port: int, token: str):
    """Wraps an application.

    Args:
      application: An ASGI application.
      port: Port the server listens on.
      token: Required value of the header X-Token of a POST.
    """
    self._application, self._token = application, token
    self._hosts = [f'{host}:{port}' for host in (HOST, 'localhost')]

  async def __call__(self, scope: Scope, receive: Callable, send: Callable):
    """Answers a request."""
    if scope['type'] == 'lifespan':
      await self._application(scope, receive, send)
      return
    if scope['type'] != 'http':
      raise ValueError(f'{scope["type"]!r} is not served; only HTTP is.')

    async def send_with_headers(message):
      if message['type'] == 'http.response.start':
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
          headers[name] = value
      await send(message)

    refusal = self._refusal(scope['method'], Headers(scope=scope))
    application = self._application
    if refusal is not None:
      status, text = refusal
      application = responses.PlainTextResponse(text + '\n', status)
    await application(scope, receive, send_with_headers)

  def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
    """Returns status and reason if a request is rejected, otherwise None."""
    # All values are checked: the application would see only one of them.
    hosts, origins = headers.getlist('host'), headers.getlist('origin')
    if len(hosts) != 1 or hosts[0] not in self._hosts:
      return 403, (
        f'Host is {", ".join(hosts)!r}; it must be {" or ".join(self._hosts)}.'
      )
    if origins and origins != [f'http://{hosts[0]}']:
      return 403, (
        f'Origin is {", ".join(origins)!r}; it must be http://{hosts[0]}.'
      )
    if method in _READING:
      return None
    if method != 'POST':
      return 405, f'Method is {method!r}; it must be GET, HEAD or POST.'
    given = headers.get('x-token', '')
    if not secrets.compare_digest(given.encode(), self._token.encode()):
      return 403, (
        'X-Token is not that of this server; open the address that the command '
        'printed.'
      )
    return None


class Server:
  """A server on the loopback interface.

  Attributes:
    port: Port it listens on.
    token: Token that a POST needs.
    address: Address of the page, with the token.
  """

  def __init__(self, application: Application, port: int = 0):
    """Binds the port.

    Args:
      application: An ASGI application.
      port: Port to listen on; 0 takes a free one.

    Raises:
      OSError: If the port is in use or not allowed.
    """
    errors.check_number('--port', port, int, least=0, most=65535)
    self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Without it, a port that was in use a moment ago could not be bound.
    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      self._socket.bind((HOST, port))
      # From now on connections wait instead of being refused.
      self._socket.listen()
    except OSError as error:
      self._socket.close()
      raise OSError(
        f'--port is {port}, which cannot be used ({error.strerror}); choose '
        'another port, or 0 for a free one.'
      ) from error
    self.port = self._socket.getsockname()[1]
    self.token = secrets.token_urlsafe(16)
    self.address = f'http://{HOST}:{self.port}/#token={self.token}'
    self._server = uvicorn.Server(
      uvicorn.Config(
        Guard(application, self.port, self.token),
        log_level='error',
        access_log=False,
        server_header=False,
        ws='none',
        lifespan='off',
        timeout_graceful_shutdown=2,
      )
    )

  @property
  def is_stopping(self) -> bool:
    """Whether endless responses must end."""
    return self._server.should_exit

  def run(self) -> None:
    """Serves until `stop`, or in the main thread until Ctrl-C or SIGTERM."""
    with contextlib.closing(self._socket), _signals_once():
      self._server.run(sockets=[self._socket])

  def stop(self) -> None:
    """Makes `run` return soon; may be called from any thread."""
    self._server.should_exit = True


@contextlib.contextmanager
def _signals_once() -> Iterator[None]:
  """Ignores the signals that uvicorn handles and then raises again."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  numbers = signal.SIGINT, signal.SIGTERM
  before = {
    number: signal.signal(number, lambda *_: None) for number in numbers
  }
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def serve(application: Application, port: int = 0) -> None:
  """Serves pages until Ctrl-C, and prints their address.

  Args:
    application: A Starlette application, see `connect`.
    port: Port to listen on; 0 takes a free one.

  Raises:
    OSError: If the port is in use or not allowed.
  """
  server = Server(application, port)
  connect(application, server)
  print(f'Open {server.address}\nCtrl-C ends it.', flush=True)
  server.run()


def connect(application: Any, server: Server) -> None:
  """Sets `state.is_stopping`, which tells whether endless responses must end.

  Args:
    application: A Starlette application.
    server: Server of the application.
  """
  application.state.is_stopping = lambda: server.is_stopping

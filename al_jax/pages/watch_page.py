"""Routes of the page that watches runs."""

import asyncio
import json
from collections.abc import AsyncIterator

from al_jax import errors
from al_jax.pages import server, watching
from al_jax.pages.query_sheets import QuerySheets
from al_jax.pages.watching import Reader, Watch

with errors.needs('A page'):
  from starlette import applications, concurrency, responses, routing
  from starlette.exceptions import HTTPException
  from starlette.requests import Request

# Time between two reads of the files.
_SECONDS = 0.5
# Some programs close a connection that is silent for longer.
_SECONDS_OF_SILENCE = 15


def application(watch: Watch) -> applications.Starlette:
  """Makes the application that `server.serve` serves.

  Args:
    watch: Experiments to watch.

  Returns:
    A Starlette application, to stand behind `server.Guard`.
  """
  routes = [
    routing.Route('/', _page),
    routing.Route('/events', _events),
    routing.Route('/pictures/{cell:int}/{name}', _picture),
    routing.Route('/queries/{cell:int}/{system:int}/{seed:int}', _queries),
    routing.Route(
      '/queries/{cell:int}/{system:int}/{seed:int}/sheet.png', _query_sheet
    ),
  ]
  made = server.application(routes)
  made.state.watch = watch
  made.state.queries = QuerySheets()
  made.state.is_stopping = lambda: False
  return made


async def _page(request: Request):
  del request
  return responses.FileResponse(server.STATIC / 'watch.html')


async def _events(request: Request):
  return responses.StreamingResponse(
    _news(request.app.state), media_type='text/event-stream'
  )


async def _news(state) -> AsyncIterator[str]:
  """Yields events for as long as the page is open."""
  reader, silence = Reader(state.watch), 0.0
  while not state.is_stopping():
    # In a thread, so that other requests need not wait.
    text = await concurrency.run_in_threadpool(_read, reader)
    silence = 0.0 if text else silence + _SECONDS
    if silence >= _SECONDS_OF_SILENCE:
      text, silence = ': still here\n\n', 0.0
    if text:
      yield text
    await asyncio.sleep(_SECONDS)


def _read(reader: Reader) -> str:
  return ''.join(
    f'event: {name}\ndata: {json.dumps(content, separators=(",", ":"))}\n\n'
    for name, content in reader.news()
  )


def _experiment(request: Request):
  """Returns the experiment of a request."""
  number = request.path_params['cell']
  experiments = request.app.state.watch.experiments
  if number >= len(experiments):
    raise HTTPException(404, f'There is no experiment {number}.')
  return experiments[number]


def _picture(request: Request):
  """Responds with a sample sheet, if the folder lists its name."""
  folder = _experiment(request).folder / 'pictures'
  name = request.path_params['name']
  if name not in watching.sheet_names(folder):
    raise HTTPException(404, f'There is no sample sheet {name!r}.')
  return responses.FileResponse(folder / name, media_type='image/png')


def _sheet(request: Request):
  """Returns the sheet of queries of a request."""
  experiment = _experiment(request)
  number = request.path_params['system']
  if number >= len(experiment.systems):
    raise HTTPException(404, f'There is no system {number}.')
  try:
    return request.app.state.queries.sheet(
      experiment, experiment.systems[number], request.path_params['seed']
    )
  except ValueError as error:
    raise HTTPException(404, errors.in_one_line(error)) from error


def _queries(request: Request):
  return responses.JSONResponse(_sheet(request).facts)


def _query_sheet(request: Request):
  return responses.Response(_sheet(request).png, media_type='image/png')

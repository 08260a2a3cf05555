"""Serves the page on which annotators answer the pending queries."""

import json
import pathlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from al_jax import errors
from al_jax.labelling import asking, project
from al_jax.labelling.account import SKIP, UNSURE, Account, Answer, known
from al_jax.labelling.answers import AnswersError
from al_jax.labelling.showing import Shown
from al_jax.pages import server

with errors.needs('A page'):
  from starlette import applications, concurrency, responses, routing
  from starlette.exceptions import HTTPException
  from starlette.requests import Request

# Limit on the body of a request; an answer is much shorter.
_MOST_BYTES = 100_000


class Labelling:
  """A project open on a page, with its pool in memory.

  Attributes:
    folder: Folder of the project.
    annotator: Annotator of the answers given on the page.
  """

  def __init__(
    self, folder: pathlib.Path, *, annotator: str, folds: int
  ) -> None:
    """Loads the pool.

    Args:
      folder: Folder of the project.
      annotator: Annotator of the answers given on the page.
      folds: Number of folds for the estimate, see `asking.propose`.
    """
    self.folder, self.annotator = folder, annotator
    now = project.of(folder)
    self._dataset = asking.load_pool(now)
    self._shown = Shown(self._dataset, now.begun['pool'])
    self._position = known(self._dataset.train.ids.tolist())
    self._folds = folds
    self._asking: threading.Thread | None = None
    self._error = ''

  def state(self) -> dict[str, Any]:
    """Returns the content of the page, as JSON values."""
    # Called every second, so it does not read the ids, which may be many.
    found = project.summed_up(project.of(self.folder), len(self._dataset.train))
    now = found.account
    estimate = found.accuracies[-1][1] if found.accuracies else None
    return {
      'pool': str(now.begun['pool']['source']),
      'examples': found.num_examples,
      'classes': now.classes,
      'annotator': self.annotator,
      'skip': SKIP,
      'unsure': UNSURE,
      'batches': len(now.batches),
      'labels': len(now.labels),
      'queries': self._queries(now),
      'has_pictures': self._shown.has_pictures,
      'estimate': estimate,
      'hint': found.hint,
      'disputed': len(now.disputed),
      'asking': self._asking is not None and self._asking.is_alive(),
      'error': self._error,
    }

  def _queries(self, now: Account):
    """Lists pending queries, and those of the last batch answered here."""
    last = set(now.batches[-1].ids) if now.batches else set()
    pending, asked = set(now.pending), now.asked
    found = []
    for batch in now.batches:
      for query in now.queries(batch):
        if asked[query.id] != batch.number:
          continue  # Given up, and asked again later.
        mine = now.answers.get(query.id, {}).get(self.annotator)
        if query.id in pending or (query.id in last and mine is not None):
          shown = {'id': query.id, 'answer': mine}
          if query.predicted is not None:
            shown['predicted'] = query.predicted
            shown['probability'] = query.probability
          found.append(shown)
    return found

  def position(self, name: str) -> int:
    """Returns the pool index of an example; KeyError if there is none."""
    return self._position[name]

  def picture(self, name: str) -> bytes:
    """Returns the picture of an example, encoded as PNG."""
    return self._shown.pictures([self.position(name)])[0]

  def row(self, name: str) -> dict[str, str]:
    """Returns the row of an example, as a dict from column to cell."""
    return self._shown.rows([self.position(name)])[0]

  def answer(self, name: str, label: str) -> None:
    """Records an answer, and replaces an earlier one of the annotator."""
    given = [Answer(name, label, self.annotator, 'the page')]
    project.tell(self.folder, given, correct=True)

  def take_back(self, name: str) -> None:
    """Withdraws an answer."""
    project.withdraw(self.folder, [name], annotator=self.annotator)

  def ask(self, k: int) -> None:
    """Proposes the next batch in a thread, and returns at once.

    Args:
      k: Maximal number of queries.
    """
    errors.check_number('k', k, int, least=1)
    if self._asking is not None and self._asking.is_alive():
      return
    self._error = ''
    self._asking = threading.Thread(
      target=self._propose, args=(k,), daemon=True
    )
    self._asking.start()

  def _propose(self, k):
    try:
      asking.propose(self.folder, k, folds=self._folds, dataset=self._dataset)
    # Shown on the page: no caller sees an error of the thread.
    except Exception as error:
      self._error = f'{type(error).__name__}: {errors.in_one_line(error)}'


def application(labelling: Labelling) -> applications.Starlette:
  """Makes the application that `server.serve` serves.

  Args:
    labelling: The project.

  Returns:
    A Starlette application, to stand behind `server.Guard`.
  """
  routes = [
    routing.Route('/', _page),
    routing.Route('/state', _state),
    routing.Route('/picture', _picture),
    routing.Route('/row', _row),
    routing.Route('/answer', _post(_answer), methods=['POST']),
    routing.Route('/take_back', _post(_take_back), methods=['POST']),
    routing.Route('/ask', _post(_ask), methods=['POST']),
  ]
  made = server.application(routes)
  made.state.labelling = labelling
  return made


async def _page(request: Request):
  del request
  return responses.FileResponse(server.STATIC / 'label.html')


async def _state(request: Request):
  labelling = request.app.state.labelling
  try:
    found = await concurrency.run_in_threadpool(labelling.state)
  except (ValueError, OSError) as error:
    raise HTTPException(500, errors.in_one_line(error)) from error
  return responses.JSONResponse(found)


async def _picture(request: Request):
  content = await _of_example(request, request.app.state.labelling.picture)
  return responses.Response(content, media_type='image/png')


async def _row(request: Request):
  row = await _of_example(request, request.app.state.labelling.row)
  # Pairs keep the order: in an object, JavaScript moves numeric names first.
  return responses.JSONResponse(list(row.items()))


async def _of_example(request, function):
  try:
    return await concurrency.run_in_threadpool(
      function, request.query_params.get('id', '')
    )
  except KeyError as error:
    raise HTTPException(404, 'The pool has no such example.') from error


def _post(
  act: Callable[[Labelling, dict[str, Any]], None],
) -> Callable[[Request], Awaitable[responses.Response]]:
  """Makes a route that calls `act`, and responds with the state after it."""

  async def route(request: Request):
    labelling = request.app.state.labelling
    try:
      given = await _content(request)
      await concurrency.run_in_threadpool(act, labelling, given)
    except AnswersError as error:
      raise HTTPException(409, errors.in_one_line(error)) from error
    except ValueError as error:
      raise HTTPException(400, errors.in_one_line(error)) from error
    except OSError as error:
      raise HTTPException(
        507, f'The answer could not be written: {errors.clause(error)}.'
      ) from error
    return await _state(request)

  return route


async def _content(request):
  """Parses the body of a request, a JSON object of limited size."""
  content = b''
  async for part in request.stream():
    content += part
    if len(content) > _MOST_BYTES:
      raise HTTPException(413, f'More than {_MOST_BYTES:,} bytes were posted.')
  try:
    given = json.loads(content)
  except (ValueError, RecursionError) as error:
    raise ValueError('The body of the request is not JSON.') from error
  if not isinstance(given, dict):
    raise ValueError('The body of the request is not a JSON object.')
  return given


def _text(given, name):
  if not isinstance(given.get(name), str):
    raise ValueError(f'{name} is {given.get(name)!r}; it must be text.')
  return given[name]


def _answer(labelling, given):
  labelling.answer(_text(given, 'id'), _text(given, 'label'))


def _take_back(labelling, given):
  labelling.take_back(_text(given, 'id'))


def _ask(labelling, given):
  labelling.ask(given.get('k'))

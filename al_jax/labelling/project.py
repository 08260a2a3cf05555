"""People as the oracle: a project of questions and answers in a folder.

    from al_jax import labelling

    labelling.begin('state', 'images:photos', ['cat', 'dog'])
    batch = labelling.propose('state', 20)
    labelling.tell('state', [labelling.Answer(batch.queries[0].id, 'cat')])

Nothing is lost if a process dies: what happened is in a file that is only added
to (`history`), and a batch that was on its way is proposed again, the same.
"""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from al_jax import data, errors, files
from al_jax.labelling import account as account_lib
from al_jax.labelling import answers as answers_lib
from al_jax.labelling import history, proposing, stopping
from al_jax.labelling.account import NO_LABELS, Account, Asked
from al_jax.labelling.answers import Answer, Checked
from al_jax.labelling.batch_files import Query
from al_jax.models import backbones
from al_jax.runner import own_systems
from al_jax.runner.options import Config
from al_jax.storage import workdir

_IDS = 'ids.json'
# How long to wait for another process that writes.
_PATIENCE_SECONDS = 30.0

Folder = str | pathlib.Path


class Batch(NamedTuple):
  """A batch of queries.

  Attributes:
    number: of the batch, from 1.
    queries: in order of choice.
    positions: of these in the pool.
    score: what their values are; '' if they are not shown.
    accuracy: an estimate, see `proposing.Accuracy`; None without one.
    is_new: whether it was proposed now; otherwise nothing was told since.
  """

  number: int
  queries: list[Query]
  positions: list[int]
  score: str
  accuracy: Mapping[str, Any] | None
  is_new: bool


class Status(NamedTuple):
  """Where a project is.

  Attributes:
    account: what happened.
    num_examples: in the pool.
    accuracies: of each batch that has an estimate: its number, and that.
    hint: whether predictions still change, as a sentence; '' if it is too early
      to tell.
  """

  account: Account
  num_examples: int
  accuracies: list[tuple[int, Mapping[str, Any]]]
  hint: str


def begin(
  folder: Folder,
  pool: str | Mapping[str, Any],
  classes: Sequence[str],
  *,
  config: Config | None = None,
) -> data.Dataset:
  """Begins a project, of examples that nobody has labelled.

  Args:
    folder: of the project; made if it is not there.
    pool: a source and its options, see `al_jax.load`: `'images:FOLDER'`,
      `'file:TABLE.csv'`, `'file:EMBEDDINGS.npy'`; `'embed:images:FOLDER'`, by
      default with the network `backbones.PACKAGED`.
    classes: what people choose from.
    config: fields over `proposing.default_config`. If None, margin sampling.

  Returns:
    The pool.

  Raises:
    ValueError: the folder has a project already, or an argument does not fit.
  """
  folder = pathlib.Path(folder)
  if history.read(folder):
    raise ValueError(f'{folder} has a project already; choose another folder.')
  classes = [str(name) for name in classes]
  for name in NO_LABELS:
    if name in classes:
      raise ValueError(
        f'classes has {name!r}, which is what people say of an example that '
        'they cannot label; give the class another name.'
      )
  spec = _with_classes(
    {'source': pool} if isinstance(pool, str) else pool, classes
  )
  dataset = data.load(spec)
  settled = _changed(proposing.default_config(), config)
  if not settled['model']:
    settled['model'] = _usual_model(spec, dataset)
  proposing.check_config(settled)
  with workdir.Workdir(folder):
    _write_ids(folder, dataset)
    history.append(
      folder,
      history.BEGUN,
      {'pool': spec, 'classes': classes, 'config': settled},
    )
  return dataset


def _changed(config, changes):
  """A config with some fields changed; mappings keep what is not named."""
  found = dict(config)
  for field, value in (changes or {}).items():
    found[field] = own_systems.over(found.get(field), value)
  return found


def _with_classes(spec, classes):
  """The pool, with what is asked of it; pictures inside have it inside."""
  spec = dict(spec)
  if str(spec['source']).startswith('embed:'):
    if not {'architecture', 'weights'} & set(spec):
      spec |= backbones.PACKAGED
    spec['of'] = {**spec.get('of', {}), 'classes': classes}
  else:
    spec['classes'] = classes
  return json.loads(json.dumps(spec))


def _usual_model(spec, dataset):
  """A network for the kind of data, where the config names none."""
  if dataset.is_image:
    return {'name': 'cnn'}
  is_embedded = dataset.pictures is not None
  if is_embedded or str(spec['source']).endswith(('.npy', '.npz')):
    return {'name': 'mlp', 'widths': []}
  return {'name': 'mlp', 'widths': [128]}


def propose(
  folder: Folder,
  k: int,
  *,
  more: bool = False,
  config: Config | None = None,
  folds: int = proposing.FOLDS,
  dataset: data.Dataset | None = None,
) -> Batch:
  """Trains on the answers so far, and asks for more.

  Where nothing was told since the last batch, that batch is returned again: a
  process that died after it had proposed loses nothing. Examples that are still
  pending are not asked again.

  Args:
    folder: of the project.
    k: the most queries.
    more: ask for others, although nothing was told since.
    config: fields that change from now on. If None, as before.
    folds: see `proposing.propose`.
    dataset: the pool, if it has been loaded.

  Returns:
    The batch, which is on disk by then.

  Raises:
    ValueError: there is no project, or nothing is left to ask.
  """
  folder = pathlib.Path(folder)
  errors.check_number('k', k, int, least=1)
  errors.check_number('folds', folds, int, least=0)
  if folds == 1:
    raise ValueError(
      'folds is 1; it must be 0, for no estimate, or at least 2.'
    )
  now = of(folder)
  if dataset is None:
    dataset = load_pool(now)
  _check_pool(now, dataset)
  if now.batches and not more and not now.changed:
    return _batch(now, now.batches[-1], dataset, is_new=False)
  changed = _changed(now.config, config)
  proposing.check_config(changed)
  proposed = proposing.propose(now, dataset, changed, k, folds=folds)
  ids = [str(name) for name in dataset.train.ids[proposed.picks].tolist()]
  with _locked(folder):
    _write_ids(folder, dataset)
    later = of(folder)
    if len(later.batches) > len(now.batches):
      raise ValueError(
        f'another process asked batch {len(later.batches)} of {folder} '
        'meanwhile; ask again.'
      )
    history.append(
      folder,
      history.ASKED,
      {'ids': ids, 'config': changed, 'said': proposed.said()},
    )
  now = of(folder)
  return _batch(now, now.batches[-1], dataset, is_new=True)


def _batch(now, asked: Asked, dataset, *, is_new):
  """A batch in the words of people."""
  said, position = asked.said, account_lib.known(dataset.train.ids.tolist())
  queries = []
  for at, name in enumerate(asked.ids):
    model = {}
    if said['predicted']:
      model = {
        'predicted': now.classes[said['predicted'][at]],
        'probability': said['probabilities'][at],
        'value': float(said['values'][at]) if said['score'] else None,
      }
    queries.append(Query(name, **model))
  return Batch(
    asked.number,
    queries,
    [position[name] for name in asked.ids],
    said['score'],
    said['accuracy'],
    is_new,
  )


def tell(
  folder: Folder, given: Sequence[Answer], *, correct: bool = False
) -> Checked:
  """Takes answers: all that was asked, or a part.

  Args:
    folder: of the project.
    given: the answers.
    correct: an annotator may change an answer that they gave before.

  Returns:
    What was taken, which is on disk by then.

  Raises:
    AnswersError: one or more of them cannot be taken; then none is.
  """
  folder = pathlib.Path(folder)
  with _locked(folder):
    now = of(folder)
    checked = answers_lib.check(now, read_ids(folder), given, correct=correct)
    if checked.new:
      said = [[each.id, each.annotator, each.label] for each in checked.new]
      history.append(folder, history.TOLD, {'answers': said})
  return checked


def withdraw(
  folder: Folder, ids: Sequence[str], *, annotator: str = answers_lib.SOMEBODY
) -> None:
  """Takes answers back; the examples are pending again.

  Args:
    folder: of the project.
    ids: of the examples.
    annotator: whose answers.

  Raises:
    ValueError: there is no such answer; then none is taken back.
  """
  folder = pathlib.Path(folder)
  with _locked(folder):
    now = of(folder)
    for name in ids:
      if annotator not in now.answers.get(name, {}):
        raise ValueError(
          f'id {name!r} has no answer of {annotator!r} to take back.'
        )
    history.append(
      folder,
      history.WITHDRAWN,
      {'answers': [[name, annotator] for name in ids]},
    )


def give_up(folder: Folder) -> list[str]:
  """Gives up what is pending: it may be asked again, or not.

  Args:
    folder: of the project.

  Returns:
    The ids of the examples.
  """
  folder = pathlib.Path(folder)
  with _locked(folder):
    pending = of(folder).pending
    if pending:
      history.append(folder, history.GIVEN_UP, {'ids': pending})
  return pending


def status(folder: Folder) -> Status:
  """Tells where a project is.

  Args:
    folder: of the project.

  Returns:
    A Status.
  """
  folder = pathlib.Path(folder)
  now = of(folder)
  accuracies = [
    (batch.number, batch.said['accuracy'])
    for batch in now.batches
    if batch.said['accuracy'] is not None
  ]
  return Status(now, len(read_ids(folder)), accuracies, stopping.hint(now))


def of(folder: Folder) -> Account:
  """Reads what happened to a project.

  Args:
    folder: of the project.

  Returns:
    An Account.

  Raises:
    ValueError: there is no project in the folder, or its history is damaged.
  """
  events = history.read(pathlib.Path(folder))
  if not events:
    raise ValueError(
      f'{folder} has no labelling project; begin one with --pool and --classes.'
    )
  return account_lib.of(events)


def has_begun(folder: Folder) -> bool:
  """Whether there is a project in a folder."""
  return bool(history.read(pathlib.Path(folder)))


def load_pool(now: Account) -> data.Dataset:
  """Loads the pool of a project.

  Args:
    now: of the project.

  Returns:
    A Dataset without targets.
  """
  return data.load(now.begun['pool'])


def _check_pool(now, dataset):
  """Refuses a pool that has lost an example; others may have come."""
  there = account_lib.known(dataset.train.ids.tolist())
  gone = [name for name in now.asked if name not in there]
  if gone:
    raise ValueError(
      f'the pool {now.begun["pool"]["source"]!r} has lost {len(gone)} examples '
      f'that were asked, {gone[0]!r} for one; put them back.'
    )


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
  """Keeps other processes from writing; waits for them a while."""
  of(folder)
  end = time.monotonic() + _PATIENCE_SECONDS
  while True:
    try:
      place = workdir.Workdir(folder)
      break
    except workdir.WorkdirError as error:
      if 'in use' not in str(error) or time.monotonic() > end:
        raise
    time.sleep(0.05)
  with place:
    yield


def _write_ids(folder, dataset):
  """Keeps the ids of the pool, so that answers are checked without it."""
  ids = [str(name) for name in dataset.train.ids.tolist()]
  text = json.dumps(ids)
  path = folder / _IDS
  if not path.exists() or path.read_text(encoding='utf-8') != text:
    with files.replacing(path) as partial:
      partial.write_text(text, encoding='utf-8')


def read_ids(folder: Folder) -> set[str]:
  """Reads the ids of the pool of a project.

  Args:
    folder: of the project.

  Returns:
    The ids, as text.
  """
  text = (pathlib.Path(folder) / _IDS).read_text(encoding='utf-8')
  return set(json.loads(text))

"""Begins a project on an unlabelled pool, and proposes batches of queries."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from al_jax import data, errors
from al_jax.labelling import account as account_lib
from al_jax.labelling import estimating, history, model, project, proposing
from al_jax.labelling.account import NO_LABELS, Account, Asked, Query
from al_jax.labelling.project import Folder
from al_jax.models import backbones
from al_jax.runner import own_systems
from al_jax.runner.options import Config
from al_jax.storage import workdir

# Side in pixels; below it the default model is not convolutional.
_SMALLEST = 8


class Batch(NamedTuple):
  """A batch of queries.

  Attributes:
    number: Number of the batch, from 1.
    queries: Queries in the order of selection.
    positions: Pool indices of the queries.
    score: Name of the acquisition values; '' if they are not shown.
    estimate: Estimate of the accuracy, see `estimating.Accuracy`, or None.
    is_drawn: Whether the examples were drawn at random.
    labels: Number of labels the model was trained on; 0 if there was no model.
    is_new: Whether this call proposed the batch. If False, it is the last
      batch again.
  """

  number: int
  queries: list[Query]
  positions: list[int]
  score: str
  estimate: Mapping[str, Any] | None
  is_drawn: bool
  labels: int
  is_new: bool


def begin(
  folder: Folder,
  pool: str | Mapping[str, Any],
  classes: Sequence[str],
  *,
  config: Config | None = None,
) -> data.Dataset:
  """Begins a project on unlabelled examples.

  Args:
    folder: Folder of the project; created if it does not exist.
    pool: A source, or a source and its options, see `al_jax.load`:
      `'images:FOLDER'`, `'file:TABLE.csv'`, `'file:EMBEDDINGS.npy'`, or
      `'embed:images:FOLDER'`, by default with the network `backbones.PACKAGED`.
    classes: Classes that annotators choose from.
    config: Fields that override `model.default_config`. If None, margin
      sampling.

  Returns:
    The pool.

  Raises:
    ValueError: If the folder already has a project, or an argument is invalid.
  """
  folder = pathlib.Path(folder)
  _refuse_begun(folder)
  for name in NO_LABELS:
    if not isinstance(classes, str) and name in (classes or ()):
      raise ValueError(
        f'classes has {name!r}, which is the answer to an example that cannot '
        'be labelled; give the class another name.'
      )
  if not isinstance(classes, Sequence):
    raise ValueError(f'classes is {classes!r}; name two or more.')
  spec = _with_classes(
    {'source': pool} if isinstance(pool, str) else pool, classes
  )
  dataset = data.load(spec)
  settled = _changed(model.default_config(), config)
  if not settled['model']:
    settled['model'] = _usual_model(spec, dataset)
  model.check_config(settled)
  with workdir.Workdir(folder):
    # Checked again under the lock: another process may have begun meanwhile.
    _refuse_begun(folder)
    project.write_ids(folder, _ids(dataset))
    history.append(
      folder,
      history.BEGUN,
      {'pool': spec, 'classes': list(classes), 'config': settled},
    )
  return dataset


def _refuse_begun(folder):
  if project.has_begun(folder):
    raise ValueError(f'{folder} has a project already; choose another folder.')


def _changed(config, changes):
  """Overrides fields of a config; mappings are merged."""
  found = dict(config)
  for field, value in (changes or {}).items():
    found[field] = own_systems.over(found.get(field), value)
  return found


def _with_classes(spec, classes):
  """Adds the classes to a pool spec, inside `of` if pictures are embedded."""
  spec = {**spec, 'source': absolute(str(spec['source']))}
  if spec['source'].startswith('embed:'):
    if not {'architecture', 'weights'} & set(spec):
      spec |= backbones.PACKAGED
    spec['of'] = {**spec.get('of', {}), 'classes': classes}
  else:
    spec['classes'] = classes
  fills = spec.get('missing')
  fills = fills.values() if isinstance(fills, Mapping) else [fills]
  if 'drop' in fills and not spec.get('ids'):
    raise ValueError(
      "missing is 'drop', which leaves out rows, but the pool has no ids to "
      'identify the rest: name a column with the option ids.'
    )
  return json.loads(json.dumps(spec))


def absolute(source: str) -> str:
  """Makes the path of a source absolute, for calls from any working folder.

  Args:
    source: A source, see `al_jax.load`.
  """
  scheme, colon, location = source.partition(':')
  if scheme == 'embed':
    return f'{scheme}{colon}{absolute(location)}'
  if scheme not in ('file', 'images') or not location:
    return source
  return f'{scheme}{colon}{pathlib.Path(location).expanduser().absolute()}'


def _usual_model(spec, dataset):
  """Chooses a network for the kind of data, if the config names none."""
  if dataset.is_image and min(dataset.train.inputs.shape[1:3]) >= _SMALLEST:
    return {'name': 'cnn'}
  is_embedded = dataset.pictures is not None
  if is_embedded or str(spec['source']).endswith(('.npy', '.npz')):
    return {'name': 'mlp', 'widths': []}
  return {'name': 'mlp', 'widths': [128]}


def load_pool(now: Account) -> data.Dataset:
  """Loads the pool of a project.

  Args:
    now: State of the project.

  Returns:
    A Dataset without targets.
  """
  return data.load(now.begun['pool'])


def propose(
  folder: Folder,
  k: int,
  *,
  more: bool = False,
  config: Config | None = None,
  folds: int = estimating.FOLDS,
  dataset: data.Dataset | None = None,
) -> Batch:
  """Trains on the answers so far, and proposes a batch of queries.

  If no answer was recorded since the last batch, that batch is returned again,
  so a process that died after proposing loses nothing. Pending examples are
  not queried again.

  Args:
    folder: Folder of the project.
    k: Maximal number of queries.
    more: Whether to propose another batch even without a new answer.
    config: Fields of the config that change from now on. If None, none change.
    folds: Number of folds for the estimate, see `proposing.propose`.
    dataset: The pool. If None, it is loaded.

  Returns:
    The batch; it is on disk when the call returns.

  Raises:
    ValueError: If there is no project, or no example is left to query.
  """
  folder = pathlib.Path(folder)
  errors.check_number('k', k, int, least=1)
  errors.check_number('folds', folds, int, least=0)
  if folds == 1:
    raise ValueError('folds is 1; it must be 0 (no estimate) or at least 2.')
  now = project.of(folder)
  if dataset is None:
    dataset = load_pool(now)
  check_pool(now, dataset)
  changed = _changed(now.config, config)
  if now.batches and not more and not now.changed:
    if changed != now.config:
      raise ValueError(
        f'the config changes, but no answer was recorded since batch '
        f'{len(now.batches)}: tell answers first, or ask for another batch '
        '(--more).'
      )
    return _batch(now, now.batches[-1], dataset, is_new=False)
  model.check_config(changed)
  proposed = proposing.propose(now, dataset, changed, k, folds=folds)
  ids = [str(name) for name in dataset.train.ids[proposed.picks].tolist()]
  with project.locked(folder) as later:
    project.write_ids(folder, _ids(dataset))
    if len(later.batches) > len(now.batches):
      raise ValueError(
        f'another process proposed batch {len(later.batches)} of {folder} '
        'meanwhile; ask again.'
      )
    history.append(
      folder,
      history.ASKED,
      {'ids': ids, 'config': changed, 'said': proposed.said()},
    )
  now = project.of(folder)
  return _batch(now, now.batches[-1], dataset, is_new=True)


def check_pool(now: Account, dataset: data.Dataset) -> None:
  """Checks that the queried examples are still in the pool, unchanged.

  Args:
    now: State of the project.
    dataset: The pool.

  Raises:
    ValueError: If any is missing or has changed; the message names the first.
  """
  there = account_lib.known(dataset.train.ids.tolist())
  source = now.begun['pool']['source']
  gone = [name for name in now.asked if name not in there]
  if gone:
    raise ValueError(
      f'the pool {source!r} has lost {len(gone)} queried examples, '
      f'{gone[0]!r} for one; put them back.'
    )
  before = {
    name: digest
    for batch in now.batches
    for name, digest in zip(batch.ids, batch.said['content'], strict=True)
  }
  positions = [there[name] for name in before]
  found = proposing.contents(dataset, positions)
  changed = [
    name
    for name, digest in zip(before, found, strict=True)
    if digest != before[name]
  ]
  if changed:
    raise ValueError(
      f'{len(changed)} examples of the pool {source!r} have changed since they '
      f'were asked, {changed[0]!r} for one: their answers no longer apply. '
      'Put them back, or give rows ids of their own (option ids).'
    )


def pending(folder: Folder, dataset: data.Dataset) -> Batch:
  """Returns the pending queries of all batches.

  Args:
    folder: Folder of the project.
    dataset: The pool.

  Returns:
    The last batch, with the pending queries instead of its own.

  Raises:
    ValueError: If there is no batch yet.
  """
  now = project.of(folder)
  if not now.batches:
    raise ValueError(
      f'nothing was asked yet in {folder}: ask without --pending.'
    )
  queries = now.waiting()
  position = account_lib.known(dataset.train.ids.tolist())
  batch = _batch(now, now.batches[-1], dataset, is_new=False)
  return batch._replace(
    queries=queries, positions=[position[query.id] for query in queries]
  )


def _batch(now, asked: Asked, dataset, *, is_new):
  """Builds the `Batch` of an event."""
  said, position = asked.said, account_lib.known(dataset.train.ids.tolist())
  return Batch(
    asked.number,
    now.queries(asked),
    [position[name] for name in asked.ids],
    said['score'],
    said['estimate'],
    said['is_drawn'],
    said['labels'],
    is_new,
  )


def _ids(dataset):
  """Returns the ids of a pool, as text."""
  return [str(name) for name in dataset.train.ids.tolist()]

"""Asking: a pool that nobody has labelled, and its batches of queries."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from al_jax import data, errors
from al_jax.labelling import account as account_lib
from al_jax.labelling import history, project, proposing
from al_jax.labelling.account import NO_LABELS, Account, Asked
from al_jax.labelling.batch_files import Query
from al_jax.labelling.project import Folder
from al_jax.models import backbones
from al_jax.runner import own_systems
from al_jax.runner.options import Config
from al_jax.storage import workdir


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
    project.write_ids(folder, _ids(dataset))
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


def load_pool(now: Account) -> data.Dataset:
  """Loads the pool of a project.

  Args:
    now: of the project.

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
  now = project.of(folder)
  if dataset is None:
    dataset = load_pool(now)
  _check_pool(now, dataset)
  if now.batches and not more and not now.changed:
    return _batch(now, now.batches[-1], dataset, is_new=False)
  changed = _changed(now.config, config)
  proposing.check_config(changed)
  proposed = proposing.propose(now, dataset, changed, k, folds=folds)
  ids = [str(name) for name in dataset.train.ids[proposed.picks].tolist()]
  with project.locked(folder):
    project.write_ids(folder, _ids(dataset))
    later = project.of(folder)
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
  now = project.of(folder)
  return _batch(now, now.batches[-1], dataset, is_new=True)


def _check_pool(now, dataset):
  """Refuses a pool that has lost an example; others may have come."""
  there = account_lib.known(dataset.train.ids.tolist())
  gone = [name for name in now.asked if name not in there]
  if gone:
    raise ValueError(
      f'the pool {now.begun["pool"]["source"]!r} has lost {len(gone)} examples '
      f'that were asked, {gone[0]!r} for one; put them back.'
    )


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


def _ids(dataset):
  """The ids of a pool, as text."""
  return [str(name) for name in dataset.train.ids.tolist()]

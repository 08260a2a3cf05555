"""Asking: a pool that nobody has labelled, and its batches of queries."""

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

# Smaller pictures have nothing for convolutions to see.
_SMALLEST = 8


class Batch(NamedTuple):
  """A batch of queries.

  Attributes:
    number: of the batch, from 1.
    queries: in order of choice.
    positions: of these in the pool.
    score: what their values are; '' if they are not shown.
    estimate: of the accuracy, see `estimating.Accuracy`; None without one.
    is_drawn: whether the examples were drawn at random.
    labels: how many the model was trained on; 0: there was none.
    is_new: whether it was proposed now; otherwise nothing was told since.
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
  """Begins a project, of examples that nobody has labelled.

  Args:
    folder: of the project; made if it is not there.
    pool: a source and its options, see `al_jax.load`: `'images:FOLDER'`,
      `'file:TABLE.csv'`, `'file:EMBEDDINGS.npy'`; `'embed:images:FOLDER'`, by
      default with the network `backbones.PACKAGED`.
    classes: what people choose from.
    config: fields over `model.default_config`. If None, margin sampling.

  Returns:
    The pool.

  Raises:
    ValueError: the folder has a project already, or an argument does not fit.
  """
  folder = pathlib.Path(folder)
  _refuse_begun(folder)
  for name in NO_LABELS:
    if not isinstance(classes, str) and name in (classes or ()):
      raise ValueError(
        f'classes has {name!r}, which is what people say of an example that '
        'they cannot label; give the class another name.'
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
    # Another process may have begun meanwhile.
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
  """A config with some fields changed; mappings keep what is not named."""
  found = dict(config)
  for field, value in (changes or {}).items():
    found[field] = own_systems.over(found.get(field), value)
  return found


def _with_classes(spec, classes):
  """The pool, with what is asked of it; pictures inside have it inside."""
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
      "missing is 'drop', which leaves rows out, and the pool has no ids that "
      'would say which are left: name a column with the option ids.'
    )
  return json.loads(json.dumps(spec))


def absolute(source: str) -> str:
  """A source with the whole path, so that any folder will do to ask from.

  Args:
    source: see `al_jax.load`.
  """
  scheme, colon, location = source.partition(':')
  if scheme == 'embed':
    return f'{scheme}{colon}{absolute(location)}'
  if scheme not in ('file', 'images') or not location:
    return source
  return f'{scheme}{colon}{pathlib.Path(location).expanduser().absolute()}'


def _usual_model(spec, dataset):
  """A network for the kind of data, where the config names none."""
  if dataset.is_image and min(dataset.train.inputs.shape[1:3]) >= _SMALLEST:
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
  folds: int = estimating.FOLDS,
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
  check_pool(now, dataset)
  changed = _changed(now.config, config)
  if now.batches and not more and not now.changed:
    if changed != now.config:
      raise ValueError(
        f'the config changes, and nothing was told since batch '
        f'{len(now.batches)}: tell answers first, or ask more beside it '
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


def check_pool(now: Account, dataset: data.Dataset) -> None:
  """Refuses a pool that has lost or changed an example that was asked.

  Args:
    now: of the project.
    dataset: the pool.

  Raises:
    ValueError: with the first such example.
  """
  there = account_lib.known(dataset.train.ids.tolist())
  source = now.begun['pool']['source']
  gone = [name for name in now.asked if name not in there]
  if gone:
    raise ValueError(
      f'the pool {source!r} has lost {len(gone)} examples that were asked, '
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
      f'were asked, {changed[0]!r} for one: their answers are of something '
      'else now. Put them back, or give rows ids of their own (option ids).'
    )


def pending(folder: Folder, dataset: data.Dataset) -> Batch:
  """All queries that nobody has answered, of whichever batch.

  Args:
    folder: of the project.
    dataset: the pool.

  Returns:
    A batch of these, with the number of the last one.

  Raises:
    ValueError: nothing was asked yet.
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
  """A batch in the words of people."""
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
  """The ids of a pool, as text."""
  return [str(name) for name in dataset.train.ids.tolist()]

"""Queries chosen from arrays of your own, whatever framework made them."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, parts, strategies, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch, Facts, ModelOutput, Strategy
from al_jax.strategies import needs

# Rows that sum to 1 this closely, none below 0, are probabilities.
_TOLERANCE = 1e-3


class Selected(NamedTuple):
  """Queries, in order of choice.

  Attributes:
    ids: [K], as given; pool indices, int64, if there are none.
    values: float[K], what each was chosen by, see the strategy.
  """

  ids: np.ndarray
  values: np.ndarray


def select(
  strategy: str | Strategy,
  k: int,
  *,
  embeddings: Any = None,
  logits: Any = None,
  samples: Any = None,
  labeled: Any = None,
  ids: Any = None,
  seed: int = 0,
  options: Mapping[str, Any] | None = None,
) -> Selected:
  """Selects k examples to label, given what a model says of the pool.

  Arrays are of NumPy, JAX, PyTorch or anything else that NumPy can read.

  Args:
    strategy: name of a strategy, or a Strategy.
    k: number of queries. If fewer examples are unlabeled, all of them.
    embeddings: float[N, D].
    logits: float[N, C], before the softmax.
    samples: float[S, N, C], logits of S dropout samples or of an ensemble.
    labeled: examples that have a label: bool[N], or a list of ids.
    ids: [N], names of the examples. If None, they are called by position.
    seed: of every random choice.
    options: of the strategy, by name.

  Returns:
    Selected.

  Raises:
    ValueError: arrays that do not fit each other, or lack what the strategy
      needs.
  """
  errors.check_number('k', k, int, least=1)
  errors.check_number('seed', seed, int, least=0)
  given = {'embeddings': embeddings, 'logits': logits, 'samples': samples}
  arrays = {
    name: _as_array(name, value, ndim=3 if name == 'samples' else 2)
    for name, value in given.items()
    if value is not None
  }
  names = None if ids is None else _as_ids(ids)
  size = _common_size(arrays, names, labeled)
  for name in ('logits', 'samples'):
    if name in arrays:
      _check_logits(name, arrays[name])
  asking = _built(strategy, options, arrays)
  _check_needs(strategy, asking, arrays)
  unlabeled = ~_mask_of(labeled, names, size)
  if not unlabeled.any():
    raise ValueError('every example is labeled; there is nothing to select.')
  chosen = _chosen(asking, arrays, unlabeled, min(k, size), seed)
  indices, values = (np.asarray(part) for part in chosen)
  values = values[indices >= 0]
  indices = indices[indices >= 0].astype(np.int64)
  return Selected(indices if names is None else names[indices], values)


def _as_array(name, value, ndim):
  """Host memory, float32, with so many axes."""
  array = _on_host(name, value)
  if array.dtype.kind not in 'fiu' and array.dtype != jnp.bfloat16:
    raise ValueError(
      f'{name} are {array.dtype}; they must be numbers of shape {_FORMS[name]}.'
    )
  if array.ndim != ndim or 0 in array.shape:
    raise ValueError(f'{name} are {array.shape}; they must be {_FORMS[name]}.')
  array = np.asarray(array, np.float32)
  bad = ~np.isfinite(array)
  if bad.any():
    place = tuple(int(axis[0]) for axis in np.nonzero(bad))
    raise ValueError(
      f'{name}{list(place)} is {array[place]}; it must be finite.'
    )
  return array


_FORMS = {
  'embeddings': '[N, D]',
  'logits': '[N, C]',
  'samples': '[S, N, C]',
}


def _on_host(name, value):
  """What NumPy can read, tensors of PyTorch and other devices among them."""
  if hasattr(value, 'detach') and hasattr(value, 'cpu'):
    value = value.detach().cpu()
    if 'bfloat16' in str(value.dtype):
      value = value.float()
  try:
    return np.asarray(value)
  except (ValueError, TypeError) as error:
    raise ValueError(
      f'{name} cannot be read as an array: {errors.in_one_line(error)}'
    ) from error


def _as_ids(ids):
  names = np.asarray(ids)
  if names.ndim != 1:
    raise ValueError(f'ids have shape {names.shape}; they must be [N].')
  _, first, count = np.unique(names, return_index=True, return_counts=True)
  if (count > 1).any():
    repeated = names[first[count > 1].min()]
    raise ValueError(f'ids has {repeated!r} twice; they must be unique.')
  return names


def _common_size(arrays, names, labeled):
  """N, which all that is given must agree on."""
  sizes = {
    name: array.shape[1 if name == 'samples' else 0]
    for name, array in arrays.items()
  }
  if names is not None:
    sizes['ids'] = len(names)
  if labeled is not None and np.asarray(labeled).dtype == bool:
    sizes['labeled'] = len(np.asarray(labeled))
  if not sizes:
    raise ValueError(
      'nothing is given: pass embeddings [N, D], logits [N, C] or samples '
      '[S, N, C]; for random draws, ids [N].'
    )
  (first, size), *others = sizes.items()
  for name, other in others:
    if other != size:
      shape = arrays[name].shape if name in arrays else (other,)
      raise ValueError(
        f'{name} are {shape}; {first} say N is {size}: pass '
        f'{_FORMS.get(name, "[N]")}.'
      )
  classes = {
    name: arrays[name].shape[-1]
    for name in ('logits', 'samples')
    if name in arrays
  }
  if len(set(classes.values())) > 1:
    raise ValueError(
      f'logits have {classes["logits"]} classes and samples '
      f'{classes["samples"]}; they must have the same.'
    )
  return size


def _check_logits(name, array):
  sums = array.sum(axis=-1)
  if array.min() >= 0 and np.all(np.abs(sums - 1) < _TOLERANCE):
    raise ValueError(
      f'every row of {name} sums to 1: pass logits, not probabilities '
      f'(np.log({name}) are logits).'
    )


def _built(strategy, options, arrays):
  """The strategy; its number of dropout samples is that of the samples."""
  if isinstance(strategy, Strategy):
    if options:
      raise ValueError(
        f'options are {dict(options)}; a Strategy has been given its own.'
      )
    return strategy
  options = dict(options or {})
  make = parts.find('strategy', strategy, strategies.STRATEGIES)
  known = inspect.signature(make).parameters
  if 'num_samples' in known and 'num_samples' not in options:
    takes_none = known['num_samples'].default is None
    if 'samples' in arrays and (not takes_none or 'logits' not in arrays):
      options['num_samples'] = len(arrays['samples'])
  return strategies.build(strategy, options)


# What a need is met by.
_MET_BY = {
  needs.CLASSES: ('logits', 'samples'),
  needs.EMBEDDING: ('embeddings',),
  needs.DROPOUT: ('samples',),
}


def _check_needs(name, strategy, arrays):
  name = repr(name) if isinstance(name, str) else 'of yours'
  for need in needs.of(strategy):
    by = _MET_BY.get(need, ())
    if not set(by) & set(arrays):
      wanted = ' or '.join(f'{each} {_FORMS[each]}' for each in by)
      raise ValueError(
        f'strategy {name} needs {wanted or "the output " + need}; given are '
        f'{", ".join(arrays) or "none"}.'
      )


def _mask_of(labeled, names, size):
  """bool[N], of a mask or of ids."""
  if labeled is None:
    return np.zeros(size, bool)
  found = np.asarray(labeled)
  if found.dtype == bool:
    return found
  mask = np.zeros(size, bool)
  if not found.size:
    return mask
  if names is None:
    wrong = (
      (found < 0) | (found >= size) if found.dtype.kind in 'iu' else [True]
    )
    if np.any(wrong):
      raise ValueError(
        f'labeled has {found[np.argmax(wrong)]!r}; it must be bool[N], or '
        f'positions from 0 to {size - 1}.'
      )
    mask[found] = True
    return mask
  mask = np.isin(names, found)
  unknown = found[~np.isin(found, names)]
  if len(unknown):
    raise ValueError(f'labeled has {unknown[0]!r}, which is not among the ids.')
  return mask


def _chosen(strategy, arrays, unlabeled, k, seed):
  """Measures all examples at once, and selects."""
  inputs = {
    name: jnp.asarray(np.moveaxis(array, 1, 0) if name == 'samples' else array)
    for name, array in arrays.items()
  }
  size = len(unlabeled)
  pool = pool_lib.create(size)
  asked = np.flatnonzero(~unlabeled)
  pool = pool.replace(
    acquired_round=pool.acquired_round.at[asked].set(0),
    acquired_order=pool.acquired_order.at[asked].set(np.arange(len(asked))),
    annotator=pool.annotator.at[asked].set(pool_lib.ORACLE),
  )
  state = strategy.init(_facts(arrays, inputs, size))
  measure_key, select_key = jax.random.split(jax.random.key(seed))
  measured = ()
  if strategy.measure is not None and inputs:
    batch = Batch(jnp.arange(size, dtype=jnp.int32), inputs)
    measured = jax.jit(functools.partial(strategy.measure, apply=_apply))(
      measure_key, batch=batch
    )
  seen = jnp.ones(size, bool)
  _, found = strategy.select(select_key, state, measured, seen, pool, k)
  return found.indices, found.values


def _apply(inputs, *, keys=None):
  """What a model said, in the place of a model."""
  embedding = inputs.get('embeddings')
  if keys is not None:
    samples = jnp.moveaxis(inputs['samples'], 1, 0)
    if len(keys) != len(samples):
      raise ValueError(
        f'num_samples is {len(keys)}; samples has {len(samples)}.'
      )
    return ModelOutput(samples, embedding, {})
  logits = inputs.get('logits')
  if logits is None and 'samples' in inputs:
    logits = jax.scipy.special.logsumexp(
      jax.nn.log_softmax(inputs['samples']), axis=1
    )
  return ModelOutput(logits, embedding, {})


def _facts(arrays, inputs, size):
  """As far as a strategy asks for them."""
  predicted = arrays.get('logits', arrays.get('samples'))
  task = tasks.Vector(1)
  if predicted is not None:
    task = tasks.numbered(predicted.shape[-1])
  example = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), inputs
  )
  zero, one = (jax.tree.map(lambda _: value, example) for value in (0.0, 1.0))
  return Facts(size, task, size, example, zero, one)

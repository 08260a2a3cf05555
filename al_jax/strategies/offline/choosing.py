"""Runs a strategy once, with arrays in the place of a model."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, keys, pool, tasks
from al_jax.interfaces import (
  Batch,
  Facts,
  ModelOutput,
  Strategy,
  picks_problem,
  result_problem,
)
from al_jax.kernels import Selection, predictive_log_probs

Arrays = Mapping[str, np.ndarray | jax.Array]


class _Keys(NamedTuple):
  """Keys of one stage, as a run has them in its first round."""

  where: jax.Array
  measure: jax.Array
  select: jax.Array


class NotFiniteError(ValueError):
  """A measurement that is not finite; the message is the pool index."""


class LacksError(KeyError):
  """An output of a model that is not there; the message is its name."""


@jax.tree_util.register_pytree_node_class
class _NoExtras(dict):
  """The further outputs of a model: there are none."""

  def __missing__(self, name):
    raise LacksError(name)

  def tree_flatten(self):
    return (), None

  @classmethod
  def tree_unflatten(cls, kept, leaves):
    del kept, leaves
    return cls()


def choose(
  strategy: Strategy,
  arrays: Arrays,
  labeled: np.ndarray,
  k: int,
  seed: int,
  *,
  program: Callable | None = None,
) -> Selection:
  """Chooses queries, after the stages before the strategy.

  Args:
    strategy: the last stage.
    arrays: by the names in `given.FORMS`.
    labeled: bool[N].
    k: number of queries, at most the number of unlabeled examples.
    seed: of every random choice.
    program: `stage` of the strategy, compiled. If None, the strategy's own
      functions are called as a run calls them.

  Returns:
    A Selection on the host, without padding.

  Raises:
    NotFiniteError: a measurement that is not finite.
    LacksError: a measure that reads an output which select does not have.
    ContractError: picks that break the contract of a strategy.
    ValueError: too few candidates, or samples that do not fit.
  """
  return _choose(strategy, arrays, labeled, k, seed, 0, program)


def _choose(strategy, arrays, labeled, k, seed, depth, program=None):
  seen = None
  if strategy.prefilter is not None:
    first, size = strategy.prefilter
    size = min(size, np.count_nonzero(~labeled))
    if size < k:
      raise ValueError(
        f'the prefilter proposes {size} candidates; it must be at least k, {k}.'
      )
    candidates = _choose(first, arrays, labeled, size, seed, depth + 1)
    seen = labeled.copy()
    seen[candidates.indices] = True
  of_stage = _keys(seed, depth)
  if strategy.where is not None:
    facts = _facts(arrays, labeled)
    where = np.asarray(
      strategy.where(of_stage.where, strategy.init(facts), _pool(labeled))
    )
    seen = where if seen is None else seen & where
  inputs = of_stage, arrays, labeled, seen
  if program is None:
    found, bad = stage(strategy, *inputs, k=k)
  else:
    found, bad = program(*inputs, k=k)
  if int(bad) < len(labeled):
    raise NotFiniteError(int(bad))
  seen = np.ones_like(labeled) if seen is None else seen
  return _checked(found, k, ~labeled, seen)


def _checked(found, k, eligible, seen):
  """The picks on the host, without padding."""
  indices = np.asarray(found.indices)
  problem = picks_problem(indices, k, eligible, seen)
  if problem:
    raise errors.ContractError(problem)
  return Selection(
    indices[indices >= 0].astype(np.int64),
    np.asarray(found.values)[: len(indices)][indices >= 0],
  )


def _keys(seed, depth):
  """Keys of a stage, counted from the last."""

  def of(purpose):
    found = keys.for_round(seed, 0, purpose)
    return jax.random.fold_in(found, depth) if depth else found

  return _Keys(of(keys.WHERE), of(keys.MEASURE), of(keys.SELECT))


def stage(
  strategy: Strategy,
  of_stage: _Keys,
  arrays: Arrays,
  labeled: np.ndarray,
  seen: np.ndarray | None,
  *,
  k: int,
) -> tuple[Selection, jax.Array]:
  """Measures all examples at once, and selects.

  Args:
    strategy: without a stage before it.
    of_stage: keys.
    arrays: by the names in `given.FORMS`.
    labeled: bool[N].
    seen: bool[N], the examples that are measured. If None, all.
    k: number of queries.

  Returns:
    The Selection; and the first eligible example with a measurement that is not
    finite, or N.
  """
  state = strategy.init(_facts(arrays, labeled))
  measured, bad = (), len(labeled)
  if strategy.measure is not None:
    measured, bad = _measured(
      strategy.measure, of_stage.measure, arrays, labeled, seen
    )
  seen = jnp.ones(len(labeled), bool) if seen is None else jnp.asarray(seen)
  found = strategy.select(
    of_stage.select, state, measured, seen, _pool(labeled), k
  )
  problem = result_problem(found)
  if problem:
    raise errors.ContractError(problem)
  return found[1], bad


@jax.jit
def _pool(labeled):
  """The labelled set; which label each has is not known."""
  empty = pool.create(len(labeled))
  order = jnp.cumsum(labeled, dtype=jnp.int32) - 1
  return empty.replace(
    acquired_round=jnp.where(labeled, 0, empty.acquired_round),
    acquired_order=jnp.where(labeled, order, empty.acquired_order),
    annotator=jnp.where(labeled, pool.ORACLE, empty.annotator).astype(jnp.int8),
  )


@functools.partial(jax.jit, static_argnums=0)
def _measured(measure, key, arrays, labeled, seen):
  """What is measured of all examples, and the first that is not finite."""
  inputs = {
    name: jnp.moveaxis(array, 1, 0) if name == 'samples' else array
    for name, array in arrays.items()
  }
  size = len(labeled)
  apply = functools.partial(_apply, key, size)
  batch = Batch(jnp.arange(size, dtype=jnp.int32), inputs)
  measured = measure(key, apply, batch)
  if seen is not None:
    # Other rows hold zeros, as in a run.
    measured = jax.tree.map(functools.partial(_only, seen), measured)
  bad = jnp.zeros(size, bool)
  for leaf in jax.tree.leaves(measured):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      rows = jnp.isfinite(leaf).reshape(size, -1)
      bad |= ~labeled & ~jnp.all(rows, axis=1)
  return measured, jnp.where(jnp.any(bad), jnp.argmax(bad), size)


def _only(rows, leaf):
  rows = rows.reshape(-1, *(1,) * (leaf.ndim - 1))
  return jnp.where(rows, leaf, jnp.zeros_like(leaf))


def _apply(measure_key, num_examples, inputs, *, keys=None):
  """What a model said, in the place of a model.

  What was not given is NaN, for whoever reads it without having declared so.
  """
  absent = jnp.full((num_examples, 1), jnp.nan)
  embedding = inputs.get('embeddings', absent)
  samples = inputs.get('samples')
  if samples is not None:
    samples = jnp.moveaxis(samples, 1, 0)
  if keys is not None:
    if samples is None:
      raise ValueError(
        'the strategy draws dropout samples: pass samples [S, N, C].'
      )
    drawn = _drawn(measure_key, samples, keys)
    embedding = jnp.broadcast_to(embedding, (len(drawn), *embedding.shape))
    return ModelOutput(drawn, embedding, _NoExtras())
  logits = inputs.get('logits')
  if logits is None:
    logits = absent if samples is None else predictive_log_probs(samples)
  return ModelOutput(logits, embedding, _NoExtras())


def _drawn(measure_key, samples, keys):
  """The samples that keys stand for: as a measurement splits its own key."""
  if len(keys) == len(samples):
    return samples
  if len(keys) != 1:
    raise ValueError(f'num_samples is {len(keys)}; S is {len(samples)}.')
  # Those who add up one sample after the other.
  known = jax.random.key_data(jax.random.split(measure_key, len(samples)))
  is_it = jnp.all(known == jax.random.key_data(keys), axis=-1)
  sample = samples[jnp.argmax(is_it)][None]
  return jnp.where(jnp.any(is_it), sample, jnp.nan)


def _facts(arrays: Arrays, labeled: Any) -> Facts:
  """What a strategy asks of a task."""
  predicted = arrays.get('logits', arrays.get('samples'))
  task = tasks.Vector(1)
  if predicted is not None:
    task = tasks.numbered(predicted.shape[-1])
  example = {
    name: jax.ShapeDtypeStruct(
      array.shape[:1] + array.shape[2:]
      if name == 'samples'
      else array.shape[1:],
      array.dtype,
    )
    for name, array in arrays.items()
  }
  size = len(labeled)
  zero, one = (dict.fromkeys(example, number) for number in (0.0, 1.0))
  return Facts(size, task, size, example, zero, one)

"""Takes a strategy's measurements, with arrays in place of a model."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import kernels, sources
from al_jax.interfaces import Batch, ModelOutput, PyTree, Strategy
from al_jax.kernels import _host_rows, predictive_log_probs
from al_jax.strategies.offline import given

Arrays = Mapping[str, np.ndarray | jax.Array]


class TooLargeError(MemoryError):
  """Raised if measurements do not fit in memory; carries their bytes."""


class LacksError(KeyError):
  """Raised if an output of a model is missing; carries its name."""


@jax.tree_util.register_pytree_node_class
class _NoExtras(dict):
  """Extras of a model without any; reading one raises LacksError."""

  def __missing__(self, name):
    raise LacksError(name)

  def tree_flatten(self):
    return (), None

  @classmethod
  def tree_unflatten(cls, kept, leaves):
    del kept, leaves
    return cls()


def measured(
  strategy: Strategy,
  key: jax.Array,
  arrays: Arrays,
  labeled: np.ndarray,
  seen: np.ndarray | None,
  *,
  in_parts: bool,
) -> tuple[PyTree, jax.Array | int]:
  """Measures the examples.

  Args:
    strategy: strategy with a measure.
    key: key of the measurement.
    arrays: arrays by the names in `given.FORMS`.
    labeled: bool[N].
    seen: bool[N], measured examples. If None, all.
    in_parts: whether the arrays stay on the host and are read in parts.

  Returns:
    The measurements, a pytree of [N, ...], or a `kernels.Tiled` that computes
    them when read; and the first eligible example with a measurement that is
    not finite, or N.

  Raises:
    TooLargeError: If the measurements do not fit in memory.
  """
  if not in_parts:
    return _at_once(strategy.measure, key, arrays, labeled, seen)
  names = tuple(arrays)
  by_row = [given.by_row(name, array) for name, array in arrays.items()]
  if strategy.takes_tiles:
    # No check here: kernels leave out points that are not finite.
    points = _Points(strategy.measure, names)
    return kernels.Tiled(*by_row, points=points), len(labeled)
  return _in_parts(strategy.measure, key, names, by_row, labeled, seen)


@functools.partial(jax.jit, static_argnums=0)
def _at_once(measure, key, arrays, labeled, seen):
  size = len(labeled)
  inputs = {
    name: jnp.moveaxis(array, 1, 0) if name == 'samples' else array
    for name, array in arrays.items()
  }
  index = jnp.arange(size, dtype=jnp.int32)
  found, bad = _of_rows(measure, key, inputs, index, labeled, seen)
  return found, jnp.where(jnp.any(bad), jnp.argmax(bad), size)


def _in_parts(measure, key, names, arrays, labeled, seen):
  """Reads the arrays once and keeps the measurements on the device."""
  rows = _host_rows.HostRows(*arrays)
  num_examples = rows.num_points
  of_all = functools.partial(_of_inputs, measure, key, names)
  shapes = jax.eval_shape(of_all, rows.forms(num_examples))
  size = sources.num_bytes(shapes)
  if not sources.is_placed_on_device(size):
    raise TooLargeError(size)
  out = jax.tree.map(lambda form: jnp.zeros(form.shape, form.dtype), shapes)
  labeled = jnp.asarray(labeled)
  seen = None if seen is None else jnp.asarray(seen)
  first_bad = num_examples
  for start, part in rows.parts():
    out, bad = _write(out, measure, key, names, part, start, labeled, seen)
    if bad.any():
      first_bad = min(first_bad, start + int(np.argmax(bad)))
  return out, first_bad


def _of_inputs(measure, key, names, rows):
  size = rows[0].shape[0]
  inputs = _as_inputs(names, rows)
  index = jnp.zeros(size, jnp.int32)
  return measure(
    key, functools.partial(_apply, key, size), Batch(index, inputs)
  )


@functools.partial(jax.jit, static_argnums=(1, 3), donate_argnums=0)
def _write(out, measure, key, names, rows, start, labeled, seen):
  """Measures a part; also returns which of its rows are not finite."""
  size = rows[0].shape[0]

  def part_of(array):
    return jax.lax.dynamic_slice_in_dim(array, start, size)

  found, bad = _of_rows(
    measure,
    key,
    _as_inputs(names, rows),
    start + jnp.arange(size, dtype=jnp.int32),
    part_of(labeled),
    None if seen is None else part_of(seen),
  )
  write = functools.partial(
    jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=0
  )
  return jax.tree.map(write, out, found), bad


def _as_inputs(names, rows):
  """Returns the rows by name, in the float32 of arrays on the device."""
  return {
    name: some.astype(jnp.float32)
    for name, some in zip(names, rows, strict=True)
  }


def _of_rows(measure, key, inputs, index, labeled, seen):
  """Measures some rows; also returns which unlabelled ones are not finite."""
  size = len(index)
  apply = functools.partial(_apply, key, size)
  found = measure(key, apply, Batch(index, inputs))
  if seen is not None:
    # Unmeasured rows are zeros, as in a run.
    found = jax.tree.map(functools.partial(_only, seen), found)
  bad = jnp.zeros(size, bool)
  for leaf in jax.tree.leaves(found):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      rows = jnp.isfinite(leaf).reshape(size, -1)
      bad |= ~labeled & ~jnp.all(rows, axis=1)
  return found, bad


@dataclasses.dataclass(frozen=True)
class _Points:
  """Function from rows of the arrays to points; equal for equal measures."""

  measure: Callable
  names: tuple[str, ...]

  def __call__(self, *rows):
    # A strategy that takes tiles uses no key.
    return _of_inputs(self.measure, jax.random.key(0), self.names, rows)


def _only(rows, leaf):
  rows = rows.reshape(-1, *(1,) * (leaf.ndim - 1))
  return jnp.where(rows, leaf, jnp.zeros_like(leaf))


def _apply(measure_key, num_examples, inputs, *, keys=None):
  """Returns the given outputs in place of a model's.

  Outputs that were not given are NaN, so that a measure that reads one without
  declaring the need is noticed.
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
  """Returns the samples of keys that a measure splits from its own key."""
  if len(keys) == len(samples):
    return samples
  if len(keys) != 1:
    raise ValueError(f'num_samples is {len(keys)}; S is {len(samples)}.')
  # A measure that accumulates sample by sample passes one key at a time.
  known = jax.random.key_data(jax.random.split(measure_key, len(samples)))
  is_it = jnp.all(known == jax.random.key_data(keys), axis=-1)
  sample = samples[jnp.argmax(is_it)][None]
  return jnp.where(jnp.any(is_it), sample, jnp.nan)

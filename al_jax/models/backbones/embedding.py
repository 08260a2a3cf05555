"""Replaces pictures by features of a published network, computed once."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from al_jax import errors, inference, sources
from al_jax.data import cache, checks, identity
from al_jax.data.dataset import Dataset, RawData, Split
from al_jax.data.load import finished, load
from al_jax.interfaces import Facts
from al_jax.models.backbones.backbone import backbone
from al_jax.models.weights import hub

# Incremented when the features of the same pictures change.
_FORMAT = 1
# Pictures per line of progress.
_LOGGED = 5000


def read(
  location: str,
  *,
  architecture: str,
  weights: str,
  of: Mapping[str, Any] | None = None,
  size: int | None = None,
  mean: Sequence[float] | None = None,
  std: Sequence[float] | None = None,
  batch_size: int = 64,
) -> RawData:
  """Reads pictures and returns their features, see `embedded`.

  Args:
    location: source of the pictures for `data.load`, for example
      `'tfds:cifar10'`.
    architecture: see `embedded`.
    weights: see `embedded`.
    of: options of that source.
    size: see `embedded`.
    mean: see `embedded`.
    std: see `embedded`.
    batch_size: see `embedded`.

  Returns:
    RawData with inputs float32[N, D].
  """
  errors.check_mapping('of', of or {})
  if location.partition(':')[0] == 'embed':
    raise ValueError(
      f"data source 'embed:{location}': {location!r} gives features, which "
      'cannot be embedded again; name a source of pictures.'
    )
  if 'source' in (of or {}):
    raise ValueError(
      f"of has a source, {of['source']!r}, and 'embed:{location}' names one "
      'already: leave it out.'
    )
  return _features(
    load({'source': location, **(of or {})}),
    {
      'architecture': architecture,
      'weights': weights,
      'size': size,
      'mean': mean,
      'std': std,
    },
    batch_size,
    None,
  )


def embedded(
  dataset: Dataset,
  *,
  architecture: str,
  weights: str,
  size: int | None = None,
  mean: Sequence[float] | None = None,
  std: Sequence[float] | None = None,
  batch_size: int = 64,
  cache_dir: str | None = None,
) -> Dataset:
  """Replaces pictures by their features from a published network.

  The features are computed once and kept on disk. A linear model on them,
  `{'name': 'mlp', 'widths': ()}`, is equivalent to a network with a frozen
  trunk and trains in seconds.

  Args:
    dataset: data set of pictures.
    architecture: see `backbones.backbone`.
    weights: see `backbones.backbone`.
    size: see `backbones.backbone`.
    mean: see `backbones.backbone`.
    std: see `backbones.backbone`.
    batch_size: number of pictures per batch; features do not depend on it.
    cache_dir: folder for the features. If None, the environment variable
      AL_JAX_CACHE_DIR, or else `~/.cache/al_jax`.

  Returns:
    The data set with inputs float32[N, D]. Galleries show the pictures.

  Raises:
    ValueError: If the data set has no pictures, or a value is not allowed.
  """
  options = {
    'architecture': architecture,
    'weights': weights,
    'size': size,
    'mean': mean,
    'std': std,
  }
  raw = _features(dataset, options, batch_size, cache_dir)
  return finished(raw.name, raw, transforms=(), normalize=None)


def check(dataset: Dataset, *, batch_size: int = 64, **options: Any) -> None:
  """Checks the arguments of `embedded` without reading any picture.

  Args:
    dataset: see `embedded`.
    batch_size: see `embedded`.
    **options: see `embedded`.
  """
  _check(dataset, options, batch_size)
  options.pop('cache_dir', None)
  _model(dataset, options)


def _check(dataset, options, batch_size):
  """Rejects data sets without pictures, and networks without weights."""
  errors.check_number('batch_size', batch_size, int, least=1)
  if not dataset.is_image:
    raise ValueError(
      f'{dataset.name} has no pictures that a network could embed: its inputs '
      f'have shape {_shape(dataset)}.'
    )
  if options['weights'] is None:
    raise ValueError(
      'weights is None; features of an untrained network are of no use: set '
      'it to a file.'
    )


def _model(dataset, options):
  """Builds the network for these pictures."""
  example = dataset.train.inputs[0]
  facts = Facts(
    len(dataset.train),
    dataset.task,
    1,
    jax.ShapeDtypeStruct(example.shape, example.dtype),
    dataset.mean,
    dataset.std,
  )
  return backbone(facts, **options)


def _features(dataset, options, batch_size, cache_dir):
  """Returns the features as RawData, from the cache if they are there."""
  _check(dataset, options, batch_size)
  key = {
    'embedding': _FORMAT,
    'pictures': dataset.fingerprint,
    **{name: repr(value) for name, value in options.items()},
    'weights': identity.of_files([hub.locate(options['weights'])]),
  }
  found = cache.open_or_build(
    f'{options["architecture"]}-{dataset.name}',
    key,
    lambda: checks.examine(_computed(dataset, options, batch_size)),
    cache_dir=cache_dir,
  )
  return found.raw._replace(pictures=dataset.train)


def _computed(dataset, options, batch_size):
  """Passes all pictures through the trunk."""
  parts = dataset.as_raw().parts()
  logging.warning(
    '%s: embedding %s pictures; this may take minutes and is done once.',
    options['architecture'],
    f'{sum(map(len, parts.values())):,}',
  )
  model = _model(dataset, options)
  variables = jax.jit(model.init)(jax.random.key(0))
  of_pool = inference.make_pool_map(
    lambda variables, batch: model.apply(variables, batch.inputs).embedding,
    chunk_size=batch_size,
  )

  def features(name, split):
    done = []
    for begin in range(0, len(split), _LOGGED):
      index = np.arange(begin, min(begin + _LOGGED, len(split)))
      rows = sources.gather_on_host(split.inputs, index)
      _check_range(dataset, rows)
      done.append(np.asarray(of_pool(variables, rows)))
      logging.info(
        '%s: %d of %d pictures of the %s split embedded',
        *(options['architecture'], index[-1] + 1, len(split), name),
      )
    return Split(np.concatenate(done), split.targets, split.ids)

  made = {name: features(name, split) for name, split in parts.items()}
  return RawData(
    name=f'{dataset.name} by {options["architecture"]}',
    task=dataset.task,
    is_image=False,
    **made,
  )


def _check_range(dataset, rows):
  """Rejects values outside 0 to 1, which the data set's mean may not reveal."""
  if rows.dtype != np.uint8 and (rows.min() < 0 or rows.max() > 1):
    raise ValueError(
      f'{dataset.name} has pictures with values from {rows.min():.4g} to '
      f'{rows.max():.4g}; they must be uint8, or float32 from 0 to 1.'
    )


def _shape(dataset):
  return jax.tree.map(lambda part: part.shape, dataset.train.inputs)

"""Initial weights of all systems and seeds, learnt without labels."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from al_jax import errors, inference, keys, models
from al_jax.data import named
from al_jax.learners import PRETRAINING
from al_jax.learners.pretraining import Pretraining
from al_jax.loop import pretrained
from al_jax.runner import config as config_lib
from al_jax.runner.config import Experiment


def build(experiment: Experiment) -> Pretraining | None:
  """Builds the pretraining of a config; None if `config.pretraining` is empty.

  Args:
    experiment: experiment, loaded and checked.

  Returns:
    A Pretraining.

  Raises:
    ValueError: a name or an option is unknown, or a value is not allowed.
  """
  options = dict(experiment.config['pretraining'])
  if not options:
    return None
  if 'name' not in options:
    raise ValueError(
      f'pretraining is {options}; it needs a `name`, one of '
      f'{", ".join(PRETRAINING)}.'
    )
  seed = options.pop('seed', 0)
  errors.check_number('pretraining.seed', seed, int, least=0)
  keys.for_run(seed, keys.PRETRAIN)  # raises if a key cannot hold it
  name = options.pop('name')
  errors.check_name('pretraining', name, PRETRAINING)
  errors.check_options(f'pretraining {name!r}', PRETRAINING[name], options)
  network = functools.partial(models.build, **experiment.config['model'])
  built = PRETRAINING[name](
    lambda facts: network(facts=facts), experiment.facts, **options
  )
  if built.features is not None:
    _check_spread(experiment, name)
  return built


def _check_spread(experiment, name):
  """Checks that the features of a pretraining are used."""
  first_set = experiment.protocol.first_set
  if first_set != 'k_center':
    raise ValueError(
      f'pretraining {name!r} makes features that spread a first set, but no '
      f"weights: protocol.first_set must be 'k_center'; it is {first_set!r}."
    )
  if experiment.features is not None:
    raise ValueError(
      f'pretraining {name!r} makes features that spread a first set, but '
      'protocol.first_features has others: leave one of them out.'
    )


def with_weights(
  experiment: Experiment,
  should_stop: Callable[[], bool] = lambda: False,
  on_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> tuple[Experiment, list[dict[str, float]]]:
  """Returns the experiment with its pretraining, trained if it is not cached.

  A pretraining makes weights, or features that spread a first set.

  Args:
    experiment: experiment, loaded and checked.
    should_stop: see `pretrained.obtain`.
    on_epoch: see `pretrained.obtain`.

  Returns:
    The experiment, and a row per epoch; the unchanged experiment and no rows if
    it has no pretraining, or already its result.

  Raises:
    loop.Interrupted: `should_stop` returned True; everything is saved.
  """
  pretraining = None
  if experiment.pretrained is None and experiment.features is None:
    pretraining = build(experiment)
  if pretraining is None:
    return experiment, []
  config, all_sources = experiment.config, config_lib.sources_of(experiment)
  weights, rows = pretrained.obtain(
    pretraining,
    experiment.facts,
    all_sources,
    folder_of(experiment),
    seed=config['pretraining'].get('seed', 0),
    save_every_steps=config['protocol']['save_every_steps'],
    chunk_size=config['chunk_size'],
    should_stop=should_stop,
    on_epoch=on_epoch,
  )
  if pretraining.features is None:
    return experiment.beginning_with(weights), rows
  of_pool = inference.make_pool_map(
    lambda kept, batch: pretraining.features(kept, batch.inputs),
    chunk_size=config['chunk_size'],
  )
  pool = all_sources['pool'].inputs
  found = np.asarray(of_pool(weights, pool))
  return experiment._replace(features=found), rows


def folder_of(experiment: Experiment):
  """Returns the folder of the weights, named after all that they depend on."""
  config, dataset = experiment.config, experiment.dataset
  key = {
    'pretraining': config['pretraining'],
    'model': config['model'],
    'data': dataset.fingerprint,
    'moments': _plain([named.arrays(dataset.mean), named.arrays(dataset.std)]),
  }
  label = f'{config["pretraining"]["name"]}-{dataset.name}'
  return pretrained.folder_of(label, key)


def _plain(moments: list[Mapping[str, Any]]):
  return [
    {name: array.tolist() for name, array in of.items()} for of in moments
  ]

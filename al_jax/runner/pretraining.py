"""Weights that all systems and seeds begin with, learnt without labels."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from al_jax import errors, keys, models
from al_jax.data import named
from al_jax.learners import PRETRAINING
from al_jax.learners.pretraining import Pretraining
from al_jax.loop import pretrained
from al_jax.runner import config as config_lib
from al_jax.runner.config import Experiment


def build(experiment: Experiment) -> Pretraining | None:
  """What `config.pretraining` says; None if it is empty.

  Args:
    experiment: loaded and checked.

  Returns:
    A Pretraining.

  Raises:
    ValueError: an unknown name or option, or a value that is not allowed.
  """
  options = dict(experiment.config['pretraining'])
  if not options:
    return None
  if 'name' not in options:
    raise ValueError(
      f'pretraining is {options}; it needs a `name`, of '
      f'{", ".join(PRETRAINING)}.'
    )
  seed = options.pop('seed', 0)
  errors.check_number('pretraining.seed', seed, int, least=0)
  keys.for_run(seed, keys.PRETRAIN)  # refuses what no key can hold
  name = options.pop('name')
  errors.check_name('pretraining', name, PRETRAINING)
  errors.check_options(f'pretraining {name!r}', PRETRAINING[name], options)
  network = functools.partial(models.build, **experiment.config['model'])
  return PRETRAINING[name](
    lambda facts: network(facts=facts), experiment.facts, **options
  )


def with_weights(
  experiment: Experiment,
  should_stop: Callable[[], bool] = lambda: False,
  on_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> tuple[Experiment, list[dict[str, float]]]:
  """The experiment with its pretrained weights, made now if they are not kept.

  Args:
    experiment: loaded and checked.
    should_stop: see `pretrained.obtain`.
    on_epoch: likewise.

  Returns:
    The experiment, and a row per epoch; as it was, and none, if it asks for no
    pretraining or has its weights.

  Raises:
    loop.Interrupted: on request; everything is saved.
  """
  pretraining = None
  if experiment.pretrained is None:
    pretraining = build(experiment)
  if pretraining is None:
    return experiment, []
  config = experiment.config
  weights, rows = pretrained.obtain(
    pretraining,
    experiment.facts,
    config_lib.sources_of(experiment),
    folder_of(experiment),
    seed=config['pretraining'].get('seed', 0),
    save_every_steps=config['protocol']['save_every_steps'],
    chunk_size=config['chunk_size'],
    should_stop=should_stop,
    on_epoch=on_epoch,
  )
  return experiment.beginning_with(weights), rows


def folder_of(experiment: Experiment):
  """Where the weights are kept: a name of all that they depend on."""
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

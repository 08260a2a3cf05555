"""Small finished runs, for the tests of exported models."""

from al_jax.runner import cells, defaults, runs
from al_jax.storage import manifest

TINY = {
  'protocol': {'rounds': 2, 'first_size': 10, 'labels_per_round': 10},
  'learner': {'stop': {'epochs': 2}, 'batch_size': 8},
}


def config_of(data, systems, model, **changes):
  """A config as plain values: a few labels, a few steps."""
  config = defaults.get_config()
  for field, value in {**TINY, **changes}.items():
    if isinstance(value, dict):
      config[field].update(value)
    else:
      config[field] = value
  config.data, config.systems, config.model = data, systems, model
  config = manifest.plain_config(config.to_dict())
  return config


def finished(folder, data, systems, model, **changes):
  """Runs systems until the run is over; returns the folder."""
  config = config_of(data, systems, model, **changes)
  how = cells.How(quiet=True)
  assert runs.run(config, runs.cells_of(config), folder, how) == 0
  return folder

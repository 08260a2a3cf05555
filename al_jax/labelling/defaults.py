"""What a labelling project sets; the config of `al-jax label ask`."""

import pathlib

from ml_collections import ConfigDict

from al_jax import systems
from al_jax.labelling import account, history
from al_jax.runner import defaults

# With few labels an epoch is one step, and 100 epochs teach little.
_STEPS = 1000


def get_config(folder: str = '') -> ConfigDict:
  """The config of a project, or what one begins with.

  Args:
    folder: of the project; it may not have begun.

  Returns:
    Margin sampling by a network for the kind of data, trained for 1,000 steps;
    or what the project was asked with last.
  """
  config = defaults.get_config()
  del config.grid
  config.data = ConfigDict({'source': '', 'transforms': ()})
  # The baseline is for comparisons.
  config.systems = systems.DEFAULT[1:]
  # Empty: `project.usual_model`.
  config.model = ConfigDict()
  config.learner.stop.epochs = config.learner.stop.steps = _STEPS
  events = history.read(pathlib.Path(folder)) if folder else []
  if events:
    before = account.of(pathlib.Path(folder), events)
    kept = {**before.config, 'data': before.begun['pool']}
    config = ConfigDict(_with_tuples(kept))
  return config


def _with_tuples(value):
  """Lists of JSON as the tuples that flags read."""
  if isinstance(value, dict):
    return {name: _with_tuples(part) for name, part in value.items()}
  if isinstance(value, list):
    return tuple(_with_tuples(part) for part in value)
  return value

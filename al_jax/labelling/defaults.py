"""Default config of a labelling project, used by `al-jax label ask`."""

import pathlib

from ml_collections import ConfigDict

from al_jax import systems
from al_jax.labelling import account, history
from al_jax.runner import defaults

# The usual limit of 100 epochs is too short: with few labels an epoch is one
# step.
_STEPS = 1000


def get_config(folder: str = '') -> ConfigDict:
  """Returns the config of a project, or the default if it has not begun.

  Args:
    folder: Folder of the project, or '' for the default.

  Returns:
    The config of the last batch. By default, margin sampling with a network for
    the kind of data, trained for 1,000 steps.
  """
  config = defaults.get_config()
  del config.grid
  config.data = ConfigDict({'source': '', 'transforms': ()})
  # Without the baseline, which only a comparison needs.
  config.systems = systems.DEFAULT[1:]
  # Empty: `asking.begin` chooses a network for the data.
  config.model = ConfigDict()
  config.learner.stop.epochs = config.learner.stop.steps = _STEPS
  events = history.read(pathlib.Path(folder)) if folder else []
  if events:
    before = account.of(pathlib.Path(folder), events)
    kept = {**before.config, 'data': before.begun['pool']}
    config = ConfigDict(_with_tuples(kept))
  return config


def _with_tuples(value):
  """Converts lists, as JSON has them, to tuples, which flags can parse."""
  if isinstance(value, dict):
    return {name: _with_tuples(part) for name, part in value.items()}
  if isinstance(value, list):
    return tuple(_with_tuples(part) for part in value)
  return value

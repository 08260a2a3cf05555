"""What `al-jax predict` predicts; its config."""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
  """No data; chunks as the run of the model had them."""
  config = ConfigDict()
  # As for `al-jax run`: a source, its options, and transforms.
  config.data = ConfigDict({'source': '', 'transforms': ()})
  # Rows per forward pass. None: as in the run.
  config.chunk_size = config_dict.placeholder(int)
  return config

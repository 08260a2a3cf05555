"""Default config of `al-jax predict`."""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
  """Returns a config without a data source."""
  config = ConfigDict()
  # As for `al-jax run`: a source, its options, and transforms.
  config.data = ConfigDict({'source': '', 'transforms': ()})
  # Rows per forward pass. If None, as in the run.
  config.chunk_size = config_dict.placeholder(int)
  return config

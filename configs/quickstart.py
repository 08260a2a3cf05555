"""Random, margin and BADGE on scikit-learn's digits: the config to run first.

python -m experiments.run --config=configs/quickstart.py \
        --workdir=runs/quickstart
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults


def get_config() -> ConfigDict:
  """Returns a config of five seeds and ten rounds, 20 to 200 labels."""
  config = defaults.get_config()
  config.systems = ('random', 'margin', 'badge')
  config.seeds = 5
  config.model.widths = (128,)
  config.learner.batch_size = 32
  config.learner.stop.epochs = 200
  config.learner.stop.train_accuracy = 0.99
  config.protocol.rounds = 10
  config.protocol.first_size = 20
  config.protocol.labels_per_round = 20
  return config

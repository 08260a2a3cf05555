"""MNIST with an MLP, 100 to 1,000 labels.

python -m experiments.run --config=configs/mnist.py \
        --workdir=runs/mnist
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults


def get_config(arg: str = '') -> ConfigDict:
  """Returns a config of margin and random on the whole pool of 60,000.

  Args:
    arg: `''`, or `'local'` for a pool of 5,000 and 3 rounds, for a quick look.
  """
  if arg not in ('', 'local'):
    raise ValueError(f"config argument is {arg!r}; it must be '' or 'local'.")
  config = defaults.get_config()
  config.data = ConfigDict({'source': 'tfds:mnist', 'transforms': ()})
  config.systems = ('random', 'margin')
  config.seeds = 5
  config.model.widths = (256, 256)
  config.learner.stop.epochs = 100
  config.learner.stop.train_accuracy = 0.99
  if arg == 'local':
    config.data.transforms = ({'name': 'cap', 'train': 5000, 'test': 1000},)
    config.protocol.rounds = 3
    config.seeds = 2
  return config

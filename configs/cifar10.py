"""CIFAR-10 with the thin ResNet-18 of BADGE's code, on part of the pool.

python -m experiments.run --config=configs/cifar10.py \
        --workdir=runs/cifar10
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults


def get_config(arg: str = '') -> ConfigDict:
  """Returns a config of three rounds on a pool of 10,000 pictures.

  Args:
    arg: `''`, or `'local'` for a pool of 1,000, for a quick look.
  """
  if arg not in ('', 'local'):
    raise ValueError(f"config argument is {arg!r}; it must be '' or 'local'.")
  config = defaults.get_config()
  train, test = (10_000, 10_000) if arg == '' else (1000, 500)
  config.data = ConfigDict(
    {
      'source': 'tfds:cifar10',
      'transforms': ({'name': 'cap', 'train': train, 'test': test},),
    }
  )
  config.model = ConfigDict({'name': 'resnet18', 'width': 16})
  config.learner.batch_size = 128
  config.learner.augment = ('flip', {'name': 'crop', 'pixels': 4})
  config.learner.stop.epochs = 30 if arg == '' else 2
  config.protocol.rounds = 3
  config.protocol.first_size = 500 if arg == '' else 100
  config.protocol.labels_per_round = 500 if arg == '' else 100
  return config

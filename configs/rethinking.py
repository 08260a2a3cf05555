"""Compares the gain from training on unlabelled data with that of strategies.

python -m experiments.run --config=configs/rethinking.py:cifar10_100 \
        --workdir=runs/rethinking/cifar10
python -m experiments.run --config=configs/rethinking.py:mnist,local \
        --workdir=runs/rethinking/mnist_local

Simeoni et al. 2020, "Rethinking Deep Active Learning". Every strategy runs
alone and with label propagation, and CEAL runs too, each from random weights
and from those of DeepCluster. `learners` is a grid of learners and strategies
at two budgets.
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults

SYSTEMS = (
  'random',
  'entropy',
  'core_set',
  'jlp',
  'ceal',
  'propagation_random',
  'propagation_entropy',
  'propagation_core_set',
  'propagation_jlp',
)
LEARNERS = (
  'random',
  'badge',
  'bald',
  'ceal_random',
  'ceal',
  'joint_random',
  'joint_bald',
  'propagation_random',
  'propagation_badge',
)
# Source, labels of the first set and of each round, and augmentation. Digits
# are not flipped, because a mirrored digit is not the same digit.
DATA = {
  'mnist': ('tfds:mnist', 10, ('shift',)),
  'cifar10_100': ('tfds:cifar10', 100, ('shift', 'flip')),
  'cifar10_1000': ('tfds:cifar10', 1000, ('shift', 'flip')),
  'svhn': ('tfds:svhn_cropped', 100, ('shift',)),
  'cifar100': ('tfds:cifar100', 1000, ('shift', 'flip')),
}
_SGD = {
  'name': 'sgd',
  'momentum': 0.9,
  'nesterov': True,
  'weight_decay': 2e-4,
}


def get_config(arg: str = 'mnist') -> ConfigDict:
  """Returns the published protocol, or one for two cores.

  Args:
    arg: `'mnist'`, `'cifar10_100'`, `'cifar10_1000'`, `'svhn'` or `'cifar100'`:
      data and labels a round, alone or, for two cores, with `',local'`; or
      `'learners'`.

  Returns:
    A config with the 13-layer network, 200 epochs of SGD at 0.2 with a cosine
    schedule, a balanced first set as large as a round, 5 rounds and 5 seeds.
  """
  if arg == 'learners':
    return _learners()
  name, _, variant = arg.partition(',')
  if name not in DATA or variant not in ('', 'local'):
    raise ValueError(
      f'config argument is {arg!r}; it must be one of {", ".join(DATA)}, alone '
      "or with ',local'; or learners."
    )
  source, labels, augment = DATA[name]
  config = defaults.get_config()
  config.systems = SYSTEMS
  config.seeds = 5
  config.data = ConfigDict({'source': source, 'transforms': ()})
  config.model = ConfigDict({'name': 'cnn13'})
  config.learner.batch_size = 32
  config.learner.augment = augment
  config.learner.optimizer.update(
    {**_SGD, 'learning_rate': 0.2, 'schedule': 'cosine'}
  )
  config.learner.stop.epochs = 200
  config.learner.label_propagation = ConfigDict({'batch_size': 128})
  # As in the paper, CEAL pseudo-labels examples whose normalised entropy is
  # below 0.1, a threshold that falls each round.
  config.learner.ceal = ConfigDict(
    {
      'threshold': 0.1,
      'decay': 3.3e-4,
      'schedule': 'linear',
      'normalized': True,
    }
  )
  config.protocol.first_set = 'balanced'
  config.protocol.first_size = labels
  config.protocol.labels_per_round = labels
  config.protocol.rounds = 5
  pretraining = {
    'name': 'deep_cluster',
    'optimizer': {**_SGD, 'learning_rate': 0.02},
    'stop': {'epochs': 400},
    'augment': augment,
  }
  if variant == 'local':
    _shrink(config, pretraining)
  config.grid = {
    'start': {'fresh': {}, 'pretrained': {'pretraining': pretraining}}
  }
  return config


def _shrink(config, pretraining):
  """Uses a pool of 5,000, and an MLP instead of the 13-layer network.

  Like that network, the MLP has batch normalisation and an embedding of length
  1, which the methods need. Pictures are not augmented: an MLP has no notion of
  neighbouring pixels, so a shifted picture looks like a new one.
  """
  config.data.transforms = ({'name': 'cap', 'train': 5000, 'test': 2000},)
  config.model = ConfigDict(
    {
      'name': 'mlp',
      'widths': (256, 128),
      'norm': 'batch',
      'unit_embedding': True,
    }
  )
  config.learner.augment = ()
  # Shortens only the learners whose epochs cover the pool: an epoch of ten
  # labels is one step.
  config.learner.label_propagation.stop = {'epochs': 40}
  pretraining.update({'stop': {'epochs': 40}, 'augment': ()})
  labels = min(config.protocol.labels_per_round, 500)
  config.protocol.labels_per_round = labels
  config.protocol.first_size = labels


def _learners():
  """Returns a study of 5,000 digits, an MLP, and 10 or 500 labels a round."""
  config = defaults.get_config()
  config.systems = LEARNERS
  config.seeds = 5
  config.data = ConfigDict(
    {
      'source': 'tfds:mnist',
      'transforms': ({'name': 'cap', 'train': 5000},),
    }
  )
  config.model = ConfigDict(
    {'name': 'mlp', 'widths': (256, 128), 'dropout': 0.2}
  )
  config.strategy = ConfigDict({'num_samples': 50})
  # An epoch of ten labels is one step; an epoch of label propagation is many.
  config.learner.stop.epochs = 200
  config.learner.label_propagation = ConfigDict(
    {'batch_size': 128, 'stop': {'epochs': 40}}
  )
  config.protocol.first_set = 'balanced'
  config.protocol.rounds = 5
  config.grid = {
    'budget': {
      name: {'protocol': {'first_size': labels, 'labels_per_round': labels}}
      for name, labels in (('small', 10), ('large', 500))
    }
  }
  return config

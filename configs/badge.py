"""The comparison of BADGE (Ash et al. 2020, section 4): configs by name.

python -m experiments.run --config=configs/badge.py:letter_mlp_100 \
        --workdir=runs/badge/letter
python -m experiments.run --config=configs/badge.py:study \
        --workdir=runs/badge_study

The argument is DATA_MODEL_B: a data set, a model, and the number of labels per
round. The suffix `,local` makes it small enough for two cores; `,authors` gives
an MLP the initial weights and the head of the authors' code. `study`, `models`,
`hard` and `small_pool` are the grids that docs/badge.md reports.
"""

import os

from ml_collections import ConfigDict

from al_jax.runner import defaults

SYSTEMS = (
  'random',
  'least_confidence',
  'margin',
  'entropy',
  'core_set',
  'albl',
  'weighted_k_means',
  'badge',
)

# Batch sizes of the authors' code: 64 for MNIST and SVHN, 128 for the others.
_TABLE = {'batch_size': 128, 'normalize': 'none', 'models': ('mlp',)}
_IMAGES = ('mlp', 'resnet', 'vgg')
_MNIST = {'source': 'tfds:mnist', 'batch_size': 64, 'models': ('mlp',)}
DATA = {
  'mnist': _MNIST,
  # From 5,923 zeros down to 59 nines.
  'imbalanced': {
    **_MNIST,
    'transforms': ({'name': 'imbalance', 'ratio': 100.0},),
  },
  # Ten noisy copies of each of 6,000 digits.
  'redundant': {
    **_MNIST,
    'transforms': (
      {'name': 'cap', 'train': 6000},
      {'name': 'redundancy', 'copies': 10, 'noise': 0.1},
    ),
  },
  'cifar10': {
    'source': 'tfds:cifar10',
    'batch_size': 128,
    'models': _IMAGES,
  },
  'svhn': {
    'source': 'tfds:svhn_cropped',
    'batch_size': 64,
    'models': _IMAGES,
  },
  'letter': {'source': 'file:letter/letter.npz', **_TABLE},
  'satellite': {'source': 'file:satellite/satellite.npz', **_TABLE},
  'shuttle': {'source': 'file:shuttle/shuttle.npz', **_TABLE},
  'openml6': {'source': 'openml:6', **_TABLE},
  'openml155': {'source': 'openml:155', **_TABLE},
  'openml156': {'source': 'openml:156', **_TABLE},
  'openml184': {'source': 'openml:184', **_TABLE},
}
MODELS = {
  'mlp': {'name': 'mlp', 'widths': (256,)},
  'resnet': {'name': 'resnet18', 'width': 16},
  'vgg': {'name': 'vgg16'},
  'deep_mlp': {'name': 'mlp', 'widths': (256, 256, 256)},
}
# Options in which the authors' MLP differs.
AUTHORS = {'init': 'torch', 'head_bias': False}
# Rounds by labels per round: up to about 2,000, 10,000 and 40,000 labels.
ROUNDS = {100: 20, 1000: 11, 10000: 5}


def arguments() -> list[str]:
  """Lists every valid DATA_MODEL_B."""
  return [
    f'{data}_{model}_{batch}'
    for data, facts in DATA.items()
    for model in facts['models']
    for batch in ROUNDS
  ]


def get_config(arg: str = 'letter_mlp_100') -> ConfigDict:
  """Returns the protocol of the paper, with a cap on the epochs.

  Args:
    arg: DATA_MODEL_B, optionally with `,local`, or with `,authors` for an MLP;
      or the name of a grid.

  Returns:
    A config: 100 uniform first labels, Adam until a training accuracy of 99%,
    the same fresh weights each round, gradients clipped to 0.1 by value, 5
    seeds.
  """
  if arg in _GRIDS:
    return _GRIDS[arg]()
  name, _, variant = arg.partition(',')
  variants = ('', 'local', *(['authors'] if '_mlp_' in name else []))
  if name not in arguments() or variant not in variants:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of '
      f"{', '.join(arguments())}, alone or with ',local' (an MLP: or with "
      f"',authors'); or one of {', '.join(_GRIDS)}."
    )
  data, model, batch = name.split('_')
  config = _common()
  _set(config, data, model, int(batch))
  if variant == 'authors':
    config.model.update(AUTHORS)
  if variant == 'local':
    cap = {'name': 'cap', 'train': 2000, 'test': 500}
    config.data.transforms = (*config.data.transforms, cap)
    config.protocol.labels_per_round = min(int(batch), 500)
    config.protocol.rounds = 3
    config.learner.stop.epochs = 20
    config.seeds = 2
  return config


def _common():
  config = defaults.get_config()
  config.systems = SYSTEMS
  config.seeds = 5
  config.learner.optimizer.learning_rate = 1e-3
  config.learner.optimizer.clip_value = 0.1
  config.learner.stop.epochs = 200
  config.learner.stop.train_accuracy = 0.99
  config.describe.batches = True
  config.full_labels = True
  return config


def _set(config, data, model, batch):
  config.data = _data(data)
  config.model = ConfigDict(MODELS[model])
  config.learner.batch_size = DATA[data]['batch_size']
  config.protocol.labels_per_round = batch
  config.protocol.rounds = ROUNDS[batch]


def _data(name):
  facts = DATA[name]
  source = facts['source']
  if source.startswith('file:'):
    folder = os.environ.get('AL_JAX_FILES_DIR', '.')
    source = 'file:' + os.path.join(folder, source.removeprefix('file:'))
  data = {'source': source, 'transforms': facts.get('transforms', ())}
  if 'normalize' in facts:
    data['normalize'] = facts['normalize']
  return ConfigDict(data)


def _study():
  """Returns the study of an MLP on Letter and MNIST, with three batch sizes.

  The largest is for MNIST only.
  """
  config = _common()
  config.model = ConfigDict(MODELS['mlp'])
  largest = _batches(10000)
  # For 10,000 clusters of 60,000 points, 100 iterations take minutes a round.
  largest['10000']['strategy'] = {'num_iters': 10}
  config.grid = (
    {'batch': _batches(100, 1000), 'data': _data_sets('letter', 'mnist')},
    {'batch': largest, 'data': _data_sets('mnist')},
  )
  return config


def _models():
  """Returns a grid of Letter and MNIST with one and three hidden layers."""
  config = _common()
  config.model = ConfigDict(MODELS['mlp'])
  config.full_labels = False
  config.grid = (
    {
      'batch': _batches(100),
      'data': _data_sets('letter', 'mnist'),
      'model': {
        name: {'model': {'widths': MODELS[name]['widths']}}
        for name in ('mlp', 'deep_mlp')
      },
    },
  )
  return config


def _hard():
  """Returns a grid of imbalanced and redundant MNIST, Shuttle, and CIFAR-10."""
  config = _common()
  config.model = ConfigDict(MODELS['mlp'])
  # Skips the reference of all labels: 50,000 pictures to 99% take an hour.
  cifar10 = {'protocol': {'labels_per_round': 1000, 'rounds': 6}}
  cifar10['full_labels'] = False
  config.grid = (
    {'batch': _batches(100), 'data': _data_sets('imbalanced', 'redundant')},
    {'batch': _batches(1000), 'data': _data_sets('shuttle')},
    {'batch': {'1000': cifar10}, 'data': _data_sets('cifar10')},
  )
  return config


def _small_pool():
  """Returns a grid on 2,000 digits, 100 to 300 labels: 1, 10 or 100 a round."""
  config = _common()
  config.systems = ('random', 'margin', 'weighted_k_means', 'badge')
  config.model = ConfigDict(MODELS['mlp'])
  config.data = _data('mnist')
  config.data.transforms = ({'name': 'cap', 'train': 2000},)
  config.learner.batch_size = DATA['mnist']['batch_size']
  config.describe.batches = False
  config.grid = ConfigDict(
    {
      'batch': {
        str(batch): {
          'protocol': {'labels_per_round': batch, 'rounds': 200 // batch + 1}
        }
        for batch in (1, 10, 100)
      }
    }
  )
  return config


_GRIDS = {
  'study': _study,
  'models': _models,
  'hard': _hard,
  'small_pool': _small_pool,
}


def _batches(*sizes):
  """Makes the axis of labels per round."""
  return {
    str(size): {'protocol': {'labels_per_round': size, 'rounds': ROUNDS[size]}}
    for size in sizes
  }


def _data_sets(*names):
  """Makes the axis of data sets."""
  return {
    name: {
      'data': _data(name).to_dict(),
      'learner': {'batch_size': DATA[name]['batch_size']},
    }
    for name in names
  }

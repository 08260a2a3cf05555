"""Learning loss: a module predicts the losses of unlabelled examples.

python -m experiments.run --config=configs/learning_loss.py:cifar10 \
        --workdir=runs/learning_loss/cifar10
python -m experiments.run --config=configs/learning_loss.py:mnist \
        --workdir=runs/learning_loss/mnist

Yoo and Kweon 2019, "Learning Loss for Active Learning". `cifar10` is their
protocol; the others are for two cores: `cifar10,local`, `mnist`, `keypoints`
(three points of a digit on a canvas) and `detect` (its class and its box).
`ablation` varies the module on MNIST. `cheat` runs, on MNIST, a strategy that
sees the hidden labels, which no method may. The suffix `,weight` of an argument
for two cores compares weights of the module's loss on a validation split.
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults

CHEAT = 'supervised+experiments.diagnostics.cheating.true_loss_that_cheats'
_OF_CLASSES = ('random', 'entropy', 'core_set', 'learning_loss')
_OF_NUMBERS = ('random', 'variance', 'core_set', 'learning_loss')
# Weights of the module's loss. The studies use the largest that costs less than
# a point of the headline metric on a validation split: 1, the published one,
# for `mnist` and `detect`, and 0.1 for `keypoints` and `cifar10,local`.
_WEIGHTS = (0.01, 0.1, 1.0)
_MODULES = {
  'published': {},
  'one_map': {'maps': ('dense',)},
  'deeper': {'depth': 3},
  'wider': {'width': 512},
  'squared': {'module_loss': 'squared'},
  'never_detached': {'detach_at': None},
  'always_detached': {'detach_at': 0.0},
  'weight_0.1': {'loss_weight': 0.1},
}
ARGUMENTS = (
  'cifar10',
  'cifar10,local',
  'mnist',
  'keypoints',
  'detect',
  'ablation',
  'cheat',
  'cifar10,local,weight',
  'mnist,weight',
  'keypoints,weight',
  'detect,weight',
)


def get_config(arg: str = 'cifar10') -> ConfigDict:
  """Returns the config of a study.

  Args:
    arg: one of `ARGUMENTS`.

  Returns:
    The config. That of `'cifar10'` is as published: ResNet-18, 200 epochs of
    SGD, 1,000 first labels and 1,000 a round to 10,000, chosen in a random
    subset of 10,000. Weights are new each round, which is fair to all systems;
    `--config.learner.weights=warm` continues with those of the previous round,
    as the paper's reproduction does.
  """
  if arg not in ARGUMENTS:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of: {"; ".join(ARGUMENTS)}.'
    )
  config = defaults.get_config()
  config.seeds = 5
  config.systems = _OF_CLASSES
  config.subset_size = 10_000
  name, *variants = arg.split(',')
  if name == 'cifar10':
    _cifar10(config)
    if 'local' in variants:
      _shrink(config)
  elif name in ('keypoints', 'detect'):
    _canvases(config, name)
  else:
    _mnist(config, name)
  if 'weight' in variants:
    _choose_weight(config)
  return config


def _cifar10(config):
  config.data = ConfigDict({'source': 'tfds:cifar10', 'transforms': ()})
  config.model = ConfigDict({'name': 'resnet18'})
  config.learner.batch_size = 128
  config.learner.augment = ('flip', {'name': 'crop', 'pixels': 4})
  config.learner.optimizer.update(
    {
      'name': 'sgd',
      'learning_rate': 0.1,
      'momentum': 0.9,
      'weight_decay': 5e-4,
      'schedule': 'milestones',
      'milestones': (0.8,),
    }
  )
  config.learner.stop.epochs = 200
  config.protocol.first_size = 1000
  config.protocol.labels_per_round = 1000
  config.protocol.rounds = 10


def _shrink(config):
  """Shrinks the study to three rounds and 40 epochs of a small network."""
  transforms = ({'name': 'cap', 'train': 20_000, 'test': 5000},)
  config.data.transforms = transforms
  config.model = ConfigDict(
    {'name': 'cnn', 'channels': (16, 32, 64), 'norm': 'batch'}
  )
  config.learner.batch_size = 64
  config.learner.stop.epochs = 40
  config.learner.learning_loss = ConfigDict({'loss_weight': 0.1})
  config.protocol.rounds = 3


def _mnist(config, name):
  """Sets up MNIST: 200 first labels, 200 a round to 1,000."""
  config.data = ConfigDict({'source': 'tfds:mnist', 'transforms': ()})
  config.model = ConfigDict(
    {'name': 'cnn', 'channels': (16, 32), 'norm': 'batch'}
  )
  config.learner.batch_size = 32
  config.learner.stop.epochs = 100
  config.protocol.first_size = 200
  config.protocol.labels_per_round = 200
  config.protocol.rounds = 5
  if name == 'mnist':
    config.systems = (*_OF_CLASSES, 'learning_loss_random')
  if name == 'ablation':
    config.systems = ('learning_loss',)
    config.protocol.rounds = 3
    config.grid = {
      'module': {
        name: {'learner': {'learning_loss': options}} if options else {}
        for name, options in _MODULES.items()
      }
    }
  if name == 'cheat':
    config.systems = ('random', CHEAT)
    config.strategy = ConfigDict({'data': config.data.to_dict()})


def _canvases(config, name):
  """Sets up canvases: 500 first labels, 500 a round to 1,500."""
  cap = {'name': 'cap', 'train': 10_000, 'test': 5000}
  config.data = ConfigDict({'source': 'keypoints:mnist', 'transforms': (cap,)})
  if name == 'keypoints':
    config.learner.learning_loss = ConfigDict({'loss_weight': 0.1})
  if name == 'detect':
    # The box weight makes the squared errors of boxes count as much as classes.
    config.data.update(
      {'source': 'detect:mnist', 'clutter': 1, 'box_weight': 30.0}
    )
  config.systems = _OF_NUMBERS
  config.strategy = ConfigDict({'num_samples': 20})
  config.model = ConfigDict(
    {
      'name': 'cnn',
      'channels': (8, 16, 32, 64),
      'summary': 'positions',
      'dropout': 0.25,
      'norm': 'batch',
    }
  )
  config.learner.optimizer.learning_rate = 3e-3
  config.learner.stop.epochs = 40
  config.protocol.first_size = 500
  config.protocol.labels_per_round = 500
  config.protocol.rounds = 3


def _choose_weight(config):
  """Sets up one round with the labels of the last one, and three weights."""
  held_out = {'name': 'validation_split', 'size': 2000}
  config.data.transforms = (*config.data.transforms, held_out)
  config.systems = ('learning_loss_random',)
  config.subset_size = None
  config.seeds = 2
  protocol = config.protocol
  protocol.first_size += protocol.labels_per_round * (protocol.rounds - 1)
  protocol.rounds = 1
  config.grid = {
    'weight': {
      str(weight): {'learner': {'learning_loss': {'loss_weight': weight}}}
      for weight in _WEIGHTS
    },
  }

"""BGADL: a classifier that also trains on generated variants of its queries.

python -m experiments.run --config=configs/bgadl.py:mnist \
        --workdir=runs/bgadl/mnist
python -m experiments.run --config=configs/bgadl.py:mnist,local \
        --workdir=runs/bgadl/mnist_local

Tran et al. 2019, "Bayesian Generative Active Deep Learning". `mnist` has the
networks and training lengths of the authors' code, `cifar10` the same with
ResNet-18. The suffix `,local` shrinks data, networks and training for two
cores, with LeNet and with a small ResNet. `mnist,varied` tries two changes with
LeNet: generated partners that are made anew in each step, and a first set of
1,000 labels.
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults

_DATA = ('mnist', 'cifar10')
ARGUMENTS = (*_DATA, 'mnist,local', 'cifar10,local', 'mnist,varied')
_PUBLISHED = {'channels': (64, 128), 'widths': (1024,), 'latent': 100}
_SMALL = {'channels': (16, 32), 'widths': (128,), 'latent': 16}


def get_config(arg: str = 'mnist') -> ConfigDict:
  """Returns the config of a study.

  Args:
    arg: one of `ARGUMENTS`.

  Returns:
    The config. That of `'mnist'` is as in the authors' code: 100 first labels
    and 100 a round, chosen among 2,000 examples, and 50 epochs with Adadelta.
  """
  if arg not in ARGUMENTS:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of: {"; ".join(ARGUMENTS)}.'
    )
  name, _, variant = arg.partition(',')
  config = defaults.get_config()
  config.systems = ('random', 'bald', 'bda', 'bgadl')
  config.strategy.num_samples = 20
  config.seeds = 3
  if variant:
    _local(config, name)
  else:
    _published(config, name)
  if variant == 'varied':
    _vary(config)
  return config


def _published(config, name):
  """Sets up the lengths of the authors' code; CIFAR-10 gets a larger set."""
  is_mnist = name == 'mnist'
  config.data = ConfigDict({'source': f'tfds:{name}', 'transforms': ()})
  config.model = ConfigDict({'name': 'lenet' if is_mnist else 'resnet18'})
  config.model.dropout = 0.5
  config.learner.batch_size = 100
  config.learner.stop.epochs = 50
  # The rate is halved every 5 epochs, that of the generative networks every 8.
  halved = {'name': 'adadelta', 'learning_rate': 1.0, 'factor': 0.5}
  halved['schedule'] = 'milestones'
  config.learner.optimizer.update(
    {
      **halved,
      'milestones': tuple(epoch / 50 for epoch in range(5, 50, 5)),
      'weight_decay': 3.5,
      'decay_per_example': True,
    }
  )
  config.learner.bgadl = ConfigDict(
    {
      'makers': _PUBLISHED,
      'makers_optimizer': {
        **halved,
        'milestones': tuple(epoch / 50 for epoch in range(8, 50, 8)),
      },
    }
  )
  config.subset_size = 2000
  config.protocol.first_set = 'balanced'
  config.protocol.first_size = 100 if is_mnist else 5000
  config.protocol.labels_per_round = 100
  config.protocol.rounds = 100 if is_mnist else 150


def _local(config, name):
  """Sets up part of the pool, and networks and rounds for two cores."""
  is_mnist = name == 'mnist'
  cap = {'name': 'cap', 'train': 10_000, 'test': 5000}
  config.data = ConfigDict({'source': f'tfds:{name}', 'transforms': (cap,)})
  config.model = ConfigDict({'name': 'lenet'})
  config.learner.batch_size = 32 if is_mnist else 64
  config.learner.stop.epochs = 50
  config.learner.bgadl = ConfigDict(
    {'makers': _SMALL, 'makers_optimizer': {'learning_rate': 1e-3}}
  )
  config.protocol.first_size = 200 if is_mnist else 1000
  config.protocol.labels_per_round = 200 if is_mnist else 500
  config.protocol.rounds = 5 if is_mnist else 4
  config.grid = {'model': {'lenet': {}, 'resnet': _small_resnet(is_mnist)}}


def _small_resnet(is_mnist):
  """Returns a thin ResNet, fewer rounds: a step costs four times LeNet's."""
  shorter = (
    {'protocol': {'labels_per_round': 400, 'rounds': 3}}
    if is_mnist
    else {'protocol': {'rounds': 3}, 'learner': {'stop': {'epochs': 30}}}
  )
  resnet = {'name': 'resnet18', 'width': 8, 'dropout': 0.5}
  return {'model': resnet, 'subset_size': 2000, **shorter}


def _vary(config):
  """Sets up two changes that might lift BGADL above BALD alone."""
  config.systems = ('bald', 'bgadl')
  more = {'first_size': 1000, 'labels_per_round': 500, 'rounds': 3}
  config.grid = {
    'varied': {
      'online': {'learner': {'bgadl': {'partners': 'online'}}},
      'larger_start': {'protocol': more},
    }
  }

"""Synthesised queries of three proposers, compared with queries from the pool.

python -m experiments.synthesize --config=configs/synthesis.py:mnist,local \
        --workdir=runs/synthesis/mnist

Angluin 1988, "Queries and Concept Learning"; Zhu and Bento 2017, "Generative
Adversarial Active Learning"; Tran et al. 2019, "Bayesian Generative Active Deep
Learning". BGADL's networks synthesise the queries, and a classifier trained on
all labels of the pool answers them. `mnist,local` starts from 200 and from
1,000 labels. `realism` varies the weight of a synthesised example's realism,
`distance` the least distance between two of them.
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults

_DATA = ('mnist', 'cifar10')
_STUDIES = ('realism', 'distance')
ARGUMENTS = (*_DATA, 'mnist,local', 'cifar10,local', *_STUDIES)
_PROPOSERS = ('prior', 'latent', 'partner')
_LARGE = {'channels': (64, 128), 'widths': (1024,), 'latent': 100}
_SMALL = {'channels': (16, 32), 'widths': (128,), 'latent': 16}


def get_config(arg: str = 'mnist') -> ConfigDict:
  """Returns the config of a study.

  Args:
    arg: one of `ARGUMENTS`.

  Returns:
    The config. That of `'mnist'` has the networks of BGADL's code, 200 first
    labels and 100 a round.
  """
  if arg not in ARGUMENTS:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of: {"; ".join(ARGUMENTS)}.'
    )
  name, _, variant = arg.partition(',')
  config = defaults.get_config()
  config.systems = ('bgadl+entropy',)
  config.seeds = 3
  is_local = bool(variant) or name in _STUDIES
  name = 'mnist' if name in _STUDIES else name
  is_mnist = name == 'mnist'
  cap = {'name': 'cap', 'train': 10_000, 'test': 5000}
  config.data = ConfigDict(
    {'source': f'tfds:{name}', 'transforms': (cap,) if is_local else ()}
  )
  config.model = ConfigDict({'name': 'lenet' if is_mnist else 'resnet18'})
  config.learner.batch_size = 32 if is_local else 100
  config.learner.stop.epochs = 50
  config.learner.bgadl = ConfigDict({'makers': _SMALL if is_local else _LARGE})
  if is_local:
    config.model = ConfigDict({'name': 'lenet'})
    config.learner.bgadl.makers_optimizer = {'learning_rate': 1e-3}
  config.protocol.first_size = 200 if is_mnist else 1000
  config.protocol.labels_per_round = 100 if is_mnist else 500
  config.protocol.rounds = 4 if is_local else 20
  if arg == 'realism':
    _vary_realism(config)
  elif arg == 'distance':
    _vary_distance(config)
  else:
    made = {name: {'synthesis': {'name': name}} for name in _PROPOSERS}
    config.grid = {'queries': {'pool': {}, **made}}
  if arg == 'mnist,local':
    # A generator trained on 20 digits per class makes blots.
    more = {'protocol': {'first_size': 1000, 'rounds': 3}}
    config.grid['first_labels'] = {'200': {}, '1000': more}
  return config


def _vary_realism(config):
  config.grid = {
    'realism_weight': {
      str(weight): {'synthesis': {'name': 'latent', 'realism_weight': weight}}
      for weight in (0.0, 0.1, 1.0, 10.0)
    }
  }


def _vary_distance(config):
  """Varies the distance, with a first set of 1,000 labels.

  Images of the prior are digits then, though much alike.
  """
  config.protocol.first_size = 1000
  config.protocol.rounds = 3
  config.grid = {
    'min_distance': {
      str(least): {'synthesis': {'name': 'prior', 'min_distance': least}}
      for least in (0.3, 0.6)
    }
  }

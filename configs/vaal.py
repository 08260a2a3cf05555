"""VAAL: a critic separates labelled from unlabelled examples by VAE latents.

python -m experiments.run --config=configs/vaal.py:cifar10 \
        --workdir=runs/vaal/cifar10
python -m experiments.run --config=configs/vaal.py:mnist,local \
        --workdir=runs/vaal/mnist

Sinha et al. 2019, "Variational Adversarial Active Learning". `cifar10` and
`cifar100` have the protocol and networks of the paper. `mnist`, which is not in
the paper, replaces VGG-16 by ResNet-18, as VGG-16 takes no 28 x 28 images. The
suffix `,local` shrinks data, networks and training for two cores. `kl` varies
the loss of the VAE on MNIST. configs/sraal.py compares VAAL with SRAAL.
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults

_DATA = ('cifar10', 'cifar100', 'mnist')
ARGUMENTS = (*_DATA, 'cifar10,local', 'cifar100,local', 'mnist,local', 'kl')


def get_config(arg: str = 'cifar10') -> ConfigDict:
  """Returns the config of a study.

  Args:
    arg: one of `ARGUMENTS`.

  Returns:
    The config. That of `'cifar10'` is as published: VGG-16, first 10% of the
    pool and then 5% a round to 40%, 5,000 examples for validation, and as many
    steps per round as 100 epochs over the whole pool.
  """
  if arg not in ARGUMENTS:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of: {"; ".join(ARGUMENTS)}.'
    )
  name, _, variant = arg.partition(',')
  config = defaults.get_config()
  config.systems = ('random', 'vaal')
  config.seeds = 5
  if name == 'kl':
    _local(config, 'mnist')
    _vary_kl(config)
  elif variant:
    _local(config, name)
  else:
    _published(config, name)
  return config


def _published(config, name):
  held_out = {'name': 'validation_split', 'size': 5000}
  config.data = ConfigDict(
    {'source': f'tfds:{name}', 'transforms': (held_out,)}
  )
  network = 'resnet18' if name == 'mnist' else 'vgg16'
  config.model = ConfigDict({'name': network})
  config.learner.batch_size = 128
  if name != 'mnist':
    config.learner.augment = ('flip',)
  config.learner.optimizer.update(
    {
      'name': 'sgd',
      'learning_rate': 0.01,
      'momentum': 0.9,
      'weight_decay': 5e-4,
      'schedule': 'milestones',
      'milestones': (0.25, 0.5, 0.75),
    }
  )
  config.learner.vaal = ConfigDict(
    {
      'iterations': 39_062,
      'pair_size': 128,
      'vae': {'channels': (128, 256, 512, 1024), 'latent': 32},
      'critic': {'widths': (512, 512)},
    }
  )
  # Every round has the same number of steps: the first has about 1,000 epochs.
  config.learner.stop.epochs = 1000
  config.learner.stop.steps = 39_062
  config.protocol.first_size = 5000
  config.protocol.labels_per_round = 2500
  config.protocol.rounds = 7


def _local(config, name):
  """Sets up part of the pool, and networks and rounds for two cores."""
  is_mnist = name == 'mnist'
  cap = {'name': 'cap', 'train': 5000 if is_mnist else 10_000, 'test': 5000}
  config.seeds = 3
  config.data = ConfigDict({'source': f'tfds:{name}', 'transforms': (cap,)})
  config.model = ConfigDict(
    {
      'name': 'cnn',
      'channels': (16, 32) if is_mnist else (16, 32, 64),
      'norm': 'batch',
    }
  )
  config.learner.batch_size = 32 if is_mnist else 64
  config.learner.stop.epochs = 60 if is_mnist else 40
  config.learner.vaal = ConfigDict(
    {
      'iterations': 500,
      'pair_size': 32,
      'vae': {'channels': (8, 16, 32), 'latent': 16},
      'critic': {'widths': (64, 64)},
    }
  )
  config.protocol.first_size = 100 if is_mnist else 1000
  config.protocol.labels_per_round = 100 if is_mnist else 500
  config.protocol.rounds = 5 if is_mnist else 4


def _vary_kl(config):
  config.systems = ('vaal',)
  config.protocol.rounds = 3
  config.grid = {
    'kl_scale': {
      scale: {'learner': {'vaal': {'kl_scale': scale}}}
      for scale in ('elbo', 'example', 'batch')
    }
  }

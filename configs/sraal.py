"""SRAAL: a critic whose targets grade unlabelled examples by uncertainty.

python -m experiments.run --config=configs/sraal.py:cifar10 \
        --workdir=runs/sraal/cifar10
python -m experiments.run --config=configs/sraal.py:mnist,local \
        --workdir=runs/sraal/mnist

Zhang et al. 2020, "State-Relabeling Adversarial Active Learning". `cifar10`,
`cifar100` and `mnist` have the networks and training lengths of the authors'
code; MNIST is not in the paper. Each runs from a uniform first set and from one
chosen by k-center in the latents of a VAE. The suffix `,local` shrinks data,
networks and training for two cores, and adds entropy and core-set. `ablation`
leaves out parts of SRAAL, on MNIST.
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults

_DATA = ('cifar10', 'cifar100', 'mnist')
ARGUMENTS = (
  *_DATA,
  'cifar10,local',
  'cifar100,local',
  'mnist,local',
  'ablation',
)
_PUBLISHED = ('random', 'vaal', 'sraal')
_LOCAL = ('random', 'entropy', 'core_set', 'vaal', 'sraal')
_LARGE = (128, 256, 512, 1024)
_SMALL = {
  'iterations': 500,
  'pair_size': 32,
  'vae': {'channels': (8, 16, 32), 'latent': 16},
  'critic': {'widths': (64, 64)},
}
_SMALL_LATENTS = {
  'channels': (8, 16, 32),
  'latent': 16,
  'target_latent': 16,
  'target_widths': (64,),
}
_VARIANTS = {
  'sraal': {},
  'binary_states': {'indicator': False},
  'no_head': {'vae': {**_SMALL_LATENTS, 'target_latent': 0}},
  'kl_of_the_code': {'kl_scale': 'example'},
  'state_of_the_code': {'adversarial_state': 1.0},
}


def get_config(arg: str = 'cifar10') -> ConfigDict:
  """Returns the config of a study.

  Args:
    arg: one of `ARGUMENTS`.

  Returns:
    The config. That of `'cifar10'` is as published: ResNet-18, first 10% of the
    pool and then 5% a round to 40%, 200 epochs on labels, and 20,000 iterations
    of the VAE and its critic.
  """
  if arg not in ARGUMENTS:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of: {"; ".join(ARGUMENTS)}.'
    )
  name, _, variant = arg.partition(',')
  config = defaults.get_config()
  config.seeds = 5
  if name == 'ablation':
    _local(config, 'mnist')
    _ablate(config)
  elif variant:
    _local(config, name)
    _vary_start(config, {'channels': (8, 16, 32), 'latent': 16}, epochs=10)
  else:
    _published(config, name)
    _vary_start(config, {'channels': _LARGE, 'latent': 100}, epochs=100)
  return config


def _published(config, name):
  config.systems = _PUBLISHED
  config.data = ConfigDict({'source': f'tfds:{name}', 'transforms': ()})
  config.model = ConfigDict({'name': 'resnet18'})
  config.learner.batch_size = 128
  if name != 'mnist':
    config.learner.augment = ('flip',)
  config.learner.optimizer.update(
    {
      'name': 'sgd',
      'learning_rate': 0.1,
      'momentum': 0.9,
      'weight_decay': 5e-4,
    }
  )
  config.learner.stop.epochs = 200
  falling = {
    'name': 'adam',
    'learning_rate': 5e-4,
    'schedule': 'exponential',
    'decay_rate': 0.85,
    'transition_steps': 666,
    'staircase': True,
  }
  large = {'channels': _LARGE, 'latent': 100, 'target_latent': 100}
  config.learner.sraal = ConfigDict(
    {
      'iterations': 20_000,
      'pair_size': 250,
      'vae': {**large, 'target_widths': (1024, 256)},
      'critic': {'widths': (512,) * 4},
      'vae_optimizer': falling,
      'critic_optimizer': falling,
    }
  )
  config.learner.vaal = ConfigDict(
    {
      'iterations': 39_062,
      'pair_size': 128,
      'vae': {'channels': _LARGE, 'latent': 32},
      'critic': {'widths': (512, 512)},
    }
  )
  config.protocol.first_size = 5000
  config.protocol.labels_per_round = 2500
  config.protocol.rounds = 7


def _local(config, name):
  """Sets up part of the pool, and networks and rounds for two cores."""
  is_mnist = name == 'mnist'
  cap = {'name': 'cap', 'train': 5000 if is_mnist else 10_000, 'test': 5000}
  config.systems = _LOCAL
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
  config.learner.vaal = ConfigDict(_SMALL)
  config.learner.sraal = ConfigDict({**_SMALL, 'vae': _SMALL_LATENTS})
  config.protocol.first_size = 100 if is_mnist else 1000
  config.protocol.labels_per_round = 100 if is_mnist else 500
  config.protocol.rounds = 5 if is_mnist else 4


def _vary_start(config, vae, *, epochs):
  pretraining = {'name': 'vae', 'stop': {'epochs': epochs}, **vae}
  spread = {
    'pretraining': pretraining,
    'protocol': {'first_set': 'k_center'},
  }
  config.grid = {'start': {'uniform': {}, 'k_center': spread}}


def _ablate(config):
  config.systems = ('sraal',)
  config.protocol.rounds = 3
  config.grid = {
    'variant': {
      name: {'learner': {'sraal': options}} if options else {}
      for name, options in _VARIANTS.items()
    }
  }

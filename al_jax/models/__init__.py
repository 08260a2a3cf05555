"""Networks by name, as pure functions behind `ModelFns`."""

from al_jax import errors, parts
from al_jax.interfaces import Facts, ModelFns

with errors.needs('al_jax.models'):
  import flax.linen as nn

  from al_jax.models import checks, common
  from al_jax.models.cnn13 import cnn13
  from al_jax.models.fusion import fusion
  from al_jax.models.mlp import mlp
  from al_jax.models.mnist_cnn import mnist_cnn
  from al_jax.models.resnet import resnet18
  from al_jax.models.vgg import vgg11, vgg16

__all__ = [
  'MODELS',
  'build',
  'cnn13',
  'fusion',
  'mlp',
  'mnist_cnn',
  'resnet18',
  'vgg11',
  'vgg16',
]

# name -> (facts, **options) -> Flax module; raises for inputs it cannot take.
MODELS = {
  'cnn13': cnn13,
  'fusion': fusion,
  'mlp': mlp,
  'mnist_cnn': mnist_cnn,
  'resnet18': resnet18,
  'vgg11': vgg11,
  'vgg16': vgg16,
}
# Of these, those that take several modalities.
_OF_MODALITIES = ('fusion',)


def build(name: str, facts: Facts, **options) -> ModelFns:
  """A network by name.

  Args:
    name: one of MODELS, or a dotted path to a function like those.
    facts: of the task: the shape of an example, classes, normalisation.
    **options: keyword arguments of the function of that name.

  Returns:
    The network as pure functions.

  Raises:
    ValueError: for an unknown name or option, with the closest one that is
      known; for a value that is not allowed; for inputs that the network
      cannot take.
  """
  make = parts.find('model', name, MODELS)
  errors.check_options(f'model {name!r}', make, options)
  # Your own model says itself what inputs it takes.
  takes_modalities = name in _OF_MODALITIES or name not in MODELS
  checks.check_inputs(name, facts, takes_modalities=takes_modalities)
  module = make(facts, **options)
  parts.check_made('model', name, module, nn.Module)
  return common.model_fns(module, facts)

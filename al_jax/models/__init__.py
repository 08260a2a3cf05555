"""Networks by name, as pure functions behind `ModelFns`."""

from collections.abc import Callable, Mapping
from typing import Any

from al_jax import errors, parts
from al_jax.interfaces import Facts, ModelFns

with errors.needs('al_jax.models'):
  import flax.linen as nn

  from al_jax.models import adapted, checks, common
  from al_jax.models.backbones import ARCHITECTURES
  from al_jax.models.backbones.backbone import backbone
  from al_jax.models.cnn import cnn
  from al_jax.models.cnn13 import cnn13
  from al_jax.models.fusion import fusion
  from al_jax.models.lenet import lenet
  from al_jax.models.mlp import mlp
  from al_jax.models.mnist_cnn import mnist_cnn
  from al_jax.models.resnet import resnet18
  from al_jax.models.vgg import vgg11, vgg16
  from al_jax.models.weights import hub

__all__ = [
  'MODELS',
  'backbone',
  'build',
  'cnn',
  'cnn13',
  'fusion',
  'lenet',
  'mlp',
  'mnist_cnn',
  'resnet18',
  'vgg11',
  'vgg16',
  'without_files',
]

# name -> (facts, **options) -> Flax module or ModelFns; raises for inputs that
# it cannot take.
MODELS = {
  'backbone': backbone,
  'cnn': cnn,
  'cnn13': cnn13,
  'fusion': fusion,
  'lenet': lenet,
  'mlp': mlp,
  'mnist_cnn': mnist_cnn,
  'resnet18': resnet18,
  'vgg11': vgg11,
  'vgg16': vgg16,
}
# Of these, those that take several modalities.
_OF_MODALITIES = ('fusion',)


def build(
  name: str | ModelFns | nn.Module | Callable[..., Any],
  facts: Facts,
  **options: Any,
) -> ModelFns:
  """A network by name, or your own.

  Args:
    name: one of MODELS; a dotted path; or the part itself: a Flax module (see
      `models.adapted`), a ModelFns, or a function `(facts, **options)` that
      returns one of these.
    facts: of the task: the shape of an example, classes, normalisation.
    **options: keyword arguments of the function.

  Returns:
    The network as pure functions.

  Raises:
    ValueError: for an unknown name or option, with the closest one that is
      known; for a value that is not allowed; for inputs that the network
      cannot take; for a module that cannot be called, see `models.adapted`.
  """
  if isinstance(name, str) and name in ARCHITECTURES and name not in MODELS:
    raise ValueError(
      f"model {name!r} is an architecture of the model 'backbone': name="
      f"'backbone', architecture={name!r}."
    )
  made, called = name, parts.name_of(name)
  if not _is_made(made):
    made = parts.find('model', name, MODELS)
  if not _is_made(made):
    errors.check_options(f'model {called!r}', made, options)
  elif options:
    raise ValueError(
      f'model {called!r} is made already; it takes no options, and got '
      f'{options}.'
    )
  is_own = not isinstance(name, str) or name not in MODELS
  # Your own model says itself what inputs it takes.
  takes_modalities = name in _OF_MODALITIES if not is_own else True
  checks.check_inputs(called, facts, takes_modalities=takes_modalities)
  if not _is_made(made):
    errors.check_required(f'model {called!r}', made, options)
    made = made(facts, **options)
  if isinstance(made, ModelFns):
    return made
  if not is_own:
    return common.model_fns(made, facts)
  if not adapted.is_module(made):
    parts.check_made('model', called, made, nn.Module)
  return adapted.model_fns(called, made, facts)


def without_files(options: Mapping[str, Any]) -> dict[str, Any]:
  """Returns options that build a network whose weights are already there.

  Args:
    options: `name` and options of a network, for `build`.

  Returns:
    Options for `build`: a network of the library reads no file of weights with
    them; your own has the options that it had.
  """
  found = dict(options)
  if found['name'] in MODELS and found.get('weights') is not None:
    found['weights'] = hub.ELSEWHERE
  return found


def _is_made(part):
  return isinstance(part, ModelFns) or adapted.is_module(part)

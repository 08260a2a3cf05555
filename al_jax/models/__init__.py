"""Networks by name, as pure functions in `ModelFns`."""

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

# Name -> function `(facts, **options)` that returns a Flax module or ModelFns,
# or raises for inputs that the network cannot take.
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
# Networks that take several modalities.
_OF_MODALITIES = ('fusion',)


def build(
  name: str | ModelFns | nn.Module | Callable[..., Any],
  facts: Facts,
  **options: Any,
) -> ModelFns:
  """Builds a network by name, or wraps your own.

  Args:
    name: one of MODELS; a dotted path; or the part itself: a Flax module (see
      `models.adapted`), a ModelFns, or a function `(facts, **options)` that
      returns one of these.
    facts: facts of the task: the shape of an example, classes, normalisation.
    **options: keyword arguments of the function.

  Returns:
    The network as pure functions.

  Raises:
    ValueError: If a name or option is unknown, with the closest known one; if a
      value is not allowed; if the network cannot take the inputs; or if a
      module cannot be called, see `models.adapted`.
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
      f'model {called!r} is already built and takes no options, but got '
      f'{options}.'
    )
  is_own = not isinstance(name, str) or name not in MODELS
  # A user's model decides itself which inputs it takes.
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
  """Changes options to build a network without reading a file of weights.

  Args:
    options: `name` and options of a network, for `build`.

  Returns:
    Options for `build`. Those of a user's own network are unchanged.
  """
  found = dict(options)
  if found['name'] in MODELS and found.get('weights') is not None:
    found['weights'] = hub.ELSEWHERE
  return found


def _is_made(part):
  return isinstance(part, ModelFns) or adapted.is_module(part)

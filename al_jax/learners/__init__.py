"""Learners: the ways to train, by name."""

from collections.abc import Callable, Mapping
from typing import Any

from al_jax import errors, parts
from al_jax.interfaces import Facts, Learner, ModelFns
from al_jax.learners.autoencoder import denoising_autoencoder
from al_jax.learners.beyond_pool import beyond_pool
from al_jax.learners.bgadl import bgadl
from al_jax.learners.boltzmann import boltzmann_stack
from al_jax.learners.budget import budget_annotation
from al_jax.learners.ceal import ceal
from al_jax.learners.deep_cluster import deep_cluster
from al_jax.learners.joint import joint
from al_jax.learners.label_propagation import label_propagation
from al_jax.learners.learning_loss import learning_loss
from al_jax.learners.self_training import room_for_all, self_training
from al_jax.learners.sraal import sraal
from al_jax.learners.supervised import supervised
from al_jax.learners.vaal import vaal
from al_jax.learners.vae import vae

LEARNERS = {
  'supervised': supervised,
  'joint': joint,
  'label_propagation': label_propagation,
  'ceal': ceal,
  'budget_annotation': budget_annotation,
  'learning_loss': learning_loss,
  'vaal': vaal,
  'sraal': sraal,
  'bgadl': bgadl,
}

# Trainings that need no labels.
PRETRAINING = {
  'deep_cluster': deep_cluster,
  'denoising_autoencoder': denoising_autoencoder,
  'boltzmann_stack': boltzmann_stack,
  'vae': vae,
}

__all__ = [
  'LEARNERS',
  'PRETRAINING',
  'beyond_pool',
  'bgadl',
  'boltzmann_stack',
  'budget_annotation',
  'build',
  'ceal',
  'deep_cluster',
  'denoising_autoencoder',
  'joint',
  'label_propagation',
  'learning_loss',
  'room_for_all',
  'self_training',
  'sraal',
  'supervised',
  'vaal',
  'vae',
]


def build(
  name: str | Callable[..., Learner],
  model: ModelFns,
  facts: Facts,
  options: Mapping[str, Any] | None = None,
) -> Learner:
  """Builds a learner by name.

  Args:
    name: a name in `LEARNERS`, a dotted path, or a function `(model, facts,
      **options) -> Learner`.
    model: the network.
    facts: facts of the task.
    options: keyword arguments of the function.

  Returns:
    A Learner.

  Raises:
    ValueError: a name or an option is unknown, or a value is not allowed.
  """
  make, called = parts.find('learner', name, LEARNERS), parts.name_of(name)
  options = {} if options is None else options
  errors.check_mapping('learner', options)
  if 'name' in options:
    raise ValueError(
      f'learner.name is {options["name"]!r}, but the name of the system selects'
      f' the learner: name the system {options["name"]}+STRATEGY.'
    )
  errors.check_options(f'learner {called!r}', make, options)
  made = make(model, facts, **options)
  parts.check_made('learner', called, made, Learner)
  return made

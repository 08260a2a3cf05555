"""Query strategies by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from al_jax import errors, parts
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.adversarial import adversarial
from al_jax.strategies.albl import albl
from al_jax.strategies.badge import badge
from al_jax.strategies.bayesian import (
  bald,
  batch_bald,
  mean_std,
  variation_ratio,
)
from al_jax.strategies.chain import chain
from al_jax.strategies.clusters import k_means, weighted_k_means
from al_jax.strategies.core_set import core_set
from al_jax.strategies.density import graph_density, information_density
from al_jax.strategies.diverse import k_means_plus_plus, lcmd
from al_jax.strategies.expected_error import expected_error_reduction
from al_jax.strategies.hybrid import hybrid
from al_jax.strategies.jlp import jlp
from al_jax.strategies.learning_loss import learning_loss
from al_jax.strategies.random import random
from al_jax.strategies.scored import scored
from al_jax.strategies.subset import subset
from al_jax.strategies.uncertainty import entropy, least_confidence, margin
from al_jax.strategies.variance import variance

# Name -> function of keywords that returns a Strategy. The system
# `supervised+NAME` uses it.
STRATEGIES = {
  'random': random,
  'least_confidence': least_confidence,
  'margin': margin,
  'entropy': entropy,
  'variation_ratio': variation_ratio,
  'mean_std': mean_std,
  'variance': variance,
  'bald': bald,
  'batch_bald': batch_bald,
  'badge': badge,
  'core_set': core_set,
  'k_means': k_means,
  'weighted_k_means': weighted_k_means,
  'k_means_plus_plus': k_means_plus_plus,
  'lcmd': lcmd,
  'information_density': information_density,
  'graph_density': graph_density,
  'expected_error_reduction': expected_error_reduction,
  'hybrid': hybrid,
  'jlp': jlp,
  'learning_loss': learning_loss,
  'adversarial': adversarial,
  'albl': albl,
}

# Published name -> (strategy, options).
PUBLISHED = {
  'mc_least_confidence': ('least_confidence', {'num_samples': 50}),
  'mc_margin': ('margin', {'num_samples': 50}),
  'mc_entropy': ('entropy', {'num_samples': 50}),
  'power_bald': ('bald', {'draw': 'power'}),
  'softmax_bald': ('bald', {'draw': 'softmax'}),
  'softrank_bald': ('bald', {'draw': 'softrank'}),
  'robust_core_set': ('core_set', {'robust': True}),
}

__all__ = [
  'PUBLISHED',
  'STRATEGIES',
  'adversarial',
  'albl',
  'badge',
  'bald',
  'batch_bald',
  'build',
  'chain',
  'core_set',
  'entropy',
  'expected_error_reduction',
  'graph_density',
  'hybrid',
  'information_density',
  'jlp',
  'k_means',
  'k_means_plus_plus',
  'lcmd',
  'learning_loss',
  'least_confidence',
  'margin',
  'mean_std',
  'random',
  'scored',
  'subset',
  'variance',
  'variation_ratio',
  'weighted_k_means',
  'without',
]


def build(
  name: str | Callable[..., Strategy], options: Mapping[str, Any] | None = None
) -> Strategy:
  """Makes a strategy by name.

  Args:
    name: in `STRATEGIES`, a dotted path, or a function `(**options) ->
      Strategy`.
    options: keyword arguments of the strategy. The option `arms` of a strategy
      over strategies is a sequence of names, or of mappings with `name` and
      options.

  Returns:
    A Strategy.

  Raises:
    ValueError: If a name or option is unknown or a value has the wrong type, or
      if the function raises; the original error is then the cause.
  """
  make, options = parts.find('strategy', name, STRATEGIES), dict(options or {})
  called = parts.name_of(name)
  errors.check_options(f'strategy {called!r}', make, options)
  for option in errors.options_of(make):
    is_needed = not _has_default(inspect.signature(make).parameters[option])
    if is_needed and option not in options:
      raise ValueError(f'strategy {called!r} needs the option {option!r}.')
  if 'arms' in options:
    options['arms'] = [_arm(arm) for arm in options['arms']]
  try:
    strategy = make(**options)
  except (ValueError, ImportError):
    raise
  except Exception as error:  # A user's function may raise anything.
    raise ValueError(
      f'strategy {called!r} cannot be made with {options}: '
      f'{type(error).__name__}: {errors.clause(error)}.'
    ) from error
  parts.check_made('strategy', called, strategy, Strategy)
  return strategy


def without(need: str) -> list[str]:
  """Lists the strategies whose default options do not need something.

  Args:
    need: see `Strategy.needs`.

  Returns:
    Names in `STRATEGIES`. Strategies with a required option, such as `arms`,
    and strategies that need an output of particular learners are left out.
  """
  return [
    name
    for name, make in STRATEGIES.items()
    if _has_defaults(make) and not _needs(make(), need)
  ]


def _needs(strategy, need):
  found = needs.of(strategy)
  return need in found or any(map(needs.is_extra, found))


def _has_defaults(make):
  return all(map(_has_default, inspect.signature(make).parameters.values()))


def _has_default(option):
  return option.default is not option.empty


def _arm(given):
  if isinstance(given, str):
    return build(given)
  options = dict(given)
  if 'name' not in options:
    raise ValueError(f'an arm is {options}; it needs a `name`.')
  return build(options.pop('name'), options)

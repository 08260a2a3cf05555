"""Systems with the user's own parts, for `al_jax.run`."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from al_jax import errors
from al_jax import systems as systems_lib
from al_jax.interfaces import Learner, Strategy
from al_jax.parts import name_of
from al_jax.runner import options
from al_jax.runner.config import Experiment

# The parts of a system that a mapping may name.
_PARTS = ('learner', 'model', 'strategy')

# The name of a system; a user's strategy, or a function that makes one; or a
# mapping of `learner` and `strategy`, see `systems.build`.
AnySystem = str | Strategy | Callable[[], Strategy] | Mapping[str, Any]


def named(
  systems: AnySystem | Sequence[AnySystem] | Mapping[str, AnySystem],
) -> dict[str, AnySystem | None]:
  """Names systems.

  Args:
    systems: see `al_jax.run`.

  Returns:
    The systems by name: the user's parts, or None for a system of the library.

  Raises:
    ValueError: there are no systems, or a name is invalid.
  """
  if isinstance(systems, Mapping):
    named = list(systems.items())
  else:
    single = isinstance(systems, str | Strategy) or callable(systems)
    listed = [systems] if single else systems
    if not isinstance(listed, Sequence):
      raise ValueError(
        f'systems is {systems!r}; it must be names of systems, strategies of '
        'yours, or a mapping of names to parts.'
      )
    named = [(_name_of(each), each) for each in listed]
  parts = {}
  for name, part in named:
    if isinstance(part, Mapping) and isinstance(part.get('strategy'), str):
      name, part = _with_strategy_of_library(name, dict(part))
    if isinstance(part, str):
      if part != name:
        raise ValueError(
          f'systems has {name!r} for {part!r}; a system of the library keeps '
          'its name: pass a list, or a part of yours.'
        )
      name, part = systems_lib.canonical(part), None
    if name in parts:
      raise ValueError(f'systems has {name!r} twice; names must differ.')
    parts[name] = part
  if not parts:
    raise ValueError('systems is empty; name one or more.')
  return parts


def _with_strategy_of_library(name, part):
  """Returns the name and the parts of a system with the user's own learner."""
  strategy = part.pop('strategy')
  systems_lib.check_own_name(name)
  first, plus, second = name.partition('+')
  if plus and second != strategy:
    raise ValueError(
      f'systems has {name!r} with the strategy {strategy!r}; name it {first!r} '
      f"or '{first}+{strategy}'."
    )
  return f'{first}+{strategy}', part


def _name_of(part):
  """Returns a name as it is, or the name of a function."""
  if isinstance(part, str):
    return part
  name = getattr(part, '__name__', None)
  if name is None or not name.isidentifier():
    raise ValueError(
      f'systems has a {type(part).__name__} without a name: pass '
      "{'my_name': it}."
    )
  return name


def over(default: Any, given: Any) -> Any:
  """Merges mappings at any depth, with `given` over `default`."""
  if not isinstance(default, Mapping) or not isinstance(given, Mapping):
    return given
  merged = {
    name: over(default.get(name), value) for name, value in given.items()
  }
  return {**default, **merged}


def _mapping_of(name, part):
  """Returns the parts of a system with a user's own part, by role."""
  given = dict(part) if isinstance(part, Mapping) else {'strategy': part}
  for field in given:
    if field not in _PARTS:
      raise errors.unknown_option(f'system {name!r}', field, _PARTS)
  return given


def _is_own(part):
  """Returns whether a part is the user's own, not options of the library's."""
  return part is not None and not isinstance(part, Mapping)


def _of_library(name, own):
  """Names a system that has only the parts of the library."""
  default = systems_lib.published(systems_lib.BASELINE)
  first, plus, second = name.rpartition('+')
  learner, strategy = first or default.learner, second
  if _is_own(own.get('learner')):
    learner = default.learner
  if _is_own(own.get('strategy')) or not plus:
    strategy = default.strategy
  return f'{learner}+{strategy}'


def options_of(name: str, part: AnySystem) -> dict[str, list[str]]:
  """Returns all options of the learner and the strategy.

  Args:
    name: name of the system.
    part: the system, with the user's own part.
  """
  own = _mapping_of(name, part)
  known = _of_library(name, own)
  found = {
    'learner': options.known_learner_options(known),
    'strategy': options.known_strategy_options(known),
  }
  return {
    field: _left_open(own[field]) if _is_own(own.get(field)) else of
    for field, of in found.items()
  }


def _left_open(part):
  """Returns the options of a function that `functools.partial` left unbound."""
  if not callable(part):
    return []
  bound = getattr(part, 'keywords', {})
  return [
    name
    for name, parameter in inspect.signature(part).parameters.items()
    if parameter.default is not parameter.empty and name not in bound
  ]


def _with_options(field, part, given):
  """Binds the given options that a user's own part has."""
  if not callable(part):
    return part
  taken = {name: given[name] for name in _left_open(part) if name in given}
  errors.check_options(f'{field} {name_of(part)!r}', part, taken)
  return functools.partial(part, **taken) if taken else part


def build(
  experiment: Experiment,
  name: str,
  part: AnySystem,
  arguments: Mapping[str, Any],
) -> systems_lib.System:
  """Makes a system with a user's own part.

  Parts of the library receive the given options over the defaults of a config;
  a user's own function has its own defaults.

  Args:
    experiment: experiment of the system.
    name: name of the system.
    part: the part, or several by role.
    arguments: arguments of `al_jax.run`, with the given options.

  Returns:
    The System.

  Raises:
    ValueError: the parts do not fit together.
  """
  config, given = experiment.config, _mapping_of(name, part)
  known = _of_library(name, given)
  for field, of_library in (
    ('learner', options.learner_options(known, config)),
    ('strategy', options.strategy_options(known, config)),
  ):
    if _is_own(given.get(field)):
      given[field] = _with_options(field, given[field], arguments[field] or {})
    else:
      given[field] = over(of_library, given.get(field) or {})
  if not isinstance(given['learner'], Learner):
    given.setdefault('model', config['model'])
    given['pretrained'] = experiment.pretrained
  return systems_lib.build(
    name,
    experiment.facts,
    subset_size=config['subset_size'],
    prefilter=config['prefilter'],
    **given,
  )

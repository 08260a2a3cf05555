"""The systems of a config, and which options are for which.

A config may have options for several systems; each takes those that it knows.
"""

from collections.abc import Mapping
from typing import Any

from al_jax import errors, strategies, systems
from al_jax.learners import LEARNERS

# A config as plain dicts, lists and values.
Config = Mapping[str, Any]


def system_names(config: Config) -> list[str]:
  """The systems that a config names.

  Args:
    config: as plain values.

  Returns:
    Different names, one or more; whether they exist is checked elsewhere.
  """
  given = config['systems']
  listed = [given] if isinstance(given, str) else given
  is_list = isinstance(listed, list | tuple)
  names = []
  if is_list and all(isinstance(text, str) for text in listed):
    # On a command line `--config.systems=random,margin` is easier to write.
    names = [name.strip() for text in listed for name in text.split(',')]
  if not names or len(set(names)) < len(names):
    raise ValueError(
      f'config.systems is {given!r}; it must name different systems, one or '
      'more.'
    )
  return names


def check_system_options(config: Config) -> None:
  """Refuses an option that no strategy or no learner of the systems has.

  Random alone is the baseline of a comparison: it may be run with the options
  of any strategy.

  Args:
    config: as plain values.

  Raises:
    ValueError: for the first such option.
  """
  names = system_names(config)
  learner = config['learner'].get('name')
  if learner and all(
    systems.learner_name(name, config['learner']) != learner for name in names
  ):
    raise ValueError(
      f'config.learner.name is {learner!r}; it takes the place of '
      f'{systems.PLAIN!r}, which none of {", ".join(sorted(names))} has.'
    )
  _check_prefilter(config['prefilter'])
  is_baseline = all(not asks(name) for name in names)
  strategic = systems.SYSTEMS if is_baseline else names
  for field, known in (
    ('strategy', _united(_known_strategy_options, strategic)),
    ('learner', _united(lambda n: _known_learner_options(n, config), names)),
  ):
    for option in config[field]:
      if field == 'learner' and option in LEARNERS:
        # For systems that have this learner, whether or not they are run.
        what = f'config.learner.{option}'
        errors.check_mapping(what, config['learner'][option])
        errors.check_options(what, LEARNERS[option], config['learner'][option])
      elif option not in known:
        raise _nobodys_option(field, option, known, names)


def _check_prefilter(prefilter):
  """Random goes without one, and so would not notice a name that is none."""
  if not prefilter:
    return
  errors.check_mapping('config.prefilter', prefilter)
  options = {name: prefilter[name] for name in prefilter if name != 'size'}
  name = options.pop('name', None)
  if name is not None:
    errors.check_name('prefilter', name, strategies.STRATEGIES)
    what = f'prefilter {name!r}'
    errors.check_options(what, strategies.STRATEGIES[name], options)


def asks(name: str) -> bool:
  """Whether the strategy of a system looks at anything: random does not."""
  return systems.SYSTEMS[name].strategy != 'random'


def _united(options_of, names):
  return set().union(*(options_of(name) for name in names))


def _nobodys_option(field, option, known, names):
  """An error that names who has the option, if anybody does."""
  functions = LEARNERS if field == 'learner' else strategies.STRATEGIES
  having = [
    name
    for name, function in functions.items()
    if option in errors.options_of(function)
  ]
  if not having:
    return errors.unknown_option(f'config.{field}', option, known)
  message = (
    f'config.{field} has no option {option!r} for the systems '
    f'{", ".join(sorted(names))}: it is one of {", ".join(having)}.'
  )
  if field == 'learner':
    message += (
      f' As config.learner.{having[0]}.{option} it is for systems that have '
      'that learner.'
    )
  return ValueError(message)


def strategy_options(name: str, config: Config) -> dict[str, Any]:
  """The options of the strategy of a system.

  Args:
    name: of the system.
    config: as plain values.

  Returns:
    Those of `config.strategy` that the strategy has.
  """
  return _among(config['strategy'], _known_strategy_options(name))


def learner_options(name: str, config: Config) -> dict[str, Any]:
  """The options of the learner of a system.

  Args:
    name: of the system.
    config: as plain values.

  Returns:
    Those of `config.learner` that the learner has; those that stand there under
    the learner's own name go before the others.
  """
  given = config['learner']
  learner = systems.learner_name(name, given)
  options = {**given, **given.get(learner, {}), 'name': learner}
  return _among(options, _known_learner_options(name, config))


def _among(options, known):
  return {option: options[option] for option in options if option in known}


def _known_strategy_options(name):
  strategy = systems.SYSTEMS[name].strategy
  return errors.options_of(strategies.STRATEGIES[strategy])


def _known_learner_options(name, config):
  learner = systems.learner_name(name, config['learner'])
  return {'name', *errors.options_of(LEARNERS[learner])}

"""The systems of a config, and the options of each.

A config may have options for several systems; each receives those it has.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from al_jax import errors, parts, strategies, systems
from al_jax.learners import LEARNERS
from al_jax.runner import defaults
from al_jax.storage import manifest

# A config as plain dicts, lists and values.
Config = Mapping[str, Any]


def system_names(config: Config) -> list[str]:
  """Returns the systems that a config names.

  Args:
    config: config as plain values.

  Returns:
    Distinct names, one or more, as `systems.canonical` spells them.

  Raises:
    ValueError: a name is unknown or repeated, or there is none.
  """
  given = config['systems']
  listed = [given] if isinstance(given, str) else given
  is_list = isinstance(listed, list | tuple)
  names = []
  if is_list and all(isinstance(text, str) for text in listed):
    # On a command line `--config.systems=random,margin` is easier to write.
    names = [name.strip() for text in listed for name in text.split(',')]
  names = [systems.canonical(name) for name in names]
  if not names or len(set(names)) < len(names):
    raise ValueError(
      f'config.systems is {given!r}; it must name different systems, one or '
      'more.'
    )
  return names


def check_system_options(
  config: Config,
  *,
  names: Sequence[str] | None = None,
  own: Mapping[str, Mapping[str, Collection[str]]] | None = None,
) -> None:
  """Rejects an option that no strategy or learner of the systems has.

  Systems that measure nothing are the baseline of a comparison: without others
  they accept the options of any strategy.

  Args:
    config: config as plain values.
    names: names of the systems. If None, those of the config.
    own: further systems by name, whose parts were given as objects: the options
      of each by `'strategy'` and `'learner'`. If None, there are none.

  Raises:
    ValueError: names the first such option.
  """
  names = system_names(config) if names is None else names
  _check_prefilter(config['prefilter'])
  own = own or {}
  is_baseline = not own and not any(looks(name, config) for name in names)
  strategic = systems.SYSTEMS if is_baseline else names
  for field, known in (
    ('strategy', _united(known_strategy_options, strategic)),
    ('learner', _united(known_learner_options, names)),
  ):
    known = known.union(*(of[field] for of in own.values()))
    for option in config[field]:
      if field == 'learner' and option in LEARNERS:
        # Accepted even if no system with this learner is run.
        what = f'config.learner.{option}'
        errors.check_mapping(what, config['learner'][option])
        errors.check_options(what, LEARNERS[option], config['learner'][option])
      elif option not in known and not _is_default(field, option, config):
        raise _nobodys_option(field, option, known, [*names, *own])


def _is_default(field, option, config):
  """Returns whether an option has its default value."""
  default = manifest.plain_config(defaults.get_config().to_dict())
  return config[field][option] == default[field].get(option)


def _check_prefilter(prefilter):
  """Checks a prefilter by itself, because uniform strategies ignore it."""
  if not prefilter:
    return
  errors.check_mapping('config.prefilter', prefilter)
  options = {name: prefilter[name] for name in prefilter if name != 'size'}
  name = options.pop('name', None)
  if name is not None:
    make = parts.find('prefilter', name, strategies.STRATEGIES)
    errors.check_options(f'prefilter {name!r}', make, options)


def looks(name: str, config: Config) -> bool:
  """Returns whether the strategy of a system measures examples."""
  options = strategy_options(name, config)
  return systems.strategy_of(name, options).measure is not None


def parts_of(name: str, config: Config) -> list[object]:
  """Returns the names of all parts of a system; a user's have a dotted path.

  Args:
    name: name of the system.
    config: config as plain values.

  Returns:
    Names of the data source, the model, the learner, the strategies and the
    pretraining, and all strings among their options, which may name a user's
    loss or augmentation.
  """
  of_system = systems.published(name)
  data = config['data']
  arms = [
    *of_system.strategy_options.get('arms', ()),
    *(config['strategy'].get('arms') or ()),
  ]
  return [
    data.get('source') if isinstance(data, Mapping) else data,
    config['model'].get('name'),
    of_system.learner,
    of_system.strategy,
    (config['prefilter'] or {}).get('name'),
    *_texts(config['pretraining']),
    *_texts(learner_options(name, config)),
    *(arm if isinstance(arm, str) else arm.get('name') for arm in arms),
  ]


def _texts(options):
  """Returns every string among options, at any depth."""
  if isinstance(options, str):
    return [options]
  if isinstance(options, Mapping):
    options = list(options.values())
  if not isinstance(options, list | tuple):
    return []
  return [text for option in options for text in _texts(option)]


def _united(options_of, names):
  return set().union(*(options_of(name) for name in names))


def _nobodys_option(field, option, known, names):
  """Returns an error that names the parts that have the option, if any."""
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
  """Returns the options of the strategy of a system.

  Args:
    name: name of the system.
    config: config as plain values.

  Returns:
    The options in `config.strategy` that the strategy has.
  """
  return _among(config['strategy'], known_strategy_options(name))


def learner_options(name: str, config: Config) -> dict[str, Any]:
  """Returns the options of the learner of a system.

  Args:
    name: name of the system.
    config: config as plain values.

  Returns:
    The options in `config.learner` that the learner has; those under the
    learner's own name override the others.
  """
  given = config['learner']
  learner = systems.published(name).learner
  options = {**given, **given.get(learner, {})}
  return _among(options, known_learner_options(name))


def _among(options, known):
  return {option: options[option] for option in options if option in known}


def known_strategy_options(name: str) -> list[str]:
  """Returns all options that the strategy of a system has."""
  strategy = systems.published(name).strategy
  make = parts.find('strategy', strategy, strategies.STRATEGIES)
  return errors.options_of(make)


def known_learner_options(name: str) -> list[str]:
  """Returns all options that the learner of a system has."""
  learner = systems.published(name).learner
  return errors.options_of(parts.find('learner', learner, LEARNERS))

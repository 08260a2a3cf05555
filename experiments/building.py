"""From a config to the objects of the library; configs go no further."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from al_jax import (
  data,
  errors,
  keys,
  oracle,
  program,
  protocol,
  sources,
  stages,
  strategies,
  systems,
)
from al_jax.interfaces import Facts
from al_jax.training import optimizers, stopping

# A config as plain dicts, lists and values.
Config = Mapping[str, Any]

# What configs/base.py has.
FIELDS = (
  'data',
  'system',
  'systems',
  'seeds',
  'first_seed',
  'model',
  'learner',
  'strategy',
  'subset_size',
  'prefilter',
  'protocol',
  'oracle',
  'describe',
  'full_labels',
  'placement',
  'chunk_size',
)


# What `describe` has.
_DESCRIBE = ('batches', 'dropout_samples')


class Experiment(NamedTuple):
  """What all systems and seeds of a config share.

  Attributes:
    config: as plain values.
    dataset: with its transforms applied.
    facts: what may be known of it.
    protocol: how to proceed.
    oracle: who answers.
  """

  config: Config
  dataset: data.Dataset
  facts: Facts
  protocol: protocol.Protocol
  oracle: oracle.Oracle


def prepare(config: Config) -> Experiment:
  """Loads the data and checks the config, before any work.

  Args:
    config: as plain values.

  Returns:
    An Experiment.

  Raises:
    ValueError: a field that is out of range or not known.
  """
  check_options(config)
  proceeding = protocol.Protocol(**config['protocol'])
  seed_list(config)
  dataset = data.load(config['data'])
  proceeding.check(len(dataset.train))
  facts = program.facts_of(dataset, proceeding.budget)
  answers = oracle.Oracle(
    dataset.train.targets, dataset.num_classes, **config['oracle']
  )
  return Experiment(config, dataset, facts, proceeding, answers)


def system_of(experiment: Experiment, name: str) -> systems.System:
  """The system of a name, as the config describes it.

  Strategy options are for the strategies that have them: in a comparison the
  others go without. Random measures nothing: there is nothing to look at less
  of, and nothing to choose among.
  """
  config = experiment.config
  looks = name != 'random'
  system = systems.build(
    name,
    experiment.facts,
    model=config['model'],
    learner=config['learner'],
    strategy=_options_of(name, config),
    subset_size=config['subset_size'] if looks else None,
    prefilter=config['prefilter'] if looks else None,
  )
  stages.check_candidates(
    system.strategy, config['protocol']['labels_per_round']
  )
  splits = {'pool', 'test'}
  if experiment.dataset.validation is not None:
    splits.add('validation')
  program.check_sources(system, splits)
  return system


def program_of(
  experiment: Experiment,
  name: str,
  all_sources: sources.Sources,
  num_lanes: int,
) -> program.Program:
  """The compiled system of a name."""
  return program.compile_program(
    system_of(experiment, name),
    all_sources,
    experiment.dataset.train.ids,
    num_lanes=num_lanes,
    chunk_size=experiment.config['chunk_size'],
    describe_batches=experiment.config['describe']['batches'],
    evaluate_samples=experiment.config['describe']['dropout_samples'],
  )


def system_names(config: Config, field: str) -> list[str]:
  """The systems that a field of a config names.

  Args:
    config: as plain values.
    field: `'system'` or `'systems'`.

  Returns:
    Different names, one or more; whether they exist is checked elsewhere.
  """
  given = config[field]
  listed = [given] if isinstance(given, str) else list(given)
  # On a command line `--config.systems=random,margin` is easier to write.
  names = [name.strip() for text in listed for name in str(text).split(',')]
  if not names or len(set(names)) < len(names):
    raise ValueError(
      f'config.{field} is {given!r}; it must name different systems, one or '
      'more.'
    )
  return names


def check_strategy_options(config: Config, names: Sequence[str]) -> None:
  """Refuses a strategy option that none of the systems has.

  Args:
    config: as plain values.
    names: of the systems that are run.

  Raises:
    ValueError: for the first such option.
  """
  known = set().union(*(_known_options(name) for name in names))
  for option in config['strategy']:
    if option not in known:
      raise errors.unknown_option('config.strategy', option, known)


def _options_of(name, config):
  """The strategy options that the strategy of a system has."""
  known = _known_options(name)
  return {
    option: value
    for option, value in config['strategy'].items()
    if option in known
  }


def _known_options(name):
  strategy = systems.SYSTEMS[name].strategy
  return errors.options_of(strategies.STRATEGIES[strategy])


def seed_list(config: Config) -> tuple[int, ...]:
  """The seeds of a config: so many, from the first one on."""
  count, first = config['seeds'], config['first_seed']
  if count < 1:
    raise ValueError(f'config.seeds is {count}; it must be at least 1.')
  seeds = tuple(range(first, first + count))
  for seed in seeds:
    keys.for_run(seed, keys.INITIALISE)  # refuses what no key can hold
  return seeds


def check_options(config: Config) -> None:
  """Refuses fields and options that nobody reads."""
  for name in config:
    if name not in FIELDS:
      raise errors.unknown_name('config field', name, FIELDS)
  learner, proceeding = config['learner'], config['protocol']
  errors.check_options(
    'learner.optimizer',
    optimizers.build,
    [name for name in learner.get('optimizer', {}) if name != 'name'],
  )
  for name, kind, given in (
    ('learner.stop', stopping.StopRule, learner.get('stop', {})),
    ('protocol', protocol.Protocol, proceeding),
  ):
    for option in given:
      if option not in kind.__dataclass_fields__:
        raise errors.unknown_name(
          f'field of {name}', option, kind.__dataclass_fields__
        )
  errors.check_options('oracle', oracle.Oracle, config['oracle'])
  if config['placement'] not in sources.PLACEMENTS:
    raise errors.unknown_name(
      'placement', config['placement'], sources.PLACEMENTS
    )
  if config['chunk_size'] < 1:
    raise ValueError(
      f'chunk_size is {config["chunk_size"]}; it must be at least 1.'
    )
  asked, looked_at = proceeding['labels_per_round'], config['subset_size']
  if looked_at is not None and looked_at < asked:
    raise ValueError(
      f'subset_size is {looked_at}; it must be at least '
      f'protocol.labels_per_round, {asked}.'
    )
  for field in ('system', 'systems'):
    for name in system_names(config, field):
      if name not in systems.SYSTEMS:
        raise errors.unknown_name('system', name, systems.SYSTEMS)
  for name in config['describe']:
    if name not in _DESCRIBE:
      raise errors.unknown_name('field of describe', name, _DESCRIBE)

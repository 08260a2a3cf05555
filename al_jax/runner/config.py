"""From a config to the objects of the library; configs go no further."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import (
  data,
  errors,
  keys,
  oracle,
  parts,
  sources,
  systems,
  tasks,
)
from al_jax.data import identity as file_identity
from al_jax.data import transforms
from al_jax.interfaces import Facts, Oracle, PyTree
from al_jax.loop import ledger, program, protocol, stages
from al_jax.models.backbones import embedding
from al_jax.models.weights import hub
from al_jax.runner import features, options, stream, synthesis
from al_jax.runner.options import Config

# What al_jax/runner/defaults.py has.
FIELDS = (
  'data',
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
  'prices',
  'describe',
  'full_labels',
  'pretraining',
  'synthesis',
  'stream',
  'placement',
  'chunk_size',
)
# Of these, what nothing in a checkpoint depends on but its system and seeds,
# which it is told apart by as well.
_OF_NO_RESULT = (
  'systems',
  'seeds',
  'first_seed',
  'full_labels',
  'placement',
  'chunk_size',
)
_MAPPINGS = (
  'model',
  'learner',
  'strategy',
  'protocol',
  'oracle',
  'prices',
  'describe',
  'pretraining',
  'synthesis',
  'stream',
)
# Who answers after the first set.
_ANNOTATORS = ('person', 'machine')
# What `describe` has.
_DESCRIBE = ('batches', 'dropout_samples', 'probe')
# More are a slip.
_MOST_SEEDS = 10_000


class Experiment(NamedTuple):
  """What all systems and seeds of a config share.

  Attributes:
    config: as plain values.
    dataset: with its transforms applied.
    facts: what may be known of it.
    protocol: how to proceed.
    oracle: who answers.
    built: systems by name, as far as `system_of` has built them.
    pretrained: weights that all networks begin with, see
      `runner.pretraining`; None if they begin with none, or have not been made
      yet.
    features: float32[N, D] that a first set is chosen in; None if none are
      given, or a pretraining has not made them yet.
  """

  config: Config
  dataset: data.Dataset
  facts: Facts
  protocol: protocol.Protocol
  oracle: Oracle
  built: dict[str, systems.System]
  pretrained: PyTree = None
  features: np.ndarray | None = None

  def beginning_with(self, weights: PyTree) -> 'Experiment':
    """The same experiment with pretrained weights.

    Its systems are built anew: weights are a part of them.
    """
    return self._replace(built={}, pretrained=weights)


def upgraded(config: Config, systems: Sequence[str] | None = None) -> Config:
  """Reads a config of an earlier version.

  A field `system` named a single system. `protocol.target_accuracy` was of the
  test split, where there was no `test_accuracy`. `learner.name` was there and
  None. There was no `protocol.first_features`, no `synthesis`, no `stream`, no
  `oracle.annotator`, no `prices`, and no `describe.probe`.

  Args:
    config: as plain values, of any time.
    systems: names that a manifest has beside the config. If given, they decide:
      such a config had both fields, whichever of them was run.

  Returns:
    The config as it is written today. If it had a `system`, `systems` names
    what it meant.
  """
  found = dict(config)
  if 'system' in config:
    single = found.pop('system')
    found['systems'] = single if systems is None else list(systems)
  learner = config.get('learner')
  if isinstance(learner, Mapping) and learner.get('name', '') is None:
    others = {name: learner[name] for name in learner if name != 'name'}
    found['learner'] = others
  proceeding = config.get('protocol')
  if isinstance(proceeding, Mapping) and 'test_accuracy' not in proceeding:
    renamed = _with_test_accuracy({'protocol': proceeding})['protocol']
    found['protocol'] = {
      'test_accuracy': None,
      **renamed,
      'target_accuracy': None,
    }
    if 'grid' in config:
      found['grid'] = _with_test_accuracy(config['grid'])
  if isinstance(proceeding, Mapping):
    found['protocol'] = {features.FIELD: None, **found['protocol']}
  if 'pretraining' in found:
    found.setdefault('synthesis', {})
    found.setdefault('stream', {})
  if isinstance(found.get('oracle'), Mapping):
    found['oracle'] = {'annotator': 'person', **found['oracle']}
    found.setdefault('prices', {})
  if isinstance(found.get('describe'), Mapping):
    found['describe'] = {'probe': None, **found['describe']}
  return found


def _with_test_accuracy(changes):
  """Renames `protocol.target_accuracy`, however deep in a grid it stands."""
  if isinstance(changes, list | tuple):
    return [_with_test_accuracy(part) for part in changes]
  if not isinstance(changes, Mapping):
    return changes
  found = {name: _with_test_accuracy(part) for name, part in changes.items()}
  proceeding = found.get('protocol')
  if isinstance(proceeding, dict) and 'target_accuracy' in proceeding:
    proceeding['test_accuracy'] = proceeding.pop('target_accuracy')
  return found


def upgraded_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
  """Reads what `identity_of` returned in an earlier version."""
  return {**identity, 'config': upgraded(identity.get('config', {}))}


def prepare(
  config: Config,
  *,
  dataset: data.Dataset | None = None,
  built: dict[str, systems.System] | None = None,
) -> Experiment:
  """Checks the config and loads the data, before any work.

  Args:
    config: as plain values.
    dataset: what `config['data']` names, if it has been loaded.
    built: systems that were built for the same config and data, by name.

  Returns:
    An Experiment.

  Raises:
    ValueError: a field that is out of range or not known.
  """
  check_options(config)
  proceeding = protocol_of(config)
  if dataset is None:
    dataset = data.load(config['data'])
  proceeding.check(
    len(dataset.train), has_validation=dataset.validation is not None
  )
  facts = program.facts_of(
    dataset,
    proceeding.budget,
    made_capacity=synthesis.made_capacity(config, proceeding),
  )
  answers = _oracle_of(config, dataset)
  if facts.made_capacity:
    answers = synthesis.oracle_of(
      dataset, synthesis.oracle_options(config), answers
    )
  return Experiment(
    config,
    dataset,
    facts,
    proceeding,
    answers,
    built={} if built is None else built,
    features=features.load(
      config['protocol'].get(features.FIELD), proceeding, facts.num_examples
    ),
  )


def _oracle_of(config, dataset):
  """Who answers about the pool."""
  options = dict(config['oracle'])
  annotator = options.pop('annotator', 'person')
  person = oracle.SimulatedOracle(
    dataset.train.targets,
    dataset.task,
    transforms.are_outliers(dataset.train.ids),
    **options,
  )
  if annotator == 'person':
    return person
  tasks.need_classes(dataset.task, "oracle.annotator 'machine'")
  return oracle.MachineOracle(person)


def system_of(experiment: Experiment, name: str) -> systems.System:
  """The system of a name as the config describes it, built at the first call.

  Options are for the strategies and the learners that have them: in a
  comparison the others go without. Where a strategy looks at nothing there is
  nothing to look at less of, and nothing to choose among.
  """
  if name not in experiment.built:
    experiment.built[name] = _build(experiment, name)
  return experiment.built[name]


def _build(experiment, name):
  config = experiment.config
  looks = options.looks(name, config)
  system = systems.build(
    name,
    experiment.facts,
    model=config['model'],
    learner=options.learner_options(name, config),
    strategy=options.strategy_options(name, config),
    subset_size=config['subset_size'] if looks else None,
    prefilter=config['prefilter'] if looks else None,
    pretrained=experiment.pretrained,
  )
  _check_enough_to_ask(system, config)
  made = synthesis.of_config(config)
  if made is not None:
    made.check(system)
  passing = stream.of_config(config)
  if passing is not None:
    passing.check(system)
  program.check_samples(system, config['describe']['dropout_samples'])
  if not experiment.built:
    _check_probe(experiment)
  splits = {'pool', 'test'}
  if experiment.dataset.validation is not None:
    splits.add('validation')
  program.check_sources(system, splits)
  return system


def _check_probe(experiment):
  """Refuses what no probe can look at."""
  probe, dataset = experiment.config['describe']['probe'], experiment.dataset
  if probe is None:
    return
  tasks.need_classes(dataset.task, 'describe.probe')
  if isinstance(probe, Mapping):
    with errors.within('describe.probe', probe):
      embedding.check(dataset, **probe)
    return
  shape = getattr(experiment.facts.example, 'shape', ())
  if len(shape) != 1:
    raise ValueError(
      'describe.probe is True, which is for features, and an example here has '
      f'shape {shape}: give options of a published network, see '
      'docs/training.md.'
    )


def _check_enough_to_ask(system, config):
  """A part of the pool is no smaller than a batch, unless it is all of it."""
  num_examples = system.facts.num_examples
  asked = min(config['protocol']['labels_per_round'], num_examples)
  stages.check_candidates(system.strategy, asked)
  looked_at = config['subset_size']
  if looked_at is not None and min(looked_at, num_examples) < asked:
    raise ValueError(
      f'subset_size is {looked_at}; it must be at least '
      f'protocol.labels_per_round, {asked}.'
    )


def sources_of(experiment: Experiment) -> sources.Sources:
  """The data, where the config wants them."""
  return program.sources_of(experiment.dataset, experiment.config['placement'])


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
    synthesis=synthesis.of_config(experiment.config),
    stream=stream.of_config(experiment.config),
    probe=_probe_features(experiment),
  )


def _probe_features(experiment):
  """What `describe.probe` looks at; None if there is none."""
  probe, dataset = experiment.config['describe']['probe'], experiment.dataset
  if probe is None:
    return None
  if isinstance(probe, Mapping):
    dataset = embedding.embedded(dataset, **probe)
  return np.asarray(dataset.train.inputs, np.float32)


def seed_list(config: Config) -> tuple[int, ...]:
  """The seeds of a config: so many, from the first one on."""
  count, first = config['seeds'], config['first_seed']
  errors.check_number('config.seeds', count, int, least=1, most=_MOST_SEEDS)
  errors.check_number('config.first_seed', first, int, least=0)
  seeds = tuple(range(first, first + count))
  keys.for_run(seeds[-1], keys.INITIALISE)  # refuses what no key can hold
  return seeds


def identity_of(experiment: Experiment, name: str) -> dict[str, Any]:
  """What tells the runs of a system and seed apart: config and data.

  Args:
    experiment: of the runs.
    name: of the system.

  Returns:
    What `loop.run_rounds` takes: all that may change a result.
  """
  config = {
    name: value
    for name, value in experiment.config.items()
    if name not in _OF_NO_RESULT
  }
  config['protocol'] = {
    name: value
    for name, value in config['protocol'].items()
    if name != 'save_every_steps'
  }
  config['stream'] = stream.without_lookahead(config['stream'])
  identity = {'config': config, 'data': experiment.dataset.fingerprint}
  # Those of a pretraining follow from the config.
  if experiment.config['protocol'].get(features.FIELD) is not None:
    identity[features.FIELD] = features.fingerprint(experiment.features)
  for what, given in (
    ('weights', config['model']),
    ('probe_weights', config['describe']['probe']),
  ):
    found = hub.named_in(given) if isinstance(given, Mapping) else []
    if found:
      identity[what] = file_identity.of_files(found)
  spec, resolved = config['data'], experiment.dataset.normalize
  is_given = isinstance(spec, Mapping) and spec.get('normalize')
  # 'channel' has always been the default of pictures: runs that were begun
  # before defaults were a part of this can go on.
  if not is_given and resolved != 'channel':
    identity['normalize'] = resolved
  modules = parts.digests(options.parts_of(name, experiment.config))
  if modules:
    identity['modules'] = modules
  return identity


def check_options(config: Config) -> None:
  """Refuses fields that nobody reads, and values that no field can have.

  Args:
    config: as plain values.

  Raises:
    ValueError: for the first of them.
  """
  for name in config:
    if name not in FIELDS:
      raise errors.unknown_name('config field', name, FIELDS)
  for name in FIELDS:
    if name not in config:
      raise ValueError(
        f'the config has no field {name!r}; see al_jax/runner/defaults.py.'
      )
  for name in _MAPPINGS:
    errors.check_mapping(f'config.{name}', config[name])
  protocol_of(config)
  seed_list(config)
  _check_oracle(config)
  errors.check_name('placement', config['placement'], sources.PLACEMENTS)
  errors.check_number('chunk_size', config['chunk_size'], int, least=1)
  errors.check_number(
    'subset_size', config['subset_size'], int, least=1, optional=True
  )
  errors.check_flag('full_labels', config['full_labels'])
  synthesis.of_config(config)
  passing = stream.of_config(config)
  if passing is not None:
    passing.check_protocol(protocol_of(config))
  _refuse_learner_name(config)
  options.system_names(config)
  for name in config['describe']:
    if name not in _DESCRIBE:
      raise errors.unknown_option('describe', name, _DESCRIBE)
  for name in _DESCRIBE:
    if name not in config['describe']:
      raise ValueError(
        f'describe has no {name!r}; see al_jax/runner/defaults.py.'
      )
  errors.check_flag('describe.batches', config['describe']['batches'])
  probe = config['describe']['probe']
  if probe is not None and probe is not True:
    if not isinstance(probe, Mapping):
      raise ValueError(
        f'describe.probe is {probe!r}; it must be None, True, or options of a '
        'published network.'
      )
    errors.check_options('describe.probe', embedding.embedded, probe)
    errors.check_required('describe.probe', embedding.embedded, probe)


def _check_oracle(config):
  """Refuses who cannot answer, and prices of what nobody has."""
  options = dict(config['oracle'])
  annotator = options.pop('annotator', 'person')
  errors.check_name('oracle.annotator', annotator, _ANNOTATORS)
  errors.check_options('oracle', oracle.SimulatedOracle, options)
  if annotator == 'machine' and config['synthesis']:
    raise ValueError(
      "oracle.annotator is 'machine' and queries are made (config.synthesis): "
      "a model cannot answer about what it made; set it to 'person'."
    )
  if annotator == 'machine' and protocol_of(config).first_set == 'none':
    raise ValueError(
      "oracle.annotator is 'machine' and protocol.first_set is 'none': a model "
      'that nobody has taught would answer its own queries; choose another '
      'first_set, which people label.'
    )
  for name, price in config['prices'].items():
    errors.check_name(
      'the option', f'prices.{name}', [f'prices.{who}' for who in ledger.PRICES]
    )
    errors.check_number(f'prices.{name}', price, least=0)


def _refuse_learner_name(config):
  """The learner is a part of the system; once it could be set apart."""
  name = config['learner'].get('name')
  if name is None:
    return
  together = [
    f'{name}+{systems.published(system).strategy}'
    for system in options.system_names(config)
  ]
  raise ValueError(
    f'config.learner.name is {name!r}, and the learner is a part of the '
    f'system: write config.systems={",".join(together)} in its place.'
  )


def protocol_of(config: Config) -> protocol.Protocol:
  """How to proceed, by a config."""
  given = dict(config['protocol'])
  given.pop(features.FIELD, None)
  fields = protocol.Protocol.__dataclass_fields__
  for name in given:
    if name not in fields:
      raise errors.unknown_option('protocol', name, [*fields, features.FIELD])
  return protocol.Protocol(**given)

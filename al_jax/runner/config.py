"""From a config to the objects of the library; configs go no further."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from al_jax import (
  data,
  errors,
  oracle,
  sources,
  systems,
  tasks,
)
from al_jax.data import transforms
from al_jax.interfaces import Facts, Oracle, PyTree
from al_jax.loop import program, protocol, stages
from al_jax.models.backbones import embedding
from al_jax.runner import checks, features, options, stream, synthesis
from al_jax.runner.options import Config


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
  checks.check_options(config)
  proceeding = checks.protocol_of(config)
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

"""Turns a config into objects of the library, which read no config."""

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
  """The parts that all systems and seeds of a config share.

  Attributes:
    config: config as plain values.
    dataset: the data set, with its transforms applied.
    facts: facts of the data set.
    protocol: the protocol.
    oracle: the source of the answers.
    built: systems built by `system_of`, by name.
    pretrained: initial weights of all networks, see `runner.pretraining`; None
      if there are none, or they have not been made yet.
    features: float32[N, D], features that spread a first set; None if there are
      none, or a pretraining has not made them yet.
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
    """Returns the same experiment with pretrained weights.

    Its systems are rebuilt, because weights are a part of them.
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
    config: config as plain values.
    dataset: data set that `config['data']` names, if already loaded.
    built: systems already built for the same config and data, by name.

  Returns:
    An Experiment.

  Raises:
    ValueError: a field is out of range or unknown.
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
  """Returns the oracle that answers queries from the pool."""
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
  """Returns the system of a name as the config describes it, built only once.

  Strategies and learners receive only the options that they have, so that a
  comparison can set options for one of them. A strategy that measures nothing
  ignores `subset_size` and `prefilter`.
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
  """Rejects data that the probe cannot read."""
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
      'describe.probe is True, which is for features, but an example here has '
      f'shape {shape}: give options of a published network, see '
      'docs/training.md.'
    )


def _check_enough_to_ask(system, config):
  """Checks that a subset of the pool has at least the size of a batch."""
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
  """Returns the data, placed as the config says."""
  return program.sources_of(experiment.dataset, experiment.config['placement'])


def program_of(
  experiment: Experiment,
  name: str,
  all_sources: sources.Sources,
  num_lanes: int,
) -> program.Program:
  """Compiles the system of a name."""
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
  """Returns the features for `describe.probe`; None if there is no probe."""
  probe, dataset = experiment.config['describe']['probe'], experiment.dataset
  if probe is None:
    return None
  if isinstance(probe, Mapping):
    dataset = embedding.embedded(dataset, **probe)
  return np.asarray(dataset.train.inputs, np.float32)

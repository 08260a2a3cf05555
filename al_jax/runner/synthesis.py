"""What `config.synthesis` says: queries that are made, and who answers them."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from al_jax import data, errors, keys, learners, models
from al_jax import pool as pool_lib
from al_jax.loop import program
from al_jax.loop.protocol import Protocol
from al_jax.loop.synthesis import Synthesis
from al_jax.oracle import ModelOracle, SimulatedOracle
from al_jax.runner.options import Config
from al_jax.training import fit

# The classifier that answers: what it is, how long it trains on all labels of
# the pool, and the least probability of a class that it answers with.
_ORACLE = {
  'model': {'name': 'cnn', 'channels': (32, 64), 'norm': 'batch'},
  'epochs': 10,
  'batch_size': 128,
  'gate': 0.9,
}


def of_config(config: Config) -> Synthesis | None:
  """How queries are made; None if they are taken from the pool.

  Args:
    config: as plain values.

  Returns:
    Synthesis.

  Raises:
    ValueError: an unknown option, a value that is not allowed, or options that
      nothing would read.
  """
  given = {
    name: of for name, of in config['synthesis'].items() if name != 'oracle'
  }
  oracle_options(config)
  if not config['synthesis']:
    return None
  if 'name' not in given:
    raise ValueError(
      f'config.synthesis is {dict(config["synthesis"])}; it needs a `name`.'
    )
  made = errors.made_of('config.synthesis', given, Synthesis)
  if not made.begins_in_pool:
    for name in ('subset_size', 'prefilter'):
      if config[name]:
        raise ValueError(
          f'config.{name} is set, and synthesis {made.name!r} looks at no '
          'example of the pool: leave it out.'
        )
  return made


def oracle_options(config: Config) -> dict[str, Any]:
  """The options of the classifier that answers, with their defaults."""
  given = config['synthesis'].get('oracle', {})
  errors.check_mapping('config.synthesis.oracle', given)
  for name in given:
    if name not in _ORACLE:
      raise errors.unknown_option('config.synthesis.oracle', name, _ORACLE)
  return {**_ORACLE, **given}


def made_capacity(config: Config, proceeding: Protocol) -> int:
  """The most examples that a run makes."""
  if of_config(config) is None:
    return 0
  return proceeding.budget - proceeding.first_size


def oracle_of(
  dataset: data.Dataset, options: Mapping[str, Any], of_pool: SimulatedOracle
) -> ModelOracle:
  """Who answers about made examples; trained when it is first asked.

  Args:
    dataset: whose pool it learns, with all labels.
    options: see `oracle_options`.
    of_pool: answers about the pool.

  Returns:
    ModelOracle.
  """
  trained = functools.cache(functools.partial(_trained, dataset, options))
  return ModelOracle(
    of_pool, lambda inputs: trained()(inputs), gate=options['gate']
  )


def _trained(dataset, options):
  """Trains the classifier; returns `(inputs) -> probabilities`."""
  facts = program.facts_of(dataset, len(dataset.train))
  model = models.build(facts=facts, **options['model'])
  learner = learners.supervised(
    model,
    facts,
    batch_size=options['batch_size'],
    stop={'epochs': options['epochs']},
  )
  fns = fit.compile_fit(learner, facts, program.sources_of(dataset))
  key = keys.for_run(0, keys.ORACLE_MODEL)
  state = jax.jit(learner.init)(key)
  pool = pool_lib.fully_labelled(dataset.train.targets)
  seeds = [[jax.random.fold_in(key, number)] for number in range(2)]
  *_, (state, _) = fit.fit(fns, *seeds, [state], [pool])

  @jax.jit
  def predict(inputs):
    return jax.nn.softmax(learner.apply(state, inputs).predictions)

  return lambda inputs: np.asarray(predict(inputs))

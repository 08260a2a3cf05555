"""Reads `config.synthesis`: how queries are made, and what answers them."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from al_jax import data, errors, keys, learners, models, sources
from al_jax import pool as pool_lib
from al_jax.data import transforms
from al_jax.interfaces import Facts, Learner
from al_jax.loop import program
from al_jax.loop.protocol import Protocol
from al_jax.loop.synthesis import READ_BY, Synthesis
from al_jax.oracle import ModelOracle, SimulatedOracle
from al_jax.runner.options import Config
from al_jax.training import fit

# Options of the classifier that answers: its model, its training on all labels
# of the pool, and the minimum probability of a class that it answers with.
_ORACLE = {
  'model': {'name': 'cnn', 'channels': (32, 64), 'norm': 'batch'},
  'epochs': 10,
  'batch_size': 128,
  'gate': 0.9,
}
# Examples of the test split per forward pass.
_ROWS = 1000


def of_config(config: Config) -> Synthesis | None:
  """Returns the options for making queries; None if they come from the pool.

  Args:
    config: config as plain values.

  Returns:
    Synthesis.

  Raises:
    ValueError: an option is unknown, has an invalid value, or would not be
      read.
  """
  if not config['synthesis']:
    return None
  given = dict(config['synthesis'])
  given.pop('oracle', None)
  oracle_options(config)
  if 'name' not in given:
    raise ValueError(
      f'config.synthesis is {dict(config["synthesis"])}; it needs a `name`.'
    )
  fields = inspect.signature(Synthesis).parameters
  for option in given:
    if option not in fields:
      raise errors.unknown_option(
        'config.synthesis', option, (*fields, 'oracle')
      )
  made = Synthesis(**given)
  _check_read(config, given, made)
  return made


def _check_read(config, given, made):
  """Rejects options that would not be read, or would be misread."""
  for option in given:
    readers = READ_BY.get(option, (made.name,))
    if made.name not in readers:
      raise ValueError(
        f'config.synthesis.{option} is set, but synthesis {made.name!r} does '
        f'not read it, only {" and ".join(readers)}: leave it out.'
      )
  if not made.begins_in_pool:
    for name in ('subset_size', 'prefilter'):
      if config[name]:
        raise ValueError(
          f'config.{name} is set, but synthesis {made.name!r} reads no '
          'example of the pool: leave it out.'
        )
    asked = config['protocol']['labels_per_round']
    if made.num_candidates < asked:
      raise ValueError(
        f'config.synthesis.num_candidates is {made.num_candidates}; it must be '
        f'at least protocol.labels_per_round, {asked}.'
      )
  if config['describe']['batches']:
    raise ValueError(
      'config.describe.batches describes queries of the pool, but '
      'config.synthesis makes them: leave one of them out.'
    )
  for name in ('noise', 'abstain'):
    if config['oracle'].get(name):
      raise ValueError(
        f'config.oracle.{name} is {config["oracle"][name]}, but a classifier '
        'answers the queries of config.synthesis: leave one of them out.'
      )


def oracle_options(config: Config) -> dict[str, Any]:
  """Returns the options of the classifier that answers, with defaults."""
  given = config['synthesis'].get('oracle', {})
  errors.check_mapping('config.synthesis.oracle', given)
  for name in given:
    if name not in _ORACLE:
      raise errors.unknown_option('config.synthesis.oracle', name, _ORACLE)
  found = {**_ORACLE, **given}
  what = 'config.synthesis.oracle'
  errors.check_mapping(f'{what}.model', found['model'])
  if 'name' not in found['model']:
    raise ValueError(f'{what}.model is {found["model"]}; it needs a `name`.')
  for name in ('epochs', 'batch_size'):
    errors.check_number(
      f'{what}.{name}', found[name], int, least=1, most=errors.MOST_COUNTED
    )
  errors.check_number(f'{what}.gate', found['gate'], least=0, most=1)
  return found


def made_capacity(config: Config, proceeding: Protocol) -> int:
  """Returns the maximum number of examples that a run makes."""
  if of_config(config) is None:
    return 0
  return proceeding.budget - proceeding.first_size


def oracle_of(
  dataset: data.Dataset, options: Mapping[str, Any], of_pool: SimulatedOracle
) -> ModelOracle:
  """Returns the oracle for made examples, trained on its first query.

  Args:
    dataset: the data set; the oracle learns all labels of its pool except those
      of outliers.
    options: see `oracle_options`.
    of_pool: oracle for examples of the pool.

  Returns:
    ModelOracle.
  """
  learner, facts = classifier_of(dataset, options)
  trained = functools.cache(
    functools.partial(_trained, dataset, facts, learner, options['gate'])
  )
  return ModelOracle(
    of_pool, lambda inputs: trained()(inputs), gate=options['gate']
  )


def classifier_of(
  dataset: data.Dataset, options: Mapping[str, Any]
) -> tuple[Learner, Facts]:
  """Builds the learner of the classifier that answers.

  Args:
    dataset: the data set whose pool it learns.
    options: see `oracle_options`.

  Returns:
    The learner, and the facts that it was built for.

  Raises:
    ValueError: the model cannot be built.
  """
  facts = program.facts_of(dataset, len(dataset.train))
  try:
    model = models.build(facts=facts, **options['model'])
  except ValueError as error:
    raise ValueError(f'config.synthesis.oracle: {error}') from error
  learner = learners.supervised(
    model,
    facts,
    batch_size=options['batch_size'],
    stop={'epochs': options['epochs']},
  )
  return learner, facts


def _trained(dataset, facts, learner, gate):
  """Trains the classifier; returns `(inputs) -> probabilities`."""
  fns = fit.compile_fit(learner, facts, program.sources_of(dataset))
  key = keys.for_run(0, keys.ORACLE_MODEL)
  state = jax.jit(learner.init)(key)
  pool = _taught(dataset)
  seeds = [[jax.random.fold_in(key, number)] for number in range(2)]
  *_, (state, _) = fit.fit(fns, *seeds, [state], [pool])

  @jax.jit
  def predict(inputs):
    return jax.nn.softmax(learner.apply(state, inputs).predictions)

  def answer(inputs):
    return np.asarray(predict(inputs))

  _say_how_good(dataset, answer, gate)
  return answer


def _say_how_good(dataset, answer, gate):
  """Logs the quality of the classifier's answers on the test split."""
  if dataset.test is None:
    return
  rows = np.arange(len(dataset.test))
  probabilities = np.concatenate(
    [
      answer(sources.gather_on_host(dataset.test.inputs, part))
      for part in np.array_split(rows, -(-len(rows) // _ROWS))
    ]
  )
  answers = probabilities.max(axis=1) >= gate
  right = probabilities.argmax(axis=1) == dataset.test.targets
  logging.warning(
    'synthesis: on the test split the classifier that answers is right for '
    '%.1f%% and wrong for %.1f%%; it says of %.1f%% that they show nothing.',
    *(100 * np.mean(share) for share in (answers & right, answers & ~right)),
    100 * np.mean(~answers),
  )


def _taught(dataset):
  """Returns the pool with all labels, except for pictures of nothing."""
  pool = pool_lib.fully_labelled(dataset.train.targets)
  shows_nothing = jnp.asarray(transforms.are_outliers(dataset.train.ids))
  return pool.replace(
    annotator=jnp.where(
      shows_nothing, jnp.int8(pool_lib.ABSTAINED), pool.annotator
    )
  )

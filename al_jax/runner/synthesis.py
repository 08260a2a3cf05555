"""What `config.synthesis` says: queries that are made, and who answers them."""

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

# The classifier that answers: what it is, how long it trains on all labels of
# the pool, and the least probability of a class that it answers with.
_ORACLE = {
  'model': {'name': 'cnn', 'channels': (32, 64), 'norm': 'batch'},
  'epochs': 10,
  'batch_size': 128,
  'gate': 0.9,
}
# Examples of the test split that it looks at in one call.
_ROWS = 1000


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
  """Refuses what nothing would read, or would read wrongly."""
  for option in given:
    readers = READ_BY.get(option, (made.name,))
    if made.name not in readers:
      raise ValueError(
        f'config.synthesis.{option} is set, and synthesis {made.name!r} does '
        f'not read it, but {" and ".join(readers)}: leave it out.'
      )
  if not made.begins_in_pool:
    for name in ('subset_size', 'prefilter'):
      if config[name]:
        raise ValueError(
          f'config.{name} is set, and synthesis {made.name!r} looks at no '
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
      'config.describe.batches describes queries of the pool, and '
      'config.synthesis makes them: leave one of them out.'
    )
  for name in ('noise', 'abstain'):
    if config['oracle'].get(name):
      raise ValueError(
        f'config.oracle.{name} is {config["oracle"][name]}, and a classifier '
        'answers about queries of config.synthesis: leave one of them out.'
      )


def oracle_options(config: Config) -> dict[str, Any]:
  """The options of the classifier that answers, with their defaults."""
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
  """The most examples that a run makes."""
  if of_config(config) is None:
    return 0
  return proceeding.budget - proceeding.first_size


def oracle_of(
  dataset: data.Dataset, options: Mapping[str, Any], of_pool: SimulatedOracle
) -> ModelOracle:
  """Who answers about made examples; trained when it is first asked.

  Args:
    dataset: whose pool it learns, with all labels but those of outliers.
    options: see `oracle_options`.
    of_pool: answers about the pool.

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
    dataset: whose pool it learns.
    options: see `oracle_options`.

  Returns:
    The learner, and the facts that it was built for.

  Raises:
    ValueError: a model that cannot be built.
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
  """Logs what the classifier would answer about the test split."""
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
    'synthesis: of the test split the classifier that answers names %.1f%% '
    'rightly and %.1f%% wrongly; it says of %.1f%% that they show nothing.',
    *(100 * np.mean(share) for share in (answers & right, answers & ~right)),
    100 * np.mean(~answers),
  )


def _taught(dataset):
  """The pool with all labels; a picture of nothing has none."""
  pool = pool_lib.fully_labelled(dataset.train.targets)
  shows_nothing = jnp.asarray(transforms.are_outliers(dataset.train.ids))
  return pool.replace(
    annotator=jnp.where(
      shows_nothing, jnp.int8(pool_lib.ABSTAINED), pool.annotator
    )
  )

"""The published systems: a name -> a learner and a strategy."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from al_jax import errors, models, primitives
from al_jax.interfaces import Batch, Facts, Learner, Strategy
from al_jax.learners import LEARNERS
from al_jax.strategies import STRATEGIES, subset


class Recipe(NamedTuple):
  """What a system is made of, before anything is built.

  Attributes:
    learner: a name in `learners.LEARNERS`.
    strategy: a name in `strategies.STRATEGIES`.
    strategy_options: what this system sets, unless a config says otherwise.
    paper: where it comes from.
  """

  learner: str
  strategy: str
  strategy_options: Mapping[str, Any]
  paper: str


_GAL = 'Gal et al. 2017, Deep Bayesian Active Learning with Image Data'
_LEWIS = 'Lewis and Gale 1994, A Sequential Algorithm for Training Classifiers'
_SCHEFFER = 'Scheffer et al. 2001, Active Hidden Markov Models'
_SHANNON = 'Settles 2009, Active Learning Literature Survey, section 3.1'

SYSTEMS = {
  'random': Recipe('supervised', 'random', {}, 'the baseline'),
  'least_confidence': Recipe('supervised', 'least_confidence', {}, _LEWIS),
  'margin': Recipe('supervised', 'margin', {}, _SCHEFFER),
  'entropy': Recipe('supervised', 'entropy', {}, _SHANNON),
  'mc_least_confidence': Recipe(
    'supervised', 'least_confidence', {'num_samples': 50}, _GAL
  ),
  'mc_margin': Recipe('supervised', 'margin', {'num_samples': 50}, _GAL),
  'mc_entropy': Recipe('supervised', 'entropy', {'num_samples': 50}, _GAL),
}


class System(NamedTuple):
  """A learner and a strategy that fit together.

  Attributes:
    name: in `SYSTEMS`.
    learner: how to train.
    strategy: what to ask.
    facts: of the task that both were built for.
  """

  name: str
  learner: Learner
  strategy: Strategy
  facts: Facts


def build(
  name: str,
  facts: Facts,
  *,
  model: Mapping[str, Any],
  learner: Mapping[str, Any] | None = None,
  strategy: Mapping[str, Any] | None = None,
  subset_size: int | None = None,
) -> System:
  """Makes a system by name.

  Args:
    name: in `SYSTEMS`.
    facts: of the task.
    model: `name` and options, for `models.build`.
    learner: options of the learner.
    strategy: options of the strategy; they go before the recipe's.
    subset_size: let the strategy look at so many examples per round, drawn
      anew each time; None for all.

  Returns:
    A System that has been traced once, so that what does not fit together is
    known before any work.

  Raises:
    ValueError: an unknown name or option, or a strategy that needs what the
      model cannot give.
  """
  if name not in SYSTEMS:
    raise errors.unknown_name('system', name, SYSTEMS)
  recipe = SYSTEMS[name]
  network = models.build(facts=facts, **model)
  make_learner = LEARNERS[recipe.learner]
  options = dict(learner or {})
  errors.check_options(f'learner {recipe.learner!r}', make_learner, options)
  built_learner = make_learner(network, facts, **options)
  make_strategy = STRATEGIES[recipe.strategy]
  options = {**recipe.strategy_options, **(strategy or {})}
  errors.check_options(f'strategy {recipe.strategy!r}', make_strategy, options)
  built_strategy = make_strategy(**options)
  system = System(name, built_learner, built_strategy, facts)
  _check_fit(system, model['name'])
  if subset_size is not None:
    if recipe.strategy == 'random':
      raise ValueError(
        'subset_size is set for random, which measures nothing; leave it None.'
      )
    system = system._replace(strategy=subset(built_strategy, subset_size))
  return system


def _check_fit(system, model_name):
  """Traces a measurement, to see what the strategy asks of the learner."""
  learner, facts = system.learner, system.facts
  key = jax.random.key(0)
  state = jax.eval_shape(lambda: learner.init(key, facts))
  rows = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype),
    facts.example,
  )
  sampled = []

  def measure(key, state, inputs):
    def apply(inputs, *, keys=None):
      sampled.append(keys is not None)
      return learner.apply(state, inputs, keys=keys)

    batch = Batch(jnp.arange(2, dtype=jnp.int32), inputs)
    return system.strategy.measure(key, apply, batch)

  try:
    jax.eval_shape(measure, key, state, rows)
  except KeyError as error:
    raise ValueError(
      f'system {system.name!r} needs the output {error} of a model; '
      f'{model_name!r} has no such output.'
    ) from error
  if any(sampled) and 'random_bits' not in primitives.used_by(
    lambda key, state, inputs: learner.apply(state, inputs, keys=key[None]),
    key,
    state,
    rows,
  ):
    raise ValueError(
      f'system {system.name!r} needs dropout samples; model {model_name!r} '
      'has no dropout as configured: set its dropout rate above 0.'
    )

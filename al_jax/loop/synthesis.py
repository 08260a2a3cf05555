"""Makes queries instead of taking them from the pool.

A learner with a generator makes images, a strategy scores them, and the best
are queried. There are three ways to make them, see `Synthesis`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from al_jax import errors, sources, tasks
from al_jax._system import System
from al_jax.interfaces import Batch, Facts, LearnerState
from al_jax.models import common
from al_jax.pool import PoolState
from al_jax.strategies.scored import select_top

PROPOSERS = ('prior', 'latent', 'partner')
# Maps an option to the proposers that read it; all proposers read the others.
READ_BY = {
  'num_candidates': ('prior',),
  'realism_weight': ('prior', 'latent'),
  'steps': ('latent',),
  'learning_rate': ('latent',),
  'radius': ('latent',),
}
# Upper bound that catches typos.
_MOST = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthesis:
  """Options for making queries.

  The value of a made example x is u(x) + eta r(x): the score u of the strategy,
  and the log probability r that x is real.

  Attributes:
    name: the proposer:
      `'prior'`: draws codes from the prior and classes at random; those with
      the largest values are queried.
      `'latent'`: moves the codes of the pool's best examples to larger values
      by gradient steps, within a radius around their start.
      `'partner'`: turns the pool's best examples x into g(e(x), y), with y the
      predicted class.
    num_candidates: number of codes drawn by `'prior'`.
    realism_weight: weight of the realism, eta, at least 0; for `'prior'` and
      `'latent'`.
    min_distance: minimum root mean squared difference of normalised inputs
      between two made examples. Of closer ones only the best is queried, so
      that a batch may be short.
    steps: number of steps of Adam, for `'latent'`.
    learning_rate: learning rate of these steps.
    radius: largest Euclidean distance that a code may move, for `'latent'`.
  """

  name: str
  num_candidates: int = 1000
  realism_weight: float = 1.0
  min_distance: float = 0.1
  steps: int = 100
  learning_rate: float = 0.05
  radius: float = 1.0

  def __post_init__(self):
    errors.check_name('synthesis.name', self.name, PROPOSERS)
    for name in ('num_candidates', 'steps'):
      errors.check_number(
        f'synthesis.{name}', getattr(self, name), int, least=1, most=_MOST
      )
    for name in ('realism_weight', 'min_distance'):
      errors.check_number(f'synthesis.{name}', getattr(self, name), least=0)
    for name in ('learning_rate', 'radius'):
      errors.check_number(f'synthesis.{name}', getattr(self, name), above=0)

  @property
  def begins_in_pool(self) -> bool:
    """Whether made examples start from examples of the pool."""
    return self.name != 'prior'

  def check(self, system: System) -> None:
    """Raises ValueError for a system that cannot make queries.

    Args:
      system: the system whose learner makes them and whose strategy scores
        them.
    """
    name = system.name
    if system.learner.generator is None:
      raise ValueError(
        f'synthesis.name is {self.name!r}, but the learner of system {name!r} '
        'has no generator to make examples with; see docs/training.md for '
        'learners that have one.'
      )
    tasks.need_classes(system.facts.task, 'synthesis')
    if self.name == 'partner':
      return
    shapes = ()
    if system.strategy.measure is not None:
      shapes = jax.eval_shape(
        lambda key, state, rows: _scores(system, key, state, rows),
        jax.random.key(0),
        system.state,
        common.few_rows(system.facts),
      )
    is_score = getattr(shapes, 'shape', None) == (2,)
    if not is_score or system.strategy.select is not select_top:
      raise ValueError(
        f'synthesis.name is {self.name!r}, which queries the largest scores, '
        f'but the strategy of system {name!r} does not choose by the largest '
        "score of single examples; synthesis.name='partner' works with any "
        'strategy.'
      )


class Candidates(NamedTuple):
  """Made examples and their values.

  Attributes:
    inputs: [n, ...], raw.
    values: float32[n], larger is better.
    origins: int32[n], the pool index that each started from; -1 for the prior.
  """

  inputs: np.ndarray
  values: np.ndarray
  origins: np.ndarray

  def best(
    self, k: int, pool: PoolState, facts: Facts, min_distance: float
  ) -> 'Candidates':
    """Takes the largest values, without examples too close to earlier ones.

    Args:
      k: maximum number of examples to take.
      pool: the pool, with the examples made before.
      facts: facts of the task.
      min_distance: see `Synthesis`.

    Returns:
      Candidates, the best first.
    """
    std = np.asarray(common.moments(facts)[1])[0]
    before = np.asarray(pool.made.inputs)[: int(pool.made.count)]
    seen = list(before / std)
    taken = []
    for position in np.argsort(-self.values, kind='stable'):
      row = self.inputs[position] / std
      distances = [np.mean(np.square(row - other)) for other in seen]
      if min(distances, default=np.inf) >= min_distance**2:
        taken.append(position)
        seen.append(row)
      if len(taken) == k:
        break
    return Candidates(*(part[np.array(taken, int)] for part in self))


class CompiledSynthesis(NamedTuple):
  """The compiled functions that make queries.

  Attributes:
    options: options for making queries.
    candidates: `(key, learner state, starts) -> Candidates`; starts are pool
      indices int32[n], padded with -1, which `'prior'` does not read.
  """

  options: Synthesis
  candidates: Callable[[jax.Array, LearnerState, np.ndarray], Candidates]


def compile_synthesis(
  options: Synthesis, system: System, inputs: np.ndarray
) -> CompiledSynthesis:
  """Compiles the functions that make queries.

  Args:
    options: options for making queries.
    system: the system whose learner makes them and whose strategy scores them.
    inputs: inputs of the pool.

  Returns:
    CompiledSynthesis.

  Raises:
    ValueError: the learner has no generator, or the strategy does not score
      single examples.
  """
  options.check(system)
  # Deferred because on several devices it copies the pool.
  reader = functools.cache(functools.partial(sources.reader, inputs))
  make = jax.jit(functools.partial(_MAKERS[options.name], options, system))

  def candidates(key, state, starts):
    if not options.begins_in_pool:
      made, values = jax.device_get(make(key, state, None))
      return Candidates(made, values, np.full(len(values), -1, np.int32))
    made, values = jax.device_get(make(key, state, reader()(starts)))
    real = starts >= 0
    return Candidates(made[real], values[real], starts[real])

  return CompiledSynthesis(options, candidates)


def _from_prior(options, system, key, state, raw):
  """Draws codes and classes, decodes them, and scores the results."""
  del raw
  code_key, class_key, key = jax.random.split(key, 3)
  number, facts = options.num_candidates, system.facts
  codes = system.learner.generator.prior(code_key, number)
  classes = jax.random.randint(
    class_key, (number,), 0, len(facts.task.class_names)
  )
  made = common.as_raw(
    facts, system.learner.generator.decode(state, codes, classes)
  )
  return made, _values(options, system, key, state, made)


def _from_latent(options, system, key, state, raw):
  """Moves the codes of examples to larger values, and decodes them."""
  classes = _classes(system, state, raw)
  codes = moved_codes(options, system, key, state, raw)
  made = system.learner.generator.decode(state, codes, classes)
  made = common.as_raw(system.facts, made)
  return made, _values(options, system, key, state, made)


def moved_codes(
  options: Synthesis,
  system: System,
  key: jax.Array,
  state: LearnerState,
  raw: jax.Array,
) -> jax.Array:
  """Moves the codes of examples to larger values, by steps of Adam.

  Args:
    options: options for making queries.
    system: the system whose learner makes examples and whose strategy scores
      them.
    key: random key of the scores.
    state: state of the learner.
    raw: [n, ...], the examples.

  Returns:
    float32[n, Z], each within the radius around the code of its example.
  """
  generator = system.learner.generator
  classes = _classes(system, state, raw)
  begun = generator.encode(state, raw)
  adam = optax.adam(options.learning_rate)

  @jax.grad
  def downhill(codes):
    made = generator.decode(state, codes, classes)
    return -jnp.sum(_values(options, system, key, state, made))

  def step(_, carried):
    codes, memory = carried
    updates, memory = adam.update(downhill(codes), memory)
    moved = codes + updates - begun
    length = jnp.linalg.norm(moved, axis=-1, keepdims=True)
    # Avoids a division by 0 for a code that did not move.
    within = jnp.minimum(1.0, options.radius / jnp.maximum(length, 1e-12))
    return begun + moved * within, memory

  codes, _ = jax.lax.fori_loop(
    0, options.steps, step, (begun, adam.init(begun))
  )
  return codes


def _partners(options, system, key, state, raw):
  """Makes a partner of each example, ranked in the order of the examples."""
  del options
  generator = system.learner.generator
  classes = _classes(system, state, raw)
  codes = generator.encode(state, raw, key=key)
  made = common.as_raw(system.facts, generator.decode(state, codes, classes))
  return made, -jnp.arange(len(classes), dtype=jnp.float32)


_MAKERS = {
  'prior': _from_prior,
  'latent': _from_latent,
  'partner': _partners,
}


def _values(options, system, key, state, made):
  """Returns the values of made examples, float32[n]."""
  realism = system.learner.generator.realism(state, made)
  return _scores(system, key, state, made) + options.realism_weight * realism


def _scores(system, key, state, made):
  """Returns the strategy's scores, float32[n]."""
  apply = functools.partial(system.learner.apply, state)
  # Random draws depend on the index; these lie beyond the pool.
  index = system.facts.num_examples + jnp.arange(len(made), dtype=jnp.int32)
  return system.strategy.measure(key, apply, Batch(index, made))


def _classes(system, state, raw):
  return system.facts.task.decide(system.learner.apply(state, raw).predictions)

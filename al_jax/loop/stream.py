"""A stream: the pool in its order, passed once, example by example.

Of each example it is decided at once whether to ask about it; what has passed
is gone. A budget manager decides by the utility of the example, or a strategy
chooses some of every W examples. A round lasts from one training to the next,
for as long as the labels of a round take.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from al_jax import errors, kernels, pool, sources, tasks
from al_jax._system import System
from al_jax.interfaces import Batch, LearnerState, PyTree
from al_jax.kernels import Spending
from al_jax.loop.protocol import Protocol
from al_jax.models import common
from al_jax.strategies import needs
from al_jax.strategies.scored import select_top

MANAGERS = (
  *('balanced', 'quantile', 'fixed', 'variable', 'random_variable'),
  'chance',
)
# They compare the confidence of the model with a threshold.
_OF_CONFIDENCE = ('fixed', 'variable', 'random_variable')
# Options by the managers that read them; the others are read by all.
READ_BY = {
  'step': ('variable', 'random_variable'),
  'scale': ('random_variable',),
  'tolerance': ('balanced', 'chance'),
}
FIRST_SETS = ('first', 'none')
# More are a slip.
_MOST = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
  """How a stream is passed.

  Attributes:
    manager: who decides: `'balanced'` and `'quantile'` by a score on any scale,
      `'fixed'`, `'variable'` and `'random_variable'` by how confident the model
      is, see `kernels.spend_fixed` and so on; `'chance'` by drawn utilities
      under the balanced manager, so that it spends the same. A strategy that
      draws uniformly has this manager whatever is said here.
    budget: B, the share of examples to ask about, above 0, at most 1.
    window: w, the number of examples that a manager remembers.
    step: see `kernels.spend_variable`.
    scale: see `kernels.spend_random_variable`.
    tolerance: see `kernels.spend_balanced`.
    batch_window: W: there is no manager; the strategy picks round(B W) of every
      W examples at once. If None, it scores them one by one.
    lookahead: number of examples that a model looks at together. No result
      depends on it.

  `step`, `scale` and `tolerance` are ignored by managers that do not have them,
  and all of a manager where there is a `batch_window`; a config refuses them.
  """

  manager: str = 'balanced'
  budget: float = 0.1
  window: int = 100
  step: float = 0.01
  scale: float = 1.0
  tolerance: int = 50
  batch_window: int | None = None
  lookahead: int = 256

  def __post_init__(self):
    errors.check_name('stream.manager', self.manager, MANAGERS)
    errors.check_number('stream.budget', self.budget, above=0, most=1)
    errors.check_number('stream.step', self.step, least=0, most=1)
    errors.check_number('stream.scale', self.scale, least=0)
    for name in ('window', 'tolerance', 'lookahead', 'batch_window'):
      errors.check_number(
        f'stream.{name}',
        getattr(self, name),
        int,
        least=1,
        most=_MOST,
        optional=name == 'batch_window',
      )
    if self.batch_window is not None and not self.picks_of(self.batch_window):
      raise ValueError(
        f'stream.batch_window is {self.batch_window} and stream.budget '
        f'{self.budget}, which makes no query of a window: raise one of them.'
      )

  def picks_of(self, num_examples: int) -> int:
    """Returns the number of queries in a window."""
    return round(self.budget * num_examples)

  def start(self, position: int) -> 'StreamState':
    """Returns the state of a stream of which the first examples were asked."""
    spending = kernels.start_spending(window=self.window)
    return StreamState(jnp.int32(position), spending)

  def check_protocol(self, protocol: Protocol) -> None:
    """Raises ValueError for a protocol that a stream cannot follow.

    Args:
      protocol: how a run proceeds.
    """
    if protocol.first_set not in FIRST_SETS:
      raise ValueError(
        f'first_set is {protocol.first_set!r}, which chooses among examples of '
        'the stream that have not come yet; with config.stream it must be '
        "'first' or 'none'."
      )
    if self.batch_window is None:
      return
    picks = self.picks_of(self.batch_window)
    if protocol.labels_per_round % picks:
      raise ValueError(
        f'labels_per_round is {protocol.labels_per_round}; it must be a '
        f'multiple of the {picks} queries per stream.batch_window.'
      )

  def check(self, system: System) -> None:
    """Raises ValueError for a system that does not go with a stream.

    Args:
      system: a learner and a strategy.
    """
    tasks.need_classes(system.facts.task, 'config.stream')
    _check_learner(system)
    strategy = system.strategy
    if strategy.where is not None or strategy.prefilter is not None:
      raise ValueError(
        f'the strategy of system {system.name!r} looks over the pool for '
        'candidates, and of a stream it would see the future.'
      )
    if needs.ANSWERS in strategy.needs:
      raise ValueError(
        f'the strategy of system {system.name!r} learns from the answers of '
        'each round, and a stream has no rounds of a fixed size.'
      )
    if self.batch_window is not None or draws(self, system):
      return
    if not _scores_apart(system):
      raise ValueError(
        f'stream.manager is {self.manager!r}, which decides on single '
        f'examples, and the strategy of system {system.name!r} does not '
        'choose by the largest score of single examples: set '
        'stream.batch_window in its place.'
      )
    if self.manager in _OF_CONFIDENCE and not strategy.is_doubt:
      raise ValueError(
        f'stream.manager is {self.manager!r}, which compares the largest '
        f'probability with a threshold, and system {system.name!r} has another '
        "score: choose 'balanced' or 'quantile', or a strategy that scores by "
        'confidence.'
      )


def draws(options: Stream, system: System) -> bool:
  """Returns whether chance decides what is asked about."""
  return options.manager == 'chance' or system.strategy.uniform


def _check_learner(system):
  """Refuses a learner that looks at what has not come yet."""
  learner = system.learner
  labelled = jax.eval_shape(lambda: pool.of(system.facts))
  planned = {
    name
    for phase in learner.phases
    for name in jax.eval_shape(phase.plan, system.state, labelled)
  }
  others = sorted(planned - {'labelled', *sources.HELD_OUT})
  surveys = [
    name for name, survey in learner.surveys.items() if survey.source == 'pool'
  ]
  why = ''
  if others:
    why = f'plans {" and ".join(map(repr, others))} beside labelled examples'
  elif surveys:
    why = f'looks over the pool for its survey {surveys[0]!r}'
  elif learner.pseudo_labels is not None:
    why = 'labels examples of the pool itself'
  if why:
    raise ValueError(
      f'the learner of system {system.name!r} {why}: of a stream it would see '
      'the future.'
    )


def _scores_apart(system):
  """Whether the largest scores of single examples are asked about."""
  if system.strategy.measure is None:
    return False
  scores = jax.eval_shape(
    functools.partial(score, system),
    (jax.random.key(0), system.state),
    _few(system.facts),
  )
  is_score = getattr(scores, 'shape', None) == (2,)
  return is_score and system.strategy.select is select_top


def _few(facts):
  rows = common.few_rows(facts)
  return Batch(jax.ShapeDtypeStruct((2,), jnp.int32), rows)


def score(
  system: System, args: tuple[jax.Array, LearnerState], batch: Batch
) -> PyTree:
  """Measures a batch as the strategy of a system does.

  Args:
    system: whose learner predicts and whose strategy scores.
    args: a key, and the state of the learner.
    batch: some examples.

  Returns:
    pytree of [B, ...], float[B] of a strategy that scores examples apart.
  """
  key, state = args
  apply = functools.partial(system.learner.apply, state)
  return system.strategy.measure(key, apply, batch)


class StreamState(NamedTuple):
  """How far a stream has passed.

  Attributes:
    position: int32, the pool index of the example that comes next.
    spending: what the budget manager remembers.
  """

  position: jax.Array
  spending: Spending

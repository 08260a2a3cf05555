"""A stream: the pool in its order, passed once, example by example.

Whether to query an example is decided at once; an example that has passed is
gone. Either a budget manager decides by the utility of the example, or a
strategy chooses some of every W examples. A round lasts from one training to
the next, until it has its labels.
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
# Managers that compare the confidence of the model with a threshold.
_OF_CONFIDENCE = ('fixed', 'variable', 'random_variable')
# Maps an option to the managers that read it; all managers read the others.
READ_BY = {
  'step': ('variable', 'random_variable'),
  'scale': ('random_variable',),
  'tolerance': ('balanced', 'chance'),
}
FIRST_SETS = ('first', 'none')
# Upper bound that catches typos.
_MOST = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
  """Options of a stream.

  Attributes:
    manager: the budget manager: `'balanced'` and `'quantile'` decide by a score
      on any scale, `'fixed'`, `'variable'` and `'random_variable'` by the
      confidence of the model, see `kernels.spend_fixed` and so on. `'chance'`
      gives random utilities to the balanced manager, so that it spends the
      same. A strategy that draws uniformly always has this manager.
    budget: share of examples to query, B, above 0, at most 1.
    window: number of examples that a manager remembers, w.
    step: see `kernels.spend_variable`.
    scale: see `kernels.spend_random_variable`.
    tolerance: see `kernels.spend_balanced`.
    batch_window: number of examples, W, from which the strategy picks round(B
      W) at once, without a manager. If None, it scores examples one by one.
    lookahead: number of examples that the model predicts at once. No result
      depends on it.

  Managers ignore those of `step`, `scale` and `tolerance` that they do not
  read. With a `batch_window` all options of a manager are ignored. A config
  rejects ignored options.
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
    """Returns the state of a stream whose first examples were queried."""
    spending = kernels.start_spending(window=self.window)
    return StreamState(jnp.int32(position), spending)

  def check_protocol(self, protocol: Protocol) -> None:
    """Raises ValueError for a protocol that a stream cannot follow.

    Args:
      protocol: the protocol.
    """
    if protocol.first_set not in FIRST_SETS:
      raise ValueError(
        f'first_set is {protocol.first_set!r}, which chooses among examples of '
        'the stream that have not passed yet; with config.stream it must be '
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
    """Raises ValueError for a system that does not support a stream.

    Args:
      system: a learner and a strategy.
    """
    tasks.need_classes(system.facts.task, 'config.stream')
    _check_learner(system)
    strategy = system.strategy
    if strategy.where is not None or strategy.prefilter is not None:
      raise ValueError(
        f'the strategy of system {system.name!r} looks over the pool for '
        'candidates; on a stream it would see the future.'
      )
    if needs.ANSWERS in strategy.needs:
      raise ValueError(
        f'the strategy of system {system.name!r} learns from the answers of '
        'each round, but the rounds of a stream have no fixed size.'
      )
    if self.batch_window is not None or draws(self, system):
      return
    if not _scores_apart(system):
      raise ValueError(
        f'stream.manager is {self.manager!r}, which decides on single '
        f'examples, but the strategy of system {system.name!r} does not '
        'choose by the largest score of single examples: set '
        'stream.batch_window instead.'
      )
    if self.manager in _OF_CONFIDENCE and not strategy.is_doubt:
      raise ValueError(
        f'stream.manager is {self.manager!r}, which compares the largest '
        f'probability with a threshold, but system {system.name!r} has another '
        "score: choose 'balanced' or 'quantile', or a strategy that scores by "
        'confidence.'
      )


def draws(options: Stream, system: System) -> bool:
  """Returns whether queries are drawn at random."""
  return options.manager == 'chance' or system.strategy.uniform


def _check_learner(system):
  """Rejects a learner that reads examples which have not passed yet."""
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
    why = f'plans {" and ".join(map(repr, others))} besides labelled examples'
  elif surveys:
    why = f'looks over the pool for its survey {surveys[0]!r}'
  elif learner.pseudo_labels is not None:
    why = 'labels examples of the pool itself'
  if why:
    raise ValueError(
      f'the learner of system {system.name!r} {why}: on a stream it would see '
      'the future.'
    )


def _scores_apart(system):
  """Returns whether queries are the largest scores of single examples."""
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
    system: the system whose learner predicts and whose strategy scores.
    args: a key, and the state of the learner.
    batch: some examples.

  Returns:
    pytree of [B, ...]; float[B] if the strategy scores single examples.
  """
  key, state = args
  apply = functools.partial(system.learner.apply, state)
  return system.strategy.measure(key, apply, batch)


class StreamState(NamedTuple):
  """State of a stream.

  Attributes:
    position: int32, pool index of the next example.
    spending: memory of the budget manager.
  """

  position: jax.Array
  spending: Spending

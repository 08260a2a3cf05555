"""Times expected error reduction against its number of candidates."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from al_jax import keys, strategies
from al_jax import pool as pool_lib
from al_jax.loop import stages
from experiments.benchmarks import timing
from experiments.diagnostics import runs
from experiments.diagnostics.runs import Case, Model, Options

NAME = "Expected error's cost"
NUM_CANDIDATES = tuple(
  digit * 10**power for power in (2, 3, 4, 5) for digit in (1, 2, 5)
)
# A selection is repeated at least _FEWEST times, and until all repeats have
# taken these seconds: interference by other processes lasts seconds, which a
# short call must outlast.
_FEWEST, _ENOUGH_SECONDS = 3, 3.0


def diagnose(case: Case, options: Options) -> dict[str, Any]:
  """Times selections on the embeddings of one model.

  Args:
    case: the run.
    options: see `Options`.

  Returns:
    See `measure`.
  """
  (model,) = runs.models(case, num_seeds=1, labels=options.labels)
  return measure(
    case,
    model,
    num_candidates=NUM_CANDIDATES,
    most_seconds=options.most_seconds,
  )


def measure(
  case: Case,
  model: Model,
  *,
  num_candidates: Sequence[int],
  most_seconds: float,
) -> dict[str, Any]:
  """Times the strategy's selection on the embeddings of a network.

  Args:
    case: the run.
    model: model that computes the embeddings and logits.
    num_candidates: increasing values of N, cut to the size of the pool. The
      first is always measured.
    most_seconds: longest predicted time of a selection; longer ones are
      skipped.

  Returns:
    A diagnostic: seconds against N; see `result_files.write_diagnostics`.
  """
  order = runs.some_unlabelled(model, num_candidates[-1])
  strategy, measured = _measured(case, model)
  sizes, seconds = [], []
  for size in num_candidates:
    size = min(size, len(order))
    if sizes and (
      size == sizes[-1] or _predicted(sizes, seconds, size) > most_seconds
    ):
      break
    rows = order[:size]
    some = jax.tree.map(lambda leaf, rows=rows: leaf[rows], measured)
    sizes.append(size)
    seconds.append(_seconds(case, strategy, model, some))
    case.say(
      f'expected error reduction of {size:,} candidates: {seconds[-1]:.3g} s'
    )
  return {
    'x_label': 'candidates N',
    'y_label': 'seconds to select',
    'x': sizes,
    'logarithmic_x': True,
    'series': {strategies.expected_error_reduction.__name__: {'mean': seconds}},
    'note': _note(case, model, measured, sizes, seconds),
  }


def _measured(case, model):
  """Returns the strategy, and its measurements of the whole pool."""
  strategy = strategies.expected_error_reduction()
  compiled = stages.compile_strategy(
    strategy,
    case.program(model.system).system.learner,
    case.sources['pool'].inputs,
    chunk_size=case.experiment.config['chunk_size'],
  )
  key = keys.for_round(model.seed, model.round, keys.MEASURE)
  measured, _ = compiled.measure(key, model.learner, None)
  return strategy, measured


def _seconds(case, strategy, model, measured):
  """Times a selection among unlabelled examples.

  Labels would change values but no shapes, and only shapes determine the time.
  """
  size = len(measured[0])
  pool, everything = pool_lib.create(size), jnp.ones(size, bool)
  key = keys.for_round(model.seed, model.round, keys.SELECT)
  k = min(case.experiment.protocol.labels_per_round, size)

  def choose():
    return strategy.select(key, (), measured, everything, pool, k)

  timing.seconds_of(choose)  # compiles
  times = []
  while len(times) < _FEWEST or sum(times) < _ENOUGH_SECONDS:
    times.append(timing.seconds_of(choose))
  return min(times)


def _predicted(sizes, seconds, size):
  """Predicts the seconds for `size` candidates, which grow with its square."""
  return seconds[-1] * (size / sizes[-1]) ** 2


def _note(case, model, measured, sizes, seconds):
  embeddings, logits = measured
  note = (
    'One selection from N unlabelled examples, the least of several times, on '
    f'the {embeddings.shape[1]} features and {logits.shape[1]} logits of '
    f'{runs.described([model])}.'
  )
  whole = len(embeddings)
  if sizes[-1] < whole - model.labels:
    total = _predicted(sizes, seconds, whole)
    note += (
      f' Since the time grows as the square of N, all {whole:,} of the pool '
      f'would take {total:,.0f} s.'
    )
  return note

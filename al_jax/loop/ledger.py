"""Counts the answers that a run has bought, and their cost."""

from collections.abc import Mapping

import numpy as np

from al_jax import pool as pool_lib
from al_jax.interfaces import Oracle
from al_jax.loop.run_state import RunState

# Prices per label, in any currency, and seconds of work per label.
PRICES = ('person', 'person_seconds', 'machine', 'machine_seconds')


def of(
  state: RunState,
  oracle: Oracle | None,
  pseudo: Mapping[str, float],
  prices: Mapping[str, float],
) -> dict[str, float]:
  """Counts answers and adds up their cost.

  Args:
    state: state of a run.
    oracle: the oracle, which may know the share of right answers, and may
      answer as a machine if it reads predictions. If None, neither.
    pseudo: `pseudo_labels`, and optionally `pseudo_label_accuracy`.
    prices: prices by name, for some of `PRICES`.

  Returns:
    `person`: queries that a person was paid for; `unanswered`: those of them
    without a label; `machine` and `machine_right`: answers of a machine, and
    the right ones among them; `pseudo_labels` and `pseudo_labels_right`, of
    this round alone, if the learner has them; `price` and `seconds`, if there
    are prices for them. No label is right for an example that shows nothing.
    Empty without prices if no machine answers. All rounds of a run have the
    same keys.
  """
  annotator = np.asarray(state.pool.annotator)
  if state.pool.made is not None:
    of_made = np.asarray(state.pool.made.answers.annotator)
    annotator = np.concatenate([annotator, of_made])
  by_machine = float(np.count_nonzero(annotator == pool_lib.MACHINE))
  # Even before a machine's first answer, because a run's keys must not change.
  has_machine = by_machine or getattr(oracle, 'reads_predictions', False)
  if not prices and not has_machine:
    return {}
  found = {
    'person': float(state.paid),
    'unanswered': float(np.count_nonzero(annotator == pool_lib.ABSTAINED)),
    'machine': by_machine,
  }
  if has_machine and hasattr(oracle, 'share_right'):
    found['machine_right'] = _machine_right(state, oracle, by_machine)
  if 'pseudo_labels' in pseudo:
    number = pseudo['pseudo_labels']
    found['pseudo_labels'] = number
    if 'pseudo_label_accuracy' in pseudo:
      share = pseudo['pseudo_label_accuracy']
      found['pseudo_labels_right'] = round(number * share) if number else 0.0
  for total, ending in (('price', ''), ('seconds', '_seconds')):
    of_each = {
      who: prices[f'{who}{ending}']
      for who in ('person', 'machine')
      if f'{who}{ending}' in prices
    }
    if of_each:
      costs = [found[who] * each for who, each in of_each.items()]
      # Removes the rounding error of a sum of cents.
      found[total] = round(sum(costs), 6)
  return found


def _machine_right(state, oracle, by_machine):
  """Returns the number of right answers of a machine."""
  if not by_machine:
    return 0
  of_machine = np.asarray(state.pool.annotator) == pool_lib.MACHINE
  given = np.where(of_machine, np.asarray(state.pool.targets), -1)
  return round(by_machine * oracle.share_right(given))

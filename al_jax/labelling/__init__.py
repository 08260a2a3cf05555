"""People as the oracle: ask for labels, and take the answers, over days.

    from al_jax import labelling

    labelling.begin('state', 'images:photos', ['cat', 'dog'])
    batch = labelling.propose('state', 20)
    labelling.tell('state', [labelling.Answer(batch.queries[0].id, 'cat')])

Nothing is lost if a process dies, and a batch that was on its way is proposed
again, the same.
"""

import importlib
from typing import TYPE_CHECKING, Any

from al_jax.labelling.account import SKIP, UNSURE, Answer
from al_jax.labelling.answers import AnswersError
from al_jax.labelling.project import (
  Status,
  give_up,
  status,
  tell,
  withdraw,
)

if TYPE_CHECKING:
  from al_jax.labelling.asking import Batch, begin, propose

__all__ = [
  'SKIP',
  'UNSURE',
  'Answer',
  'AnswersError',
  'Batch',
  'Status',
  'begin',
  'give_up',
  'propose',
  'status',
  'tell',
  'withdraw',
]


def __getattr__(name: str) -> Any:
  """Imports what trains only where it is used: telling takes no second."""
  if name not in ('Batch', 'begin', 'propose'):
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return getattr(importlib.import_module('al_jax.labelling.asking'), name)


def __dir__() -> list[str]:
  return sorted(__all__)

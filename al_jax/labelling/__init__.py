"""Active learning with people as the oracle, over days.

    from al_jax import labelling

    labelling.begin('state', 'images:photos', ['cat', 'dog'])
    batch = labelling.propose('state', 20)
    labelling.tell('state', [labelling.Answer(batch.queries[0].id, 'cat')])

No answer is lost if a process dies. A batch that was in progress is proposed
again, unchanged.
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
  """Imports the training code on first use, so that `tell` stays fast."""
  if name not in ('Batch', 'begin', 'propose'):
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return getattr(importlib.import_module('al_jax.labelling.asking'), name)


def __dir__() -> list[str]:
  return sorted(__all__)

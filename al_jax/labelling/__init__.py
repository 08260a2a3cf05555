"""People as the oracle: ask for labels, and tell the answers, over days."""

from al_jax.labelling.account import SKIP, UNSURE
from al_jax.labelling.answers import Answer, AnswersError
from al_jax.labelling.project import (
  Batch,
  Status,
  begin,
  give_up,
  propose,
  status,
  tell,
  withdraw,
)

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

"""Requirements of strategies on a task and a model, see `Strategy.needs`."""

from collections.abc import Mapping

from al_jax import tasks
from al_jax.interfaces import Facts, Strategy

CLASSES = 'classes'
EMBEDDING = 'embedding'
DROPOUT = 'dropout'
ANSWERS = 'answers'  # to the queries of earlier rounds; only a run has them
EXTRAS = 'extras.'  # followed by the name of the output


def has_classes(facts: Facts) -> bool:
  """Tells whether predictions are the logits of classes."""
  return tasks.are_classes(facts.task) is True


def of(strategy: Strategy) -> dict[str, str]:
  """Collects the needs of a strategy and of the stages before it.

  Args:
    strategy: last stage.

  Returns:
    Need -> reason, or `''`.

  Raises:
    ValueError: If a need is unknown.
  """
  found = {} if strategy.prefilter is None else of(strategy.prefilter[0])
  if not isinstance(strategy.needs, Mapping):
    raise ValueError(
      f'needs is {strategy.needs!r}; it must be a mapping from each need to '
      "its reason, or ''."
    )
  for need, reason in strategy.needs.items():
    known = CLASSES, EMBEDDING, DROPOUT, ANSWERS
    if need not in known and not is_extra(need):
      raise ValueError(
        f'needs has {need!r}; it must be {", ".join(map(repr, known))}, or '
        f"'{EXTRAS}NAME' for an output of the model."
      )
    found[need] = reason or found.get(need, '')
  return found


def is_extra(need: str) -> bool:
  """Tells whether a need is an output in the extras of a model."""
  return need.startswith(EXTRAS) and need != EXTRAS

"""Runs the rules of a contract, and reports which ones a part keeps."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from al_jax import errors

# Takes what is checked; returns a remark for the report, or None.
Rule = Callable[[Any], str | None]


class Broken(Exception):  # noqa: N818  It is turned into a ContractError.
  """Evidence that a rule is broken, as a sentence without a full stop."""


def error_text(error: Exception) -> str:
  """Returns the kind of an error and its message, on one line."""
  return f'{type(error).__name__}: {errors.clause(error)}'


class Skipped(Exception):  # noqa: N818  It is no error.
  """The reason why a rule does not apply."""


@dataclasses.dataclass(frozen=True)
class Report:
  """The result of checking a part against its contract.

  Attributes:
    name: Name of the part.
    checked: Rules that it keeps.
    skipped: Reason by rule that was not checked.
    broken: Evidence by rule that it breaks; empty unless `raises` was False.
    notes: Remarks by rule: true, and no breach.
  """

  name: str
  checked: tuple[str, ...]
  skipped: Mapping[str, str]
  broken: Mapping[str, str]
  notes: Mapping[str, str]

  def __str__(self) -> str:
    count = len(self.checked) + len(self.broken)
    lines = [f'{self.name}: {len(self.checked)} of {count} rules kept']
    for word in ('broken', 'skipped', 'notes'):
      lines += [
        f'  {word.removesuffix("s")}: {rule}: {text}'
        for rule, text in getattr(self, word).items()
      ]
    return '\n'.join(lines)


def check(
  name: str,
  rules: Mapping[str, Rule],
  case: Any,
  *,
  skip: Collection[str] | Mapping[str, str] = (),
  raises: bool = True,
) -> Report:
  """Checks a part against every rule.

  Args:
    name: Name of the part, for messages.
    rules: Functions of `case` by the name of a rule.
    case: The part, and what it is tried on.
    skip: Names of rules to leave out; a mapping gives the reasons.
    raises: Whether a broken rule is an error.

  Returns:
    A Report.

  Raises:
    ContractError: with every broken rule and its evidence, if `raises`.
    ValueError: `skip` has a name that no rule has.
  """
  reasons = skip if isinstance(skip, Mapping) else dict.fromkeys(skip, 'asked')
  for rule in reasons:
    if rule not in rules:
      raise errors.unknown_name('rule', rule, rules)
  checked, skipped, broken, notes = [], dict(reasons), {}, {}
  cause = None
  for rule, keeps in rules.items():
    if rule in skipped:
      continue
    try:
      note = keeps(case)
    except Skipped as reason:
      skipped[rule] = str(reason)
    except Broken as evidence:
      text = str(evidence)
      first = next((name for name in broken if broken[name] == text), None)
      if first is None:
        broken[rule] = text
      else:
        skipped[rule] = f'broken as {first!r} is'
    except Exception as error:
      broken[rule], cause = f'it raised {error_text(error)}', error
    else:
      checked.append(rule)
      if note:
        notes[rule] = note
  if broken and raises:
    raise errors.ContractError(_sentence(name, broken)) from cause
  return Report(name, tuple(checked), skipped, broken, notes)


def _sentence(name, broken):
  """All that is broken, one rule a line."""
  told = [f'the rule {rule!r}: {text}.' for rule, text in broken.items()]
  if len(told) == 1:
    return f'{name} breaks {told[0]}'
  return '\n  '.join([f'{name} breaks {len(told)} rules.', *told])

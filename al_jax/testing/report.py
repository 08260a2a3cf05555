"""Checks a part against the rules of a contract, and reports the result."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from al_jax import errors

# Takes the case to check; returns a remark for the report, or None.
Rule = Callable[[Any], str | None]


class Broken(Exception):  # noqa: N818  Converted to a ContractError.
  """Evidence that a rule is broken, as a sentence without a full stop."""


def error_text(error: Exception) -> str:
  """Returns the kind of an error and its message, on one line."""
  return f'{type(error).__name__}: {errors.clause(error)}'


class Skipped(Exception):  # noqa: N818  Not an error.
  """The reason why a rule does not apply."""


@dataclasses.dataclass(frozen=True)
class Report:
  """The result of checking a part against its contract.

  Attributes:
    name: Name of the part.
    checked: Names of the rules that the part keeps.
    skipped: Reasons by name of the rules that were not checked.
    broken: Evidence by name of the broken rules; empty unless `raises` was
      False.
    notes: Remarks by name of rules that are kept.
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
    rules: Rules by name, functions of `case`.
    case: The part under test, and its data.
    skip: Names of rules to leave out; a mapping gives the reasons.
    raises: Whether a broken rule is an error.

  Returns:
    A Report.

  Raises:
    ContractError: If `raises` and any rule is broken; the message has the
      evidence for each.
    ValueError: If `skip` names an unknown rule.
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
        skipped[rule] = f'broken in the same way as {first!r}'
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
  """Lists the broken rules with their evidence, one per line."""
  told = [f'the rule {rule!r}: {text}.' for rule, text in broken.items()]
  if len(told) == 1:
    return f'{name} breaks {told[0]}'
  return '\n  '.join([f'{name} breaks {len(told)} rules.', *told])

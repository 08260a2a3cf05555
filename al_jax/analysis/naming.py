"""Names of systems on pages and in pictures."""

import collections
import dataclasses
from collections.abc import Iterable

from al_jax import parts
from al_jax.storage.records import RoundRecord
from al_jax.strategies import STRATEGIES

# Suffix of the name of a strategy that reads hidden labels.
_CHEATS = '_that_cheats'


def cheats(system: str) -> bool:
  """Returns whether a system is a diagnostic that reads hidden labels.

  Tables and curves show it, under a name that says so, but it cannot be the
  best method.

  Args:
    system: Name of a system.
  """
  return system.endswith(_CHEATS)


def short(systems: Iterable[str]) -> dict[str, str]:
  """Shortens names of systems for readers.

  `'ceal+my_package.my_module.mine'` becomes `'ceal+mine'`. A name stays whole
  if another system has the same short name, or if the short name of its
  strategy is that of a strategy of the library.

  Args:
    systems: Names of systems.

  Returns:
    The short name of each system.
  """
  found = {name: without_modules(name) for name in systems}
  times = collections.Counter(found.values())
  return {
    name: name if times[of] > 1 or _is_taken(name, of) else of
    for name, of in found.items()
  }


def without_modules(system: str) -> str:
  """Shortens dotted paths in the name of a system to their last parts."""
  return '+'.join(
    half.rpartition('.')[-1] if parts.is_dotted(half) else half
    for half in system.split('+')
  )


def _is_taken(name, of):
  """Returns whether a shortened strategy has the name of a library strategy."""
  whole, last = (each.rpartition('+')[-1] for each in (name, of))
  return whole != last and last in STRATEGIES


def readable(records: Iterable[RoundRecord]) -> list[RoundRecord]:
  """Returns records with the short names of their systems."""
  rows = list(records)
  return renamed(rows, short({row.system: None for row in rows}))


def renamed(
  records: Iterable[RoundRecord], names: dict[str, str]
) -> list[RoundRecord]:
  """Renames the systems of records.

  Args:
    records: Rounds of any number of runs.
    names: New name of each system; systems that are left out keep their name.
  """
  return [
    dataclasses.replace(row, system=names[row.system])
    if names.get(row.system, row.system) != row.system
    else row
    for row in records
  ]

"""How pages and pictures call systems."""

import collections
import dataclasses
from collections.abc import Iterable

from al_jax import parts
from al_jax.storage.records import RoundRecord
from al_jax.strategies import STRATEGIES

# The end of the name of a strategy that reads hidden labels.
_CHEATS = '_that_cheats'


def cheats(system: str) -> bool:
  """Tells whether a system is a diagnostic that reads hidden labels.

  It has its row and its curve, under a name that says so, and is no candidate
  for the best method.

  Args:
    system: name of a system.
  """
  return system.endswith(_CHEATS)


def short(systems: Iterable[str]) -> dict[str, str]:
  """Shortens names of systems for readers.

  `'ceal+my_package.my_module.mine'` becomes `'ceal+mine'`. A name stays whole
  if the short one is that of another system, or its strategy would be taken for
  one of the library.

  Args:
    systems: names.

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
  """Returns a name of a system in which dotted paths are their last parts."""
  return '+'.join(
    half.rpartition('.')[-1] if parts.is_dotted(half) else half
    for half in system.split('+')
  )


def _is_taken(name, of):
  """Tells whether a strategy, by its last part alone, is one of the library."""
  whole, last = (each.rpartition('+')[-1] for each in (name, of))
  return whole != last and last in STRATEGIES


def readable(records: Iterable[RoundRecord]) -> list[RoundRecord]:
  """Returns records under the short names of their systems."""
  rows = list(records)
  return renamed(rows, short({row.system: None for row in rows}))


def renamed(
  records: Iterable[RoundRecord], names: dict[str, str]
) -> list[RoundRecord]:
  """Returns records under other names of their systems.

  Args:
    records: rounds of any number of runs.
    names: the new name of each system; those that are left out stay.
  """
  return [
    dataclasses.replace(row, system=names[row.system])
    if names.get(row.system, row.system) != row.system
    else row
    for row in records
  ]

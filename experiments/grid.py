"""The settings of a comparison: a config for every corner of a grid.

`config.grid` maps axes to values, and values to what they change in the config:

    {'data': {'letter': {'data': {'source': 'openml:6'}}, 'mnist': {...}},
     'batch': {'100': {'protocol': {'labels_per_round': 100}}, ...}}

A mapping with `source` or `name` replaces what is there, since its other fields
belong to that name; any other is merged.
"""

import copy
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.building import Config


class Setting(NamedTuple):
  """One corner of the grid.

  Attributes:
    axes: the value of each axis, by name; empty if there is no grid.
    config: without `grid`.
  """

  axes: Mapping[str, str]
  config: Config

  @property
  def name(self) -> str:
    """Of its folder in the workdir; empty if there is no grid."""
    return '-'.join(self.axes.values())


def settings(config: Config) -> list[Setting]:
  """Every setting of a config, in the order of its axes.

  Args:
    config: as plain values.

  Returns:
    At least one Setting.

  Raises:
    ValueError: an axis without values, a name that no folder can have, or a
      change to a field that is not there.
  """
  config = copy.deepcopy(dict(config))
  grid = config.pop('grid', None) or {}
  for axis, values in grid.items():
    if not values:
      raise ValueError(f'grid.{axis} has no values; give it one or more.')
    for value in values:
      if not value or set(value) & set('-/\\'):
        raise ValueError(
          f'grid.{axis} has a value {value!r}; it names a folder, and must '
          "have no '-', '/' or '\\'."
        )
  found = []
  for corner in itertools.product(
    *(values.items() for values in grid.values())
  ):
    changed = copy.deepcopy(config)
    for value, changes in corner:
      _merge(changed, changes, f'grid value {value!r}')
    axes = {axis: value for axis, (value, _) in zip(grid, corner, strict=True)}
    found.append(Setting(axes, changed))
  return found


def _merge(config: dict[str, Any], changes: Mapping[str, Any], where: str):
  """Applies changes in place; a field must be there to be changed."""
  for name, change in changes.items():
    if name not in config:
      raise ValueError(
        f'{where} changes {name!r}, which is not in the config. It has: '
        f'{", ".join(sorted(config))}.'
      )
    is_named = isinstance(change, Mapping) and {'source', 'name'} & set(change)
    if isinstance(change, Mapping) and not is_named:
      config[name] = dict(config[name])
      _merge(config[name], change, where)
    else:
      config[name] = copy.deepcopy(change)

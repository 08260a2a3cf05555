"""The cells of a grid: a config for every corner.

`config.grid` maps axes to values, and values to what they change in the config:

    {'data': {'letter': {'data': {'source': 'openml:6'}}, 'mnist': {...}},
     'batch': {'100': {'protocol': {'labels_per_round': 100}}, ...}}

A sequence of such mappings is all their cells, for what is no full product.
A mapping with `source` or `name` replaces what is there, since its other fields
belong to that name; any other is merged. Options of one learner stand below its
name: `{'learner': {'ceal': {'threshold': 0.1}}}`.
"""

import copy
import fnmatch
import itertools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from al_jax import errors
from al_jax.learners import LEARNERS
from al_jax.runner.options import Config
from al_jax.storage import workdir

# Their fields depend on a name: a cell may add some.
_OPEN = (
  'data',
  'model',
  'strategy',
  'prefilter',
  'pretraining',
  'synthesis',
  'stream',
  *LEARNERS,
)
# Of a folder; most file systems end at 255.
_LONGEST_NAME = 200
# The same in all cells: the columns of the table.
_SHARED = 'systems'


class Cell(NamedTuple):
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


def cells(config: Config) -> list[Cell]:
  """Every cell of a config, in the order of its axes.

  Args:
    config: as plain values.

  Returns:
    At least one Cell.

  Raises:
    ValueError: an axis without values, a name that no folder may have, or a
      change to a field that is not there.
  """
  config = copy.deepcopy(dict(config))
  grid = config.pop('grid', None) or {}
  several = grid if isinstance(grid, list | tuple) else [grid]
  found = [cell for product in several for cell in _corners(config, product)]
  names = [cell.name for cell in found]
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f'grid has two cells named {name!r}.')
  if '' in names and len(names) > 1:
    raise ValueError('grid has an empty mapping among others; leave it out.')
  return found


def _corners(config, grid):
  """The cells of a full product."""
  _check(grid)
  found = []
  for corner in itertools.product(
    *(values.items() for values in grid.values())
  ):
    changed = copy.deepcopy(config)
    for value, changes in corner:
      _merge(changed, changes, f'grid value {value!r}')
    axes = {axis: value for axis, (value, _) in zip(grid, corner, strict=True)}
    found.append(Cell(axes, changed))
    _check_folder(found[-1].name)
  return found


def _check(grid):
  """Refuses what is not axes of values of changes."""
  errors.check_mapping('grid', grid)
  for axis, values in grid.items():
    errors.check_mapping(f'grid.{axis}', values)
    if not values:
      raise ValueError(f'grid.{axis} has no values; give it one or more.')
    for value, changes in values.items():
      if not re.fullmatch(r'\w[\w.+]*', value):
        raise ValueError(
          f'grid.{axis} has a value {value!r}; it names a folder, and must be '
          'of letters, digits, underscores, points and plus signs.'
        )
      errors.check_mapping(f'grid.{axis}.{value}', changes)
      if _SHARED in changes:
        raise ValueError(
          f'grid value {value!r} changes {_SHARED!r}, which all cells share.'
        )


def _check_folder(name):
  """The folder of a cell can be made, and is no file of the comparison."""
  if len(name) > _LONGEST_NAME:
    raise ValueError(
      f'a cell is named {name[:40]!r}..., {len(name)} characters; a folder '
      f'has at most {_LONGEST_NAME}. Give the grid values shorter names.'
    )
  for output in workdir.OUTPUTS:
    if name and fnmatch.fnmatch(name, output):
      raise ValueError(
        f'a cell is named {name!r}, as {output!r} in the workdir is; give '
        'the grid value another name.'
      )


def _merge(
  config: dict[str, Any],
  changes: Mapping[str, Any],
  where: str,
  *,
  is_open: bool = False,
) -> None:
  """Applies changes in place; only what is open gets fields it has not."""
  for name, change in changes.items():
    if name not in config and not is_open:
      raise errors.unknown_option(
        f'the config that {where} changes', name, config
      )
    is_named = isinstance(change, Mapping) and {'source', 'name'} & set(change)
    if isinstance(change, Mapping) and not is_named:
      before = config.get(name, {})
      errors.check_mapping(f'{name}, of which {where} changes fields,', before)
      config[name] = dict(before)
      _merge(config[name], change, where, is_open=is_open or name in _OPEN)
    else:
      config[name] = copy.deepcopy(change)

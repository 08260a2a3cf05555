"""Expands a grid into cells, each with its own config.

`config.grid` maps axes to values, and values to their changes to the config:

    {'data': {'letter': {'data': {'source': 'openml:6'}}, 'mnist': {...}},
     'batch': {'100': {'protocol': {'labels_per_round': 100}}, ...}}

A sequence of such mappings has the cells of all of them, for grids that are not
a full product. A mapping with `source` or `name` replaces the old one, because
the other fields depend on that name; any other mapping is merged. Options of
one learner stand below its name: `{'learner': {'ceal': {'threshold': 0.1}}}`.
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

# Their fields depend on a name, so a cell may add fields.
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
# For the folder of a cell; most file systems allow 255 characters.
_LONGEST_NAME = 200
# All cells share it: the columns of the table.
_SHARED = 'systems'


class Cell(NamedTuple):
  """One cell of the grid.

  Attributes:
    axes: value of each axis, by name; empty if there is no grid.
    config: config of the cell, without `grid`.
  """

  axes: Mapping[str, str]
  config: Config

  @property
  def name(self) -> str:
    """The name of its folder in the workdir; empty if there is no grid."""
    return '-'.join(self.axes.values())


def cells(config: Config) -> list[Cell]:
  """Returns all cells of a config, in the order of its axes.

  Args:
    config: config as plain values.

  Returns:
    At least one Cell.

  Raises:
    ValueError: an axis has no values, a name cannot be a folder's, or a change
      is to a field that does not exist.
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
  """Returns the cells of a full product."""
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
  """Rejects a grid that is not a mapping of axes to values to changes."""
  errors.check_mapping('grid', grid)
  for axis, values in grid.items():
    errors.check_mapping(f'grid.{axis}', values)
    if not values:
      raise ValueError(f'grid.{axis} has no values; give it one or more.')
    for value, changes in values.items():
      if not re.fullmatch(r'\w[\w.+]*', value):
        raise ValueError(
          f'grid.{axis} has a value {value!r}; it names a folder, and must '
          'consist of letters, digits, underscores, points and plus signs.'
        )
      errors.check_mapping(f'grid.{axis}.{value}', changes)
      if _SHARED in changes:
        raise ValueError(
          f'grid value {value!r} changes {_SHARED!r}, which all cells share.'
        )


def _check_folder(name):
  """Checks that a cell's folder can be made and is not an output's name."""
  if len(name) > _LONGEST_NAME:
    raise ValueError(
      f'a cell is named {name[:40]!r}..., {len(name)} characters; a folder '
      f'has at most {_LONGEST_NAME}. Give the grid values shorter names.'
    )
  for output in workdir.OUTPUTS:
    if name and fnmatch.fnmatch(name, output):
      raise ValueError(
        f'a cell is named {name!r}, which matches the output {output!r} in the '
        'workdir; give the grid value another name.'
      )


def _merge(
  config: dict[str, Any],
  changes: Mapping[str, Any],
  where: str,
  *,
  is_open: bool = False,
) -> None:
  """Applies changes in place; only open mappings accept new fields."""
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

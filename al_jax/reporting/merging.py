"""Merges experiments that differ along some axes of a grid into one.

A grid over an option of one system is a comparison, for example of budget
managers or of loss weights. Merged along that axis, its values become the
systems of a report. A grid over orders of the data, each with its own seeds, is
a repetition. Merged along that axis, its seeds become seeds of one experiment.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from al_jax import errors
from al_jax.analysis import naming
from al_jax.reporting.data import ExperimentResults, titled


def merged(
  experiments: Sequence[ExperimentResults],
  axes: Sequence[str],
  grid: Any = None,
) -> list[ExperimentResults]:
  """Merges the experiments that differ only along some axes.

  The values of an axis become names of systems, or prefixes of these names if
  there are several systems. The values of an axis that sets `first_seed` do
  not, because each has its own seeds.

  Args:
    experiments: results of a grid.
    axes: names of the axes to merge.
    grid: grid of the config, see `runner.grid`. If None, the values of an axis
      count as having their own seeds if no seed repeats along it.

  Returns:
    An experiment for each combination of the other axes.

  Raises:
    ValueError: the grid or an experiment lacks an axis, or a system has two
      results with one seed.
  """
  axes = list(dict.fromkeys(axes))
  if not axes:
    return list(experiments)
  _check(experiments, axes)
  naming_axes = [
    axis for axis in axes if not _has_seeds(experiments, axis, grid)
  ]
  systems = {name for each in experiments for name in each.systems}
  groups = collections.defaultdict(list)
  for each in experiments:
    groups[_place(each, axes)].append(
      _renamed(each, naming_axes, is_single=len(systems) < 2)
    )
  for group in groups.values():
    _check_apart(group, axes)
  found = [_one_of(group, axes) for group in groups.values()]
  order = tuple(dict.fromkeys(name for of in found for name in of.systems))
  return [dataclasses.replace(each, order=order) for each in found]


def _check(experiments, axes):
  """Rejects axes that the grid or an experiment lacks."""
  known = dict.fromkeys(axis for each in experiments for axis in each.axes)
  for axis in axes:
    if not known:
      raise ValueError(
        f'--merge is {axis!r}, but there is no grid here, so no axis to merge.'
      )
    errors.check_name('--merge', axis, tuple(known))
    for each in experiments:
      if axis not in each.axes:
        raise ValueError(
          f'--merge is {axis!r}, but {each.folder} is no cell of that grid: '
          'move it elsewhere.'
        )


def _has_seeds(experiments, axis, grid):
  """Returns whether each value of an axis has its own seeds."""
  if grid:
    grids = [grid] if isinstance(grid, Mapping) else grid
    return any(
      'first_seed' in changes
      for each in grids
      for changes in each.get(axis, {}).values()
    )
  groups = collections.defaultdict(list)
  for each in experiments:
    groups[_place(each, [axis])] += _runs(each)
  return all(len(set(of)) == len(of) for of in groups.values())


def _check_apart(group, axes):
  """Rejects two results of one system and seed."""
  runs = collections.Counter(run for each in group for run in _runs(each))
  for (system, seed), times in runs.items():
    if times > 1:
      raise ValueError(
        f'--merge is {",".join(axes)!r}, but {times} experiments have a system '
        f'{system!r} with seed {seed}: set another first_seed for each.'
      )


def _place(experiment, without):
  """Returns the values of all axes except some."""
  return tuple(
    (axis, value)
    for axis, value in experiment.axes.items()
    if axis not in without
  )


def _runs(experiment):
  return list(dict.fromkeys((row.system, row.seed) for row in experiment.rows))


def _renamed(
  experiment: ExperimentResults, axes: Iterable[str], *, is_single: bool
) -> ExperimentResults:
  """Renames systems to, or prefixes them with, the values of some axes."""
  value = ' '.join(experiment.axes[axis] for axis in axes)
  if not value:
    return experiment

  def name(system):
    return value if is_single else f'{value} {system}'

  return dataclasses.replace(
    experiment,
    rows=naming.renamed(
      experiment.rows, {system: name(system) for system in experiment.systems}
    ),
    full_rows=[
      dataclasses.replace(row, system=f'{value} {row.system}')
      for row in experiment.full_rows
    ],
    galleries={
      name(system): path for system, path in experiment.galleries.items()
    },
  )


def _one_of(group, axes):
  """Merges a group into one experiment, with the manifest of the first."""
  first = group[0]
  left = dict(_place(first, axes))
  return dataclasses.replace(
    first,
    folder=first.folder.with_name('-'.join(left.values()) or 'merged'),
    title=titled(first.folder, first.about, left),
    axes=left,
    rows=[row for each in group for row in each.rows],
    full_rows=[row for each in group for row in each.full_rows],
    diagnostics={
      f'{name} {each.title}' if len(group) > 1 else name: diagnostic
      for each in group
      for name, diagnostic in each.diagnostics.items()
    },
    galleries={
      system: path
      for each in reversed(group)
      for system, path in reversed(each.galleries.items())
    },
    missing=[
      f'{each.title}: {sentence}' for each in group for sentence in each.missing
    ],
  )

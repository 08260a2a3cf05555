"""Runs a config in the folders of its cells."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence

from al_jax import files, loop
from al_jax.runner import cells as cells_lib
from al_jax.runner import checks, estimate, grid, options, resuming, signals
from al_jax.runner.cells import Experiments, How
from al_jax.runner.grid import Cell
from al_jax.runner.options import Config
from al_jax.storage import manifest, processes, workdir

# The next step, printed when a run is over.
_TO_REPORT = (
  'Next, for curves, tests and diagnostics: al-jax report --workdir={}'
)


def cells_of(config: Config) -> list[Cell]:
  """Returns the cells of a config, after checking their fields.

  Args:
    config: config as plain values.

  Returns:
    The cells of its grid, or a single one without a name.

  Raises:
    ValueError: a field is unknown or has an invalid value.
  """
  cells = grid.cells(config)
  for cell in cells:
    checks.check_options(cell.config)
  return cells


def describe(cells: Sequence[Cell]) -> None:
  """Prints the estimated cost of a run of the cells."""
  experiments, earlier = Experiments(), None
  for cell in cells:
    if cell.name:
      print(f'\ncell {cell.name}:')
    print(estimate.describe(experiments.checked(cell), earlier=earlier))
    earlier = earlier or cell.config


def run(
  config: Config, cells: Sequence[Cell], folder: files.Path, how: How
) -> int:
  """Runs or resumes all cells.

  Args:
    config: config, with its grid.
    cells: cells of the config.
    folder: the workdir.
    how: options of the run.

  Returns:
    The exit status.

  Raises:
    ValueError: JAX runs in several processes; all but the one that locks the
      workdir would wait forever.
  """
  processes.refuse_several('a workdir')
  is_grid = bool(cells[0].name)
  with workdir.Workdir(folder) as place:
    before = None
    if not how.overwrite:
      before = resuming.what_is_in(
        place.path, config if is_grid else cells[0].config
      )
    if before is not None and _is_finished(place, cells, before):
      print(
        f'{place.path} holds a finished run of {before["finished"]}; nothing '
        'to do. See summary.txt there; --overwrite starts over.'
      )
      return 0
    with signals.StopRequest().listening() as should_stop:
      try:
        if is_grid:
          _run_grid(place, config, cells, before, should_stop, how)
        else:
          _run_alone(place, cells[0], should_stop, how)
      except loop.Interrupted:
        print(
          f'Saved in {place.path} and stopped. To resume, run:\n'
          f'  {manifest.command(without="overwrite")}'
        )
        return signals.exit_status(should_stop.number)
  return 0


def _is_finished(place, cells, before):
  """Returns whether nothing is left to do, in any cell."""
  found = [before]
  if cells[0].name:
    found += [
      resuming.what_is_in(workdir.below(place.path, cell.name), cell.config)
      for cell in cells
    ]
  return all(each is not None and 'finished' in each for each in found)


def _run_alone(place, cell, should_stop, how):
  """Runs a single experiment, in the workdir itself."""
  text = cells_lib.run(place, cell, Experiments(), should_stop, how)
  print(f'\n{text}\n')
  for picture in sorted(place.path.glob('*.png')):
    print(f'Picture: {os.path.relpath(picture)}')
  print(_TO_REPORT.format(os.path.relpath(place.path)))


def _run_grid(place, config, cells, before, should_stop, how):
  """Runs cell after cell, each in its own folder."""
  experiments = Experiments()
  for cell in cells:
    workdir.below(place.path, cell.name)
  # All cells are checked before the first is run.
  for cell in _by_data(cells):
    experiments.checked(cell)
    if should_stop():
      raise loop.Interrupted
  if how.overwrite:
    # All at once, because the earlier run may have other cells.
    _overwrite_grid(place, cells)
    how = dataclasses.replace(how, overwrite=False)
  systems = options.system_names(config)
  about = {
    'config': {**config, 'systems': systems},
    'systems': systems,
    'settings': [cell.name for cell in cells],
    'command': manifest.command(),
    'started': manifest.now() if before is None else before['started'],
  }
  about_path = place.path / 'manifest.json'
  manifest.write(about_path, about)
  # Filled later, because importing Matplotlib and SciPy takes seconds.
  table = None
  for number, cell in enumerate(cells, start=1):
    print(f'[{number}/{len(cells)}] {cell.name}')
    with workdir.Workdir(workdir.below(place.path, cell.name)) as own:
      cells_lib.run(own, cell, experiments, should_stop, how)
    table = table or _table(systems)
    table.add(cell.name, place.path / cell.name)
    with files.replacing(place.path / 'summary.txt') as partial:
      partial.write_text(f'{table}\n', encoding='utf-8')
    print(f'\n{table}\n')
  manifest.write(about_path, manifest.finished(place.path, about))
  print(_TO_REPORT.format(os.path.relpath(place.path)))


def _by_data(cells):
  """Orders cells by data, those with the data of the first cell last."""
  first = cells[0].config['data']
  specs = [first]
  for cell in cells:
    if cell.config['data'] not in specs:
      specs.append(cell.config['data'])
  return [
    cell
    for spec in [*specs[1:], first]
    for cell in cells
    if cell.config['data'] == spec
  ]


def _overwrite_grid(place, cells):
  """Clears the folders of all cells, including those of the earlier run."""
  names = {cell.name: None for cell in cells}
  # A damaged manifest names no cells, but is cleared too.
  with contextlib.suppress(ValueError, OSError, LookupError, TypeError):
    names |= dict.fromkeys(
      manifest.read(place.path / 'manifest.json')['settings']
    )
  # Checks all names before anything is cleared: the manifest may be foreign.
  folders = [workdir.below(place.path, name) for name in names]
  place.overwrite()
  for folder in folders:
    if folder.is_dir():
      with workdir.Workdir(folder) as own:
        own.overwrite()


def _table(systems):
  from al_jax.runner import outputs

  return outputs.GridTable(systems)

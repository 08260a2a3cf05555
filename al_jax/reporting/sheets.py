"""Sheets of pictures that learners made, if their files exist."""

import pathlib
import re
from collections.abc import Iterator

from al_jax.analysis import naming
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Image, Part

_TITLE = 'Pictures of learners'
# File names that `runner.pictures` gives.
_NAME = re.compile(r'(.+)_seed(\d+)_round(\d+)_(\w+)\.png')


def parts(experiment: ExperimentResults) -> dict[str, list[Part]]:
  """Shows the newest sheets of each system's first seed.

  Args:
    experiment: the results.

  Returns:
    The parts by the title of their section; empty without sheets.
  """
  newest: dict[tuple[str, str], tuple[int, int, pathlib.Path]] = {}
  for system, seed, number, name, path in _sheets(experiment.folder):
    found = (-seed, number, path)
    newest[system, name] = max(found, newest.get((system, name), found))
  images = [
    Image(
      path,
      f'{naming.without_modules(system)}, seed {-less}, round {number}: '
      f'{name.replace("_", " ")}.',
    )
    for (system, name), (less, number, path) in sorted(newest.items())
  ]
  return {_TITLE: images} if images else {}


def _sheets(
  folder: pathlib.Path,
) -> Iterator[tuple[str, int, int, str, pathlib.Path]]:
  """Yields system, seed, round, name and path of each sheet; skips links."""
  folder = folder / 'pictures'
  if folder.is_symlink() or not folder.is_dir():
    return
  for path in sorted(folder.iterdir()):
    match = _NAME.fullmatch(path.name)
    if match and not path.is_symlink():
      system, seed, number, name = match.groups()
      yield system, int(seed), int(number), name, path

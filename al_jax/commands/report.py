"""Reports a comparison on one page that opens from disk: report.html.

    al-jax report --workdir=runs/compare

The workdir is that of one comparison, or a folder of several, such as a grid.
The page needs no network. The numbers behind each table and picture are beside
it in `report/`, as CSV. Of an unfinished run, the finished part is reported.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence

from absl import flags

from al_jax import errors
from al_jax.analysis import curves, naming
from al_jax.commands import ending
from al_jax.reporting import (
  across,
  comparison,
  conclusion,
  costs,
  data,
  diagnostics,
  merging,
  page,
  provenance,
  results,
  sheets,
  stream,
)
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Part, Section, Text
from al_jax.storage import manifest

# `allow_override`: other commands have flags of this name, and tests import
# several commands.
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the results.', allow_override=True
)
BASELINE = flags.DEFINE_string(
  'baseline',
  curves.BASELINE,
  'The system that the others are compared with.',
)

MERGE = flags.DEFINE_list(
  'merge',
  [],
  'Axes of a grid. Experiments that differ only along them are one in the '
  'report: the values of an axis become its systems, or its seeds if each '
  'value has seeds of its own.',
)

parse_flags = ending.parse_flags


def write_report(
  workdir: pathlib.Path,
  *,
  baseline: str = curves.BASELINE,
  merge: Sequence[str] = (),
) -> pathlib.Path:
  """Writes the page and the CSV behind it.

  Args:
    workdir: Folder of a comparison, or of a grid.
    baseline: System to compare the others with.
    merge: Axes of the grid to merge, see `merging.merged`.

  Returns:
    The path of the page.
  """
  return _write(pathlib.Path(workdir), baseline, merge)[0]


def _write(workdir, baseline, merge):
  """Writes the page; returns its path and its conclusion."""
  of_folders = data.read_workdir(workdir)
  about_grid = _about_grid(workdir, of_folders)
  experiments = merging.merged(
    of_folders, merge, about_grid.get('config', {}).get('grid')
  )
  known = {name for each in experiments for name in each.systems}
  if baseline != curves.BASELINE:
    if baseline not in known:
      baseline = naming.without_modules(baseline)
    errors.check_name('--baseline', baseline, known)
  known = {experiment.folder.name for experiment in of_folders}
  head = conclusion.parts(
    experiments,
    baseline=baseline,
    not_begun=[
      name for name in about_grid.get('settings', []) if name not in known
    ],
  )
  sections = [
    *_of_each(experiments, lambda of: stream.parts(of, baseline)),
    *_of_each(experiments, lambda of: results.parts(of, baseline)),
    *comparison.who_beats_whom(experiments, baseline),
    *across.between(experiments),
    *_of_each(experiments, costs.parts),
    *across.validation(experiments),
    *across.pseudo_labels(experiments),
    *_of_each(experiments, diagnostics.parts),
    *_of_each(of_folders, sheets.parts),
    provenance.what_was_run(
      of_folders,
      command=_command(workdir, baseline, merge),
      about_grid=about_grid,
    ),
    *provenance.configurations(of_folders),
  ]
  path = workdir / 'report.html'
  page.write(path, workdir.resolve().name, head, sections)
  return path, conclusion.text(experiments, baseline)


def _command(workdir, baseline, merge):
  """Returns the command that writes this page."""
  given = [f'--workdir={workdir}']
  if baseline != curves.BASELINE:
    given.append(f'--baseline={baseline}')
  if merge:
    given.append(f'--merge={",".join(merge)}')
  return f'al-jax report {" ".join(given)}'


def _about_grid(workdir, experiments):
  """Reads the manifest of a grid; empty if there is none."""
  path = workdir / 'manifest.json'
  is_grid = experiments[0].folder != workdir
  return manifest.read(path) if is_grid and path.exists() else {}


def _of_each(
  experiments: Sequence[ExperimentResults],
  parts_of: Callable[[ExperimentResults], Mapping[str, Sequence[Part]]],
) -> list[Section]:
  """Gathers the parts of all experiments under the titles of sections."""
  found = {}
  for experiment in experiments:
    for title, parts in parts_of(experiment).items():
      section = found.setdefault(title, [])
      if len(experiments) > 1:
        section.append(Text(experiment.title, 'heading'))
      # Explanations that experiments share are shown once.
      section += [
        part
        for part in parts
        if part.kind != 'explanation' or part not in section
      ]
  return [Section(title, parts) for title, parts in found.items()]


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(argv, _run)


def _run():
  if WORKDIR.value is None:
    raise ValueError('--workdir is not set; name the folder of a run.')
  path, reached = _write(
    pathlib.Path(WORKDIR.value), BASELINE.value, MERGE.value
  )
  print(f'{reached}\nReport: {path}')
  return 0

"""Writes a comparison as one page that opens from disk: report.html.

    python -m experiments.report --workdir=runs/compare

The workdir is that of one comparison, or a folder of several: a grid. The page
needs no network; the numbers behind each table and picture are in `report/`
beside it, as CSV. A run that is not finished is reported as far as it is.
"""

import pathlib
import sys

# Also as a script: the configs and these modules are no part of the package.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import app, flags

from al_jax.storage import manifest
from experiments import (
  report_between,
  report_costs,
  report_data,
  report_diagnostics,
  report_grid,
  report_head,
  report_machine_labels,
  report_page,
  report_results,
  report_validation,
)

# The binaries that run something have a flag of this name too; tests import
# them side by side.
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'The results to report.', allow_override=True
)
BASELINE = flags.DEFINE_string(
  'baseline', 'random', 'The system that the others are compared with.'
)


def write_report(
  workdir: pathlib.Path, *, baseline: str = 'random'
) -> pathlib.Path:
  """Writes the page and the CSV behind it.

  Args:
    workdir: of a comparison, or of a grid of them.
    baseline: the system that the others are compared with.

  Returns:
    The path of the page.
  """
  workdir = pathlib.Path(workdir)
  settings = report_data.read_workdir(workdir)
  order = list(dict.fromkeys(name for of in settings for name in of.systems))
  page = report_page.Page(workdir.resolve().name, workdir / 'report')
  report_head.write(
    page,
    settings,
    workdir=str(workdir),
    about_grid=_about_grid(workdir, settings),
  )
  report_grid.write(page, settings, baseline=baseline, order=order)
  report_between.write(page, settings)
  report_validation.write(page, settings)
  report_machine_labels.write(page, settings)
  for setting in settings:
    _write_setting(page, setting, baseline, order)
  report_head.write_configurations(page, settings)
  path = workdir / 'report.html'
  page.write(path)
  return path


def _about_grid(workdir, settings):
  """The manifest beside the folders of a grid, if there is one."""
  path = workdir / 'manifest.json'
  is_grid = settings[0].folder != workdir
  return manifest.read(path) if is_grid and path.exists() else {}


def _write_setting(page, setting, baseline, order):
  page.section(setting.title)
  if setting.missing:
    page.say(f'Not complete. {" ".join(setting.missing)}', kind='warning')
  if not setting.rows:
    return
  if baseline not in setting.systems:
    page.say(
      f'There is no {baseline} here, so nothing is compared with it.',
      kind='warning',
    )
  report_results.write(page, setting, baseline=baseline, order=order)
  report_costs.write(page, setting, order=order)
  report_diagnostics.write(page, setting, order=order)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  try:
    path = write_report(pathlib.Path(WORKDIR.value), baseline=BASELINE.value)
  except (ValueError, OSError) as error:
    print(f'{type(error).__name__}: {error}', file=sys.stderr)
    return 1
  print(path)
  return 0


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  app.run(main)

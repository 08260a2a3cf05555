"""Writes a comparison as one page that opens from disk: report.html.

    python -m experiments.report --workdir=runs/compare

The workdir is that of one comparison, or a folder of several: a grid. The page
needs no network; the numbers behind each table and picture are in `report/`
beside it, as CSV. A run that is not finished is reported as far as it is.
"""

import pathlib
import sys

from absl import app, flags

from al_jax.reporting import between as report_between
from al_jax.reporting import costs as report_costs
from al_jax.reporting import data as report_data
from al_jax.reporting import diagnostics as report_diagnostics
from al_jax.reporting import grid as report_grid
from al_jax.reporting import head as report_head
from al_jax.reporting import machine_labels as report_machine_labels
from al_jax.reporting import page as report_page
from al_jax.reporting import results as report_results
from al_jax.reporting import validation as report_validation
from al_jax.storage import manifest

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

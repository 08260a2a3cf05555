r"""Measures diagnostics of a comparison for its report.

    python -m experiments.diagnose --workdir=runs/compare
    python -m experiments.report --workdir=runs/compare

The workdir holds one experiment or a grid of them. An unfinished run is
measured up to its last round. The command writes diagnostics.json beside the
records of each experiment, replacing an earlier one. It contains

  bald            how far the ranking by BALD depends on the draw of its dropout
                  samples, against their number
  expected_error  the seconds of expected error reduction against the number of
                  candidates
  entropy         the error rate by the rank of a prediction's entropy
  predicted_loss  the predicted and the true losses of test examples

For this it trains networks again, on the queries in the records. It reads the
data from where the manifest says: check the `config` of a manifest that
somebody else wrote. Seconds are meaningful only on an idle machine.
"""

import logging
import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from al_jax import errors, xla
from al_jax.commands import ending
from al_jax.reporting import data as report_data
from al_jax.runner import result_files
from experiments.diagnostics import (
  bald,
  entropy,
  expected_error,
  predicted_loss,
  runs,
)
from experiments.diagnostics.runs import Options

PARTS = {
  module.__name__.rpartition('.')[2]: module
  for module in (entropy, bald, expected_error, predicted_loss)
}
_DEFAULTS = Options()

# Other binaries define a flag of this name too, and tests import them together.
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'The results to diagnose.', allow_override=True
)
ONLY = flags.DEFINE_list(
  'only', list(PARTS), f'Diagnostics to measure, of {", ".join(PARTS)}.'
)
SEEDS = flags.DEFINE_integer(
  'seeds', _DEFAULTS.seeds, 'Most networks to examine, one per seed.', 1
)
LABELS = flags.DEFINE_integer(
  'labels',
  _DEFAULTS.labels,
  'Most labels to train them on; all if not set.',
  1,
)
MOST_POINTS = flags.DEFINE_integer(
  'most_points', _DEFAULTS.most_points, 'Most examples to rank by BALD.', 2
)
MOST_SECONDS = flags.DEFINE_float(
  'most_seconds',
  _DEFAULTS.most_seconds,
  'Longest selection of expected error reduction, in seconds.',
  0.0,
)


def diagnose(
  workdir: pathlib.Path,
  *,
  only: Sequence[str] = tuple(PARTS),
  options: Options = _DEFAULTS,
) -> None:
  """Measures every experiment that has records, and writes the findings.

  Args:
    workdir: folder of a comparison, or of a grid of them.
    only: diagnostics to measure, of `PARTS`.
    options: limits of the measurements.

  Raises:
    ValueError: an argument is out of its range, or there are no records.
  """
  if not only:
    raise ValueError(f'--only is empty; it names some of {", ".join(PARTS)}.')
  for name in only:
    errors.check_name('--only', name, PARTS)
  errors.check_number('--most_seconds', options.most_seconds, least=0)
  # The old diagnostics may be damaged: they are replaced.
  experiments = report_data.read_workdir(workdir, diagnosed=False)
  measured = result_files.measured_now()
  if measured['load'] > result_files.BUSY * measured['cores']:
    print(
      f'The machine is busy (load {measured["load"]} on {measured["cores"]} '
      'cores): all seconds will be too long.',
      file=sys.stderr,
    )
  for number, results in enumerate(experiments, start=1):
    print(f'[{number}/{len(experiments)}] {results.title}', flush=True)
    if not results.rows:
      _say('left out: it has no records yet')
      continue
    case = runs.open_case(results, _say)
    found = {
      part.NAME: part.diagnose(case, options)
      for name, part in PARTS.items()
      if name in only
    }
    found = {name: of for name, of in found.items() if of is not None}
    if found:
      _say(result_files.write_diagnostics(results.folder, measured, found))


def _say(text: object) -> None:
  print(f'  {text}', flush=True)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  # JAX logs at INFO which backends a machine lacks.
  logging.getLogger('jax').setLevel(logging.WARNING)
  return ending.in_a_sentence(argv, _run)


def _run():
  xla.keep_programs(xla.program_cache())
  options = Options(
    seeds=SEEDS.value,
    labels=LABELS.value,
    most_points=MOST_POINTS.value,
    most_seconds=MOST_SECONDS.value,
  )
  diagnose(pathlib.Path(WORKDIR.value), only=ONLY.value, options=options)
  return 0

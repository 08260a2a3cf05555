r"""Measures what the records of a comparison do not say, for its report.

    python -m experiments.diagnose --workdir=runs/compare
    python -m experiments.report --workdir=runs/compare

The workdir holds one experiment or a grid of them; an unfinished run is
measured as far as it got. Beside the records of each experiment it writes
diagnostics.json,

  bald            how the rank of examples by BALD depends on which dropout
                  samples it is of, against their number
  expected_error  the seconds of expected error reduction against the number of
                  candidates
  entropy         how often a model is wrong, by the rank of its entropy
  predicted_loss  the predicted and the true loss of test examples

and replaces what it wrote there before. Networks are trained again for it, on
what the records say was asked. The data are read from where the manifest says:
look at its `config` if somebody else wrote it. Seconds are those of an idle
machine only if it is idle.
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

# The binaries that run something have a flag of this name too; tests import
# them side by side.
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'The results to diagnose.', allow_override=True
)
ONLY = flags.DEFINE_list(
  'only', list(PARTS), f'What to measure, of {", ".join(PARTS)}.'
)
SEEDS = flags.DEFINE_integer(
  'seeds', _DEFAULTS.seeds, 'Networks that are looked at: so many seeds.', 1
)
LABELS = flags.DEFINE_integer(
  'labels',
  _DEFAULTS.labels,
  'The most that those are trained on; all if not set.',
  1,
)
MOST_POINTS = flags.DEFINE_integer(
  'most_points', _DEFAULTS.most_points, 'The most examples BALD ranks.', 2
)
MOST_SECONDS = flags.DEFINE_float(
  'most_seconds',
  _DEFAULTS.most_seconds,
  'The longest choice of expected error reduction.',
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
    workdir: of a comparison, or of a grid of them.
    only: what to measure, of `PARTS`.
    options: of what is measured.

  Raises:
    ValueError: an argument out of its range, or no records.
  """
  if not only:
    raise ValueError(f'--only is empty; it names some of {", ".join(PARTS)}.')
  for name in only:
    errors.check_name('--only', name, PARTS)
  errors.check_number('--most_seconds', options.most_seconds, least=0)
  # What is replaced need not be whole.
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

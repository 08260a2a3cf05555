"""What learners labelled by themselves: how much, and how right."""

from collections.abc import Sequence

from al_jax.reporting import cells as report_cells
from al_jax.reporting import results as report_results
from al_jax.reporting.data import Setting
from al_jax.reporting.page import Page

_ACCURACY = 'train.machine_accuracy'
_METRICS = {'machine_labels': 'train.machine_labels', 'right': _ACCURACY}


def write(page: Page, settings: Sequence[Setting]) -> None:
  """A table over all settings; nothing where no learner does that.

  Args:
    page: to write to.
    settings: of the grid, or the single one.
  """
  data = report_results.first_and_last(settings, _METRICS)
  if not data:
    return
  page.section('Labels by machine')
  page.say(
    'Labels that a learner gave examples nobody was asked about, in the last '
    'step of a round, never paid for; and how many of them are right, which '
    'only the oracle knows. At the first and the last number of labels that '
    'the seeds of a system have in common; ± one standard error over seeds.'
  )
  page.table(
    ['setting', 'system', 'seeds', 'labels', 'by machine', 'right %'],
    [
      [
        row['setting'],
        row['system'],
        str(row['seeds']),
        f'{row["labels"]:,}',
        f'{row["machine_labels"]:,.0f}',
        report_cells.mean(row['right'], row['right_se'], _ACCURACY),
      ]
      for row in data
    ],
    name='machine_labels',
    data=data,
  )

"""What choices are made by: accuracies on the validation split."""

from collections.abc import Sequence

from al_jax.reporting import cells as report_cells
from al_jax.reporting import results as report_results
from al_jax.reporting.data import Setting
from al_jax.reporting.page import Page

_ACCURACY = 'validation.accuracy'
_LOG_LOSS = 'validation.log_loss'
_METRICS = {'accuracy': _ACCURACY, 'log_loss': _LOG_LOSS}


def write(page: Page, settings: Sequence[Setting]) -> None:
  """A table over all settings; nothing where no data set has such a split.

  Args:
    page: to write to.
    settings: of the grid, or the single one.
  """
  data = report_results.first_and_last(settings, _METRICS)
  if not data:
    return
  page.section('On the validation split')
  page.say(
    'Settings and options that are chosen by this table leave the test split '
    'untouched. At the first and the last number of labels that the seeds of '
    'a system have in common; ± one standard error over seeds.'
  )
  page.table(
    ['setting', 'system', 'seeds', 'labels', 'accuracy %', 'log loss'],
    [
      [
        row['setting'],
        row['system'],
        str(row['seeds']),
        f'{row["labels"]:,}',
        report_cells.mean(row['accuracy'], row['accuracy_se'], _ACCURACY),
        report_cells.mean(row['log_loss'], row['log_loss_se'], _LOG_LOSS),
      ]
      for row in data
    ],
    name='validation',
    data=data,
  )

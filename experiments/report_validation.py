"""What choices are made by: accuracies on the validation split."""

from collections.abc import Sequence

from al_jax import stats
from experiments import report_cells, report_results
from experiments.report_data import Setting
from experiments.report_page import Page

_ACCURACY = 'validation.accuracy'
_LOG_LOSS = 'validation.log_loss'


def write(page: Page, settings: Sequence[Setting]) -> None:
  """A table over all settings; nothing where no data set has such a split.

  Args:
    page: to write to.
    settings: of the grid, or the single one.
  """
  measured = [setting for setting in settings if setting.having(_ACCURACY)]
  data = [
    {'setting': setting.title, 'system': system, **row}
    for setting in measured
    for system in setting.systems
    for row in _first_and_last(setting, system)
  ]
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


def _first_and_last(setting, system):
  rows = [row for row in setting.having(_ACCURACY) if row.system == system]
  accuracies = stats.runs(rows, metric=_ACCURACY)
  common = report_results.common_labels(accuracies)
  log_losses = stats.runs(rows, metric=_LOG_LOSS)
  for labels in dict.fromkeys([*common[:1], *common[-1:]]):
    accuracy, log_loss = (
      stats.mean_and_standard_error(run[labels] for run in of[system].values())
      for of in (accuracies, log_losses)
    )
    yield {
      'seeds': accuracy.n,
      'labels': int(labels),
      'accuracy': accuracy.mean,
      'accuracy_se': accuracy.standard_error,
      'log_loss': log_loss.mean,
      'log_loss_se': log_loss.standard_error,
    }

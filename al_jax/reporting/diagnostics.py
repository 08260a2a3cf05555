"""Diagnostics of one experiment: metrics, batches, curves, galleries."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves, streams, tables
from al_jax.reporting import columns
from al_jax.reporting import results as report_results
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import (
  Explanation,
  Image,
  Part,
  Table,
  Text,
  picture_of,
  slug,
)
from al_jax.storage import metrics

# Drawn for the softmax and, if it was measured, for MC-dropout.
_CALIBRATION = ('log_loss', 'calibration_error')
_MONTE_CARLO = 'test.mc_'
_BATCH = 'batch.'

# Curves by metric, then system.
_Panels = Mapping[str, Mapping[str, curves.Curve]]


def parts(experiment: ExperimentResults) -> dict[str, list[Part]]:
  """Builds the parts on diagnostics, by the title of their section."""
  found = {
    'Reports of learners': _reports(experiment),
    **_metrics(experiment),
    'Queried batches': _batches(experiment),
  }
  for name, diagnostic in experiment.diagnostics.items():
    title = name.replace('_', ' ')
    title = title[:1].upper() + title[1:]
    found[title] = _diagnostic(experiment, name, title, diagnostic)
  found['Queries'] = [
    Image(path, f'Queries of {system}: a row per round, one seed.')
    for system, path in experiment.galleries.items()
  ]
  return {title: of for title, of in found.items() if of}


def _metric_curves(
  experiment: ExperimentResults, names: Sequence[str]
) -> dict[str, dict[str, curves.Curve]]:
  """Returns curves by column, then system, for columns that have records."""
  found = {}
  for name in names:
    rows = experiment.having(name)
    if rows:
      found[name] = curves.curve(rows, column=name)
  return found


def _reports(experiment):
  """Shows the learners' own metrics: curves, and the last values."""
  split = 'test' if experiment.has_test else 'validation'
  measured = {
    metrics.column(metric, split).name: metric
    for metric in experiment.report_metrics
  }
  found = _metric_curves(experiment, list(measured))
  if not found:
    return []
  picture = _picture(experiment, 'reports', found, measured)
  table = _last_metrics(experiment, found, measured, picture.name)
  words = {
    metrics.spelled(of.name): of.meaning
    for name, of in measured.items()
    if name in found and of.meaning
  }
  return [picture, table, Explanation('reports', (split, words))]


def _metrics(experiment):
  """Shows the task's metrics on the test split, and the calibration."""
  headline = experiment.task.headline
  in_order = sorted(
    experiment.task.metrics, key=lambda of: (of != headline, of.unit != '%')
  )
  # For each metric: the value of one pass, then that of MC-dropout.
  measured = {
    f'{kind}{metric.name}': metric
    for metric in in_order
    for kind in ('test.', _MONTE_CARLO)
  }
  found = _metric_curves(experiment, list(measured))
  calibration = {
    name: of for name, of in found.items() if name.endswith(_CALIBRATION)
  }
  if not any(name.endswith(_CALIBRATION[-1]) for name in calibration):
    calibration = {}
  others = {name: of for name, of in found.items() if name not in calibration}
  parts = {}
  further = {
    name: of for name, of in others.items() if measured[name] != headline
  }
  if further:
    stem = f'{experiment.slug}_metrics'
    table = _last_metrics(experiment, others, measured, stem)
    words = Explanation('metrics', experiment.task)
    parts['Metrics'] = [table, words]
    # A single further metric, such as balanced accuracy, adds little to the
    # headline; if it does add something, it is among the learning curves.
    if len(further) > 1:
      picture = _picture(experiment, 'metrics', further, measured)
      parts['Metrics'].insert(0, picture)
  if calibration:
    picture = _calibration(experiment, calibration)
    table = _last_metrics(experiment, calibration, measured, picture.name)
    parts['Calibration'] = [picture, table, Explanation('calibration')]
  return parts


def _picture(experiment, name, found, measured):
  """Draws a panel for each metric."""
  labels = {column: _label(column) for column in found}
  lower = [
    metrics.spelled(labels[column])
    for column in found
    if not measured[column].larger_is_better
  ]
  note = f' Lower is better: {", ".join(lower)}.' if lower else ''
  return picture_of(
    experiment,
    name,
    plotting.curve_panels,
    {labels[column]: of for column, of in found.items()},
    rows=panel_rows(found),
    caption=f'Means over seeds in bands of a standard error.{note}',
    x_label=curves.labels_title(experiment.rows),
    in_percent=[
      labels[column] for column in found if measured[column].unit == '%'
    ],
    systems=experiment.order,
    chance={
      labels[column]: measured[column].chance
      for column in found
      if measured[column].chance is not None
    },
  )


def _calibration(experiment, found):
  names = dict.fromkeys(
    column.removeprefix(_MONTE_CARLO).removeprefix('test.') for column in found
  )
  return picture_of(
    experiment,
    'calibration',
    plotting.curve_panels,
    {_label(name, ', softmax'): of for name, of in found.items()},
    rows=panel_rows(found),
    caption='Log loss and calibration error on the test split; lower is '
    'better.',
    x_label=curves.labels_title(experiment.rows),
    systems=experiment.order,
    same_scale=[
      [_label(f'{kind}{name}', ', softmax') for kind in ('test.', _MONTE_CARLO)]
      for name in names
    ],
  )


def _last_metrics(experiment, found, measured, stem):
  """Makes a table of metrics at each system's last number of labels."""
  runs = {
    metric: curves.runs(experiment.having(metric), column=metric)
    for metric in found
  }
  rows = []
  for system in experiment.systems:
    row = {'system': system}
    for metric, of in runs.items():
      if system in of:
        mean, error, _ = curves.mean_of_last(of[system])
        row[metric], row[f'{metric}_standard_error'] = mean, error
    if len(row) > 1:
      rows.append(row)
  shown = [
    Column(
      columns.title(measured[name]._replace(name=name)),
      (name, f'{name}_standard_error'),
      columns.mean(measured[name]),
    )
    for name in found
  ]
  return Table([Column('system', 'system'), *shown], rows, f'{stem}_last')


def _label(column, of_one_pass=''):
  """Names a panel after a column."""
  if column.startswith(_MONTE_CARLO):
    return f'{column.removeprefix(_MONTE_CARLO)}, MC-dropout'
  return f'{column.removeprefix("test.")}{of_one_pass}'


def _batches(experiment):
  names = dict.fromkeys(name for row in experiment.rows for name in row.flat())
  of_stream = [f'{_BATCH}{name}' for name in (*streams.RATES, *streams.COUNTS)]
  names = [
    name for name in names if name.startswith(_BATCH) and name not in of_stream
  ]
  found = _metric_curves(experiment, names)
  if not found:
    return []
  picture = picture_of(
    experiment,
    'batches',
    plotting.curve_panels,
    {name.removeprefix(_BATCH): of for name, of in found.items()},
    rows=panel_rows(found),
    caption='Properties of the queried batches.',
    x_label=curves.labels_title(experiment.rows),
    systems=experiment.order,
  )
  rows = []
  for system in experiment.systems:
    row = {'system': system}
    for name in found:
      values = [
        each.flat()[name]
        for each in experiment.having(name)
        if each.system == system
      ]
      # The diversity of a single pick is NaN.
      values = [value for value in values if not np.isnan(value)]
      if values:
        row[name] = float(np.mean(values))
    rows.append(row)
  shown = [
    Column(metrics.spelled(name.removeprefix(_BATCH)), name, '{:.4g}'.format)
    for name in found
  ]
  table = Table(
    [Column('system', 'system'), *shown], rows, f'{picture.name}_mean'
  )
  named = tuple(name.removeprefix(_BATCH) for name in found)
  return [picture, table, Explanation('batches', named)]


def panel_rows(found: _Panels) -> list[dict[str, Any]]:
  """Returns the points of the curves of several metrics, as rows of a CSV."""
  return [
    {'metric': metric, **row}
    for metric, of in found.items()
    for row in report_results.curve_rows(of)
  ]


def _diagnostic(experiment, name, title, diagnostic):
  notes = [Text(diagnostic.note, 'note')] if diagnostic.note else []
  if diagnostic.points:
    return [_scatter(experiment, name, title, diagnostic), *notes]
  errors = [curve.standard_error for curve in diagnostic.curves.values()]
  has_error = np.isfinite(np.concatenate(errors)).any()
  picture = picture_of(
    experiment,
    slug(name),
    plotting.curve_panels,
    {diagnostic.y_label: diagnostic.curves},
    rows=[
      {key: row[key] for key in ('system', 'x', 'mean', 'standard_error')}
      for row in report_results.curve_rows(diagnostic.curves, x='x')
    ],
    caption=f'{title}, ± one standard error.' if has_error else f'{title}.',
    x_label=diagnostic.x_label,
    logarithmic_x=diagnostic.logarithmic_x,
    count=None,
  )
  return [picture, _diagnostic_table(diagnostic), *notes]


def _scatter(experiment, name, title, diagnostic):
  """Draws a point for each example; only the CSV has the numbers."""
  return picture_of(
    experiment,
    slug(name),
    plotting.scatter,
    diagnostic.points,
    rows=[
      {'system': system, 'x': x, 'y': y}
      for system, points in diagnostic.points.items()
      for x, y in points.T.tolist()
    ],
    caption=f'{title}: a point for each example, and running medians.',
    x_label=diagnostic.x_label,
    y_label=diagnostic.y_label,
    logarithmic_x=diagnostic.logarithmic_x,
    logarithmic_y=diagnostic.logarithmic_y,
    systems=experiment.order,
  )


def _diagnostic_table(diagnostic):
  """Makes a table with a row per x."""
  places = next(iter(diagnostic.curves.values())).labels
  rows = [
    {'x': x}
    | {f'mean {name}': of.mean[i] for name, of in diagnostic.curves.items()}
    | {
      f'error {name}': of.standard_error[i]
      for name, of in diagnostic.curves.items()
    }
    for i, x in enumerate(places)
  ]
  shown = [
    Column(name, (f'mean {name}', f'error {name}'), _short)
    for name in diagnostic.curves
  ]
  return Table(
    [Column(diagnostic.x_label, 'x', '{:,.6g}'.format), *shown], rows
  )


def _short(mean, error):
  """Formats as `0.953 ± 0.0021`: three digits, and two for the error."""
  if np.isnan(mean):
    return tables.MISSING
  return f'{mean:.3g}' if np.isnan(error) else f'{mean:.3g} ± {error:.2g}'

"""Diagnostics of one experiment: metrics, batches, curves, galleries."""

from collections.abc import Mapping, Sequence

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves, tables
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

# Drawn for the softmax and, where it was measured, for MC-dropout.
_CALIBRATION = ('log_loss', 'calibration_error')
_MONTE_CARLO = 'test.mc_'
_BATCH = 'batch.'

# The curve of each system, by metric.
_Panels = Mapping[str, Mapping[str, curves.Curve]]


def parts(experiment: ExperimentResults) -> dict[str, list[Part]]:
  """Builds the parts on diagnostics, by the title of their section."""
  found = {
    **_metrics(experiment),
    'Queried batches': _batches(experiment),
  }
  for name, diagnostic in experiment.diagnostics.items():
    title = name.replace('_', ' ')
    title = title[:1].upper() + title[1:]
    found[title] = _diagnostic(experiment, name, title, diagnostic)
  found['Queries'] = [
    Image(
      path,
      f'Queries of {path.stem.removeprefix("gallery_")}: a row per round, one '
      'seed.',
    )
    for path in experiment.galleries
  ]
  return {title: of for title, of in found.items() if of}


def _metric_curves(
  experiment: ExperimentResults, names: Sequence[str]
) -> dict[str, dict[str, curves.Curve]]:
  """Returns the curves of the systems that have a column, by column."""
  found = {}
  for name in names:
    rows = experiment.having(name)
    if rows:
      found[name] = curves.curve(rows, column=name)
  return found


def _metrics(experiment):
  """All metrics on the test split; with pictures of how calibrated it is."""
  in_order = sorted(experiment.task.metrics, key=lambda of: of.unit != '%')
  # Pairs next to each other: one pass, then MC-dropout.
  measured = {
    f'{kind}{metric.name}': metric
    for metric in in_order
    for kind in ('test.', _MONTE_CARLO)
  }
  found = _metric_curves(experiment, list(measured))
  if len(found) < 2:
    return {}
  shown, rows = _last_metrics(experiment, found, measured)
  if not any(name.endswith(_CALIBRATION[-1]) for name in found):
    table = Table(shown, rows, f'{experiment.slug}_metrics_last')
    return {'Metrics': [table, Explanation('metrics')]}
  picture = _calibration(experiment, found)
  table = Table(shown, rows, f'{picture.name}_last')
  return {'Calibration': [picture, table, Explanation('calibration')]}


def _calibration(experiment, found):
  return picture_of(
    experiment,
    'calibration',
    plotting.curve_panels,
    {
      _calibration_label(name): of
      for name, of in found.items()
      if name.endswith(_CALIBRATION)
    },
    rows=_panel_rows(found),
    caption='Log loss and calibration error on the test split; lower is '
    'better.',
    systems=experiment.order,
    same_scale=[
      [_calibration_label(f'{kind}{name}') for kind in ('test.', _MONTE_CARLO)]
      for name in _CALIBRATION
    ],
  )


def _last_metrics(experiment, found, measured):
  """Columns and rows of a table of the metrics at the last labels."""
  rows = []
  for system in experiment.systems:
    row = {'system': system}
    for metric, of in found.items():
      if system in of:
        row[metric] = float(of[system].mean[-1])
        row[f'{metric}_standard_error'] = float(of[system].standard_error[-1])
    rows.append(row)
  shown = [
    Column(
      columns.title(measured[name]._replace(name=name)),
      (name, f'{name}_standard_error'),
      columns.mean(measured[name]),
    )
    for name in found
  ]
  return [Column('system', 'system'), *shown], rows


def _calibration_label(metric):
  if metric.startswith(_MONTE_CARLO):
    return f'{metric.removeprefix(_MONTE_CARLO)}, MC-dropout'
  return f'{metric.removeprefix("test.")}, softmax'


def _batches(experiment):
  names = dict.fromkeys(name for row in experiment.rows for name in row.flat())
  names = [name for name in names if name.startswith(_BATCH)]
  found = _metric_curves(experiment, names)
  if not found:
    return []
  picture = picture_of(
    experiment,
    'batches',
    plotting.curve_panels,
    {name.removeprefix(_BATCH): of for name, of in found.items()},
    rows=_panel_rows(found),
    caption='Properties of the queried batches.',
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
      # A single pick has no diversity: NaN.
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
  return [picture, table, Explanation('batches')]


def _panel_rows(found: _Panels):
  return [
    {'metric': metric, **row}
    for metric, of in found.items()
    for row in report_results.curve_rows(of)
  ]


def _diagnostic(experiment, name, title, diagnostic):
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
  notes = [Text(diagnostic.note, 'note')] if diagnostic.note else []
  return [picture, _diagnostic_table(diagnostic), *notes]


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
  """Shows `0.953 ± 0.0021`: three digits, and two of the error."""
  if np.isnan(mean):
    return tables.MISSING
  return f'{mean:.3g}' if np.isnan(error) else f'{mean:.3g} ± {error:.2g}'

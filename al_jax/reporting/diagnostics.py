"""Diagnostics of one experiment: calibration, batches, curves, galleries."""

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

# Shown for the softmax and, where it was measured, for MC-dropout.
_OF_PREDICTIONS = (
  'accuracy',
  'balanced_accuracy',
  'log_loss',
  'calibration_error',
)
_MONTE_CARLO = 'test.mc_'
_BATCH = 'batch.'

# The curve of each system, by metric.
_Panels = Mapping[str, Mapping[str, curves.Curve]]


def parts(experiment: ExperimentResults) -> dict[str, list[Part]]:
  """Builds the parts on diagnostics, by the title of their section."""
  found = {
    'Calibration': _calibration(experiment),
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
  experiment: ExperimentResults, metrics: Sequence[str]
) -> dict[str, dict[str, curves.Curve]]:
  """Returns the curves of the systems that have a metric, by metric."""
  found = {}
  for metric in metrics:
    rows = experiment.having(metric)
    if rows:
      found[metric] = curves.curve(rows, metric=metric)
  return found


def _calibration(experiment):
  # Pairs next to each other: softmax, then MC-dropout.
  names = [
    f'{kind}{name}'
    for name in _OF_PREDICTIONS
    for kind in ('test.', _MONTE_CARLO)
  ]
  found = _metric_curves(experiment, names)
  if not any(name.endswith('calibration_error') for name in found):
    return []
  picture = picture_of(
    experiment,
    'calibration',
    plotting.curve_panels,
    {
      _calibration_label(name): of
      for name, of in found.items()
      if not curves.is_share(name)
    },
    rows=_panel_rows(found),
    caption='Log loss and calibration error on the test split; lower is '
    'better.',
    systems=experiment.order,
    same_scale=[
      [_calibration_label(f'{kind}{name}') for kind in ('test.', _MONTE_CARLO)]
      for name in _OF_PREDICTIONS
    ],
  )
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
      columns.percent(metric),
      (metric, f'{metric}_standard_error'),
      columns.mean(metric),
    )
    for metric in found
  ]
  table = Table(
    [Column('system', 'system'), *shown], rows, f'{picture.name}_last'
  )
  return [picture, table, Explanation('calibration')]


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
    Column(columns.percent(name.removeprefix(_BATCH)), name, '{:.4g}'.format)
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

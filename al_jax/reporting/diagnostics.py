"""Of one setting: calibration, what the batches are like, what was asked."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from al_jax import plotting
from al_jax.analysis import curves
from al_jax.reporting import cells as report_cells
from al_jax.reporting import results as report_results
from al_jax.reporting.data import Setting
from al_jax.reporting.page import Page
from al_jax.storage import records

# What is shown of the softmax and, where it was measured, of MC-dropout.
_OF_PREDICTIONS = (
  'accuracy',
  'balanced_accuracy',
  'log_loss',
  'calibration_error',
)
_MONTE_CARLO = 'test.mc_'
_BATCH = 'batch.'


def write(page: Page, setting: Setting, *, order: Sequence[str]) -> None:
  """Calibration, the picked batches, other measurements, galleries.

  Args:
    page: to write to.
    setting: with records.
    order: all systems of the report, for their colours.
  """
  _calibration(page, setting, order)
  _batches(page, setting, order)
  for name, diagnostic in setting.diagnostics.items():
    title = name.replace('_', ' ')
    page.topic(title[:1].upper() + title[1:])
    page.picture(
      f'{setting.slug}_{_slug(name)}',
      functools.partial(
        plotting.curve_panels,
        {diagnostic.y_label: diagnostic.curves},
        x_label=diagnostic.x_label,
        logarithmic_x=diagnostic.logarithmic_x,
        count=None,
        title=setting.title,
      ),
      _diagnostic_rows(diagnostic),
      caption=_diagnostic_caption(title[:1].upper() + title[1:], diagnostic),
    )
    page.table(*_diagnostic_table(diagnostic))
    if diagnostic.note:
      page.say(diagnostic.note, kind='note')
  if setting.galleries:
    page.topic('What was asked')
    for path in setting.galleries:
      system = path.stem.removeprefix('gallery_')
      page.image(
        path, caption=f'What {system} asked, a row per round, one seed.'
      )


def metric_names(rows: Sequence[records.RoundRecord], prefix: str) -> list[str]:
  """The columns of records that begin like this, in their order."""
  return list(
    dict.fromkeys(
      name for row in rows for name in row.flat() if name.startswith(prefix)
    )
  )


def metric_curves(
  setting: Setting, metrics: Sequence[str]
) -> dict[str, dict[str, curves.Curve]]:
  """The curves of each metric that has any, of the systems that have it."""
  found = {}
  for metric in metrics:
    rows = setting.having(metric)
    if rows:
      found[metric] = curves.curve(rows, metric=metric)
  return found


def _calibration(page, setting, order):
  softmax = [f'test.{name}' for name in _OF_PREDICTIONS]
  monte_carlo = [f'{_MONTE_CARLO}{name}' for name in _OF_PREDICTIONS]
  # Pairs next to each other: softmax, then MC-dropout.
  names = [
    name for pair in zip(softmax, monte_carlo, strict=True) for name in pair
  ]
  curves = metric_curves(setting, names)
  if not any(name.endswith('calibration_error') for name in curves):
    return
  page.topic('Calibration')
  panels = {
    _calibration_label(name): curves[name]
    for name in names
    if name in curves and not curves.is_share(name)
  }
  page.picture(
    f'{setting.slug}_calibration',
    functools.partial(
      plotting.curve_panels,
      panels,
      systems=order,
      title=setting.title,
      same_scale=[
        [
          _calibration_label(f'{kind}{name}')
          for kind in ('test.', _MONTE_CARLO)
        ]
        for name in _OF_PREDICTIONS
      ],
    ),
    _panel_rows(curves),
    caption=(
      'Log loss and calibration error on the test split; lower is better.'
    ),
  )
  _last_values(page, setting, curves, f'{setting.slug}_calibration_last')
  page.say(
    'At the last number of labels, ± one standard error over seeds. The '
    'calibration error is the mean gap between confidence and accuracy in 15 '
    'bins. Balanced accuracy: mean over classes. mc: the mean prediction of '
    'samples of dropout.',
    kind='note',
  )


def _calibration_label(metric):
  if metric.startswith(_MONTE_CARLO):
    return f'{metric.removeprefix(_MONTE_CARLO)}, MC-dropout'
  return f'{metric.removeprefix("test.")}, softmax'


def _batches(page, setting, order):
  names = metric_names(setting.rows, _BATCH)
  curves = metric_curves(setting, names)
  if not curves:
    return
  page.topic('The picked batches')
  page.picture(
    f'{setting.slug}_batches',
    functools.partial(
      plotting.curve_panels,
      {name.removeprefix(_BATCH): of for name, of in curves.items()},
      systems=order,
      title=setting.title,
    ),
    _panel_rows(curves),
    caption='What the batches are like that each system asked.',
  )
  data = []
  for system in setting.systems:
    row = {'system': system}
    for name in curves:
      values = [
        each.flat()[name]
        for each in setting.having(name)
        if each.system == system
      ]
      # Of a single pick there is no diversity: NaN.
      values = [value for value in values if not np.isnan(value)]
      if values:
        row[name] = float(np.mean(values))
    data.append(row)
  page.table(
    ['system', *(report_cells.percent(_plain(name)) for name in curves)],
    [
      [
        row['system'],
        *(f'{row[name]:.4g}' if name in row else '-' for name in curves),
      ]
      for row in data
    ],
    name=f'{setting.slug}_batches_mean',
    data=data,
  )
  page.say(
    'Means over rounds and seeds. log det: log det(I + G) / K with G the Gram '
    'matrix of the K gradient embeddings, scaled to length 1: 0.69 where all '
    'are orthogonal, near 0 where all are alike; near duplicates: the share '
    'of picks within half the median distance of one before; gradient norm: '
    'mean over the batch.',
    kind='note',
  )


def _plain(name):
  return name.removeprefix(_BATCH)


def _last_values(page, setting, curves, name):
  """A table of each metric at the end of each system's curve."""
  data = []
  for system in setting.systems:
    row = {'system': system}
    for metric, of in curves.items():
      if system in of:
        row[metric] = float(of[system].mean[-1])
        row[f'{metric}_standard_error'] = float(of[system].standard_error[-1])
    data.append(row)
  page.table(
    ['system', *(report_cells.percent(metric) for metric in curves)],
    [
      [
        row['system'],
        *(
          report_cells.mean(
            row[metric], row[f'{metric}_standard_error'], metric
          )
          if metric in row
          else '-'
          for metric in curves
        ),
      ]
      for row in data
    ],
    name=name,
    data=data,
  )


def _panel_rows(curves: Mapping[str, Mapping[str, curves.Curve]]):
  return [
    {'metric': metric, **row}
    for metric, of in curves.items()
    for row in report_results.curve_rows(of)
  ]


def _diagnostic_rows(diagnostic):
  return [
    {name: row[name] for name in ('system', 'x', 'mean', 'standard_error')}
    for row in report_results.curve_rows(diagnostic.curves, x='x')
  ]


def _diagnostic_caption(title, diagnostic):
  errors = [curve.standard_error for curve in diagnostic.curves.values()]
  has_error = np.isfinite(np.concatenate(errors)).any()
  return f'{title}, ± one standard error.' if has_error else f'{title}.'


def _diagnostic_table(diagnostic):
  """The header, and a row per x."""
  curves = diagnostic.curves
  return [diagnostic.x_label, *curves], [
    [
      f'{x:,.6g}',
      *(_short(of.mean[i], of.standard_error[i]) for of in curves.values()),
    ]
    for i, x in enumerate(next(iter(curves.values())).labels)
  ]


def _short(mean, error):
  """`0.953 ± 0.0021`: whatever it is of, three digits and two of the error."""
  if np.isnan(mean):
    return '-'
  return f'{mean:.3g}' if np.isnan(error) else f'{mean:.3g} ± {error:.2g}'


def _slug(name):
  return ''.join(letter if letter.isalnum() else '_' for letter in name)

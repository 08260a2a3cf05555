"""Curves of many systems, in panels one above the other."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from al_jax import files
from al_jax.analysis import curves as curves_lib
from al_jax.plotting import style
from al_jax.storage import metrics, records
from al_jax.tasks import Metric

# More markers hide a curve rather than name it: of few systems, of many.
_MOST_MARKERS, _MOST_MARKERS_OF_MANY = 24, 8
_MOST_TICKS = 10


def learning_curves(
  round_records: Iterable[records.RoundRecord],
  path: files.Path | None = None,
  *,
  metric: Metric = metrics.ACCURACY,
  title: str | None = None,
  systems: Sequence[str] | None = None,
  references: Mapping[str, float] | None = None,
) -> matplotlib.figure.Figure:
  """Draws the mean over seeds against labels, in a band of a standard error.

  Args:
    round_records: rounds of any number of runs.
    path: where to write the picture; its suffix (png, pdf, svg, ...) is the
      format. If None, it is not written.
    metric: whose name is a column of `RoundRecord.flat`.
    title: above the curves.
    systems: whose place is the number of a system's colour and marker, so that
      it looks the same in several pictures.
    references: a horizontal line at each value, by its name.

  Returns:
    The figure.
  """
  rows = list(round_records)
  curves = curves_lib.curve(rows, column=metric.name)
  if not curves:
    raise ValueError('round_records is empty; a curve needs at least one.')
  return curve_panels(
    {metric.name: curves},
    path,
    in_percent=[metric.name] if metric.unit == '%' else (),
    x_label=curves_lib.labels_title(rows),
    systems=systems,
    references=references,
    title=title,
  )


def curve_panels(
  panels: Mapping[str, Mapping[str, curves_lib.Curve]],
  path: files.Path | None,
  *,
  in_percent: Collection[str] = (),
  x_label: str = 'labels paid for',
  logarithmic_x: bool = False,
  systems: Sequence[str] | None = None,
  references: Mapping[str, float] | None = None,
  title: str | None = None,
  count: str | None = 'seeds',
  same_scale: Sequence[Sequence[str]] = (),
  chance: Mapping[str, float] | None = None,
) -> matplotlib.figure.Figure:
  """Draws means in bands of a standard error, a panel per quantity.

  The panels have their horizontal axis and their legend in common. Where a
  mean is not finite nothing is drawn.

  Args:
    panels: by the name of what is on the vertical axis, the curve of each
      system.
    path: where to write the picture, see `learning_curves`.
    in_percent: names of the panels that show shares.
    x_label: what is on the horizontal axis.
    logarithmic_x: whether that axis is logarithmic; otherwise it counts.
    systems: whose place is the number of a system's colour and marker, so that
      it looks the same in several pictures; those of the panels if None.
    references: a horizontal line at each value, by its name, in every panel.
    title: above the panels.
    count: what a mean is taken over, for the legend; unnamed if None.
    same_scale: groups of panels that have their vertical axis in common.
    chance: what guessing gets, by panel: a thin line that says so.

  Returns:
    The figure.
  """
  names = list(dict.fromkeys(name for of in panels.values() for name in of))
  if not names:
    raise ValueError('panels has no curve; a picture needs at least one.')
  systems = list(dict.fromkeys([*(systems or []), *names]))
  references = dict(references or {})
  many = len(names) > style.MOST_INSIDE
  height = 0.6 + (2.7 if len(panels) > 1 else 4.4 if many else 3.6) * len(
    panels
  )
  figure = style.new_figure(height=height, entries=len(names) + len(references))
  all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
  for axes, (quantity, curves) in zip(all_axes, panels.items(), strict=True):
    for system, curve in curves.items():
      _draw_curve(axes, curve, system, systems.index(system), many)
    for name, value in references.items():
      axes.axhline(
        value, color=style.INK, linewidth=1.1, dashes=(7, 3), label=name
      )
    style.plain_axes(axes, '', metrics.spelled(quantity))
    if quantity in (chance or {}):
      _draw_chance(axes, chance[quantity])
    if quantity in in_percent:
      style.percent_axis(axes.yaxis)
  for group in same_scale:
    together = [
      axes
      for axes, quantity in zip(all_axes, panels, strict=True)
      if quantity in group
    ]
    for axes in together[1:]:
      axes.sharey(together[0])
      axes.autoscale_view()
  if title:
    all_axes[0].set_title(title, color=style.INK, loc='left', fontsize=11)
  all_axes[-1].set_xlabel(x_label, color=style.INK)
  places = np.unique(
    np.concatenate(
      [curve.labels for of in panels.values() for curve in of.values()]
    )
  )
  _scale_x(all_axes[-1], places, logarithmic_x)
  _add_legend(figure, all_axes, panels, count)
  style.plain_text(figure)
  if path is not None:
    style.save(figure, path)
  return figure


def _draw_chance(axes: matplotlib.axes.Axes, value: float) -> None:
  axes.axhline(value, color=style.INK, linewidth=0.8, dashes=(1, 3))
  axes.annotate(
    'chance',
    (1, value),
    xycoords=('axes fraction', 'data'),
    xytext=(-2, 2),
    textcoords='offset points',
    ha='right',
    va='bottom',
    color=style.INK,
    fontsize=8,
  )


def _draw_curve(
  axes: matplotlib.axes.Axes,
  curve: curves_lib.Curve,
  system: str,
  number: int,
  many: bool,
) -> None:
  mean = np.asarray(curve.mean, float)
  mean = np.where(np.isfinite(mean), mean, np.nan)
  # A single seed has no standard error, and no band.
  error = np.nan_to_num(curve.standard_error, nan=0.0, posinf=0.0)
  look = style.line_style(number)
  axes.fill_between(
    curve.labels,
    mean - error,
    mean + error,
    color=look['color'],
    # Many bands on top of each other would hide the curves.
    alpha=0.12 if many else 0.2,
    linewidth=0,
  )
  most = _MOST_MARKERS_OF_MANY if many else _MOST_MARKERS
  step = -(-mean.size // most)
  axes.plot(
    curve.labels,
    mean,
    label=system,
    # One after the other, so that those of close curves do not hide each other.
    markevery=(number % step, step),
    **look,
  )


def _scale_x(
  axes: matplotlib.axes.Axes, places: np.ndarray, logarithmic: bool
) -> None:
  """Ticks at the places themselves where these are few and evenly apart."""
  is_count = np.all(places == np.round(places))
  if logarithmic:
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(
      matplotlib.ticker.StrMethodFormatter('{x:,.6g}')
    )
  elif is_count:
    style.count_axis(axes.xaxis)
    if 1 < places.size <= _MOST_TICKS and np.ptp(np.diff(places)) == 0:
      axes.set_xticks(places)


def _add_legend(figure, all_axes, panels, count) -> None:
  """Lists the systems in the order in which their curves end, from above."""
  fullest = max(range(len(panels)), key=lambda i: len(list(panels.values())[i]))
  axes, curves = all_axes[fullest], list(panels.values())[fullest]
  _, labels = axes.get_legend_handles_labels()
  ends = [
    float(curves[label].mean[-1]) if label in curves else np.inf
    for label in labels
  ]
  order = sorted(range(len(labels)), key=lambda i: -np.nan_to_num(ends[i]))
  most = max(int(np.max(curve.n)) for curve in curves.values())
  title = None
  if count is not None:
    one = f'one {count.removesuffix("s")}'
    title = f'mean ± s.e., {most} {count}' if most > 1 else one
  style.legend(figure, axes, title=title, order=order)

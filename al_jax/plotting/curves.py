"""Curves of many systems, in panels above each other."""

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

# More markers would hide a curve: limits for few systems and for many.
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
  """Draws the mean over seeds against labels, with a band of standard errors.

  Args:
    round_records: rounds of any number of runs.
    path: path of the picture; its suffix (png, pdf, svg, ...) is the format. If
      None, it is not written.
    metric: metric to draw; its name is a column of `RoundRecord.flat`.
    title: title above the curves.
    systems: names whose positions choose the colours and markers, so that a
      system looks the same in several pictures. If None, those of the records.
    references: values of horizontal lines, by name.

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
  """Draws means with bands of standard errors, a panel per quantity.

  The panels share their horizontal axis and their legend. Means that are not
  finite are not drawn.

  Args:
    panels: curve of each system, by the quantity on the vertical axis.
    path: path of the picture, see `learning_curves`.
    in_percent: names of the panels that show shares.
    x_label: label of the horizontal axis.
    logarithmic_x: whether the horizontal axis is logarithmic. Otherwise its
      ticks are whole numbers if all values are.
    systems: names whose positions choose the colours and markers, so that a
      system looks the same in several pictures. If None, those of the panels.
    references: values of horizontal lines in every panel, by name.
    title: title above the panels.
    count: plural name of the units of a mean, for the legend. If None, the
      legend has no title.
    same_scale: groups of panels that share their vertical axis.
    chance: value that guessing reaches, by panel, drawn as a thin line with the
      label "chance".

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
  # A single seed has no standard error and gets no band.
  error = np.nan_to_num(curve.standard_error, nan=0.0, posinf=0.0)
  look = style.line_style(number)
  axes.fill_between(
    curve.labels,
    mean - error,
    mean + error,
    color=look['color'],
    # Many overlapping bands would hide the curves.
    alpha=0.12 if many else 0.2,
    linewidth=0,
  )
  most = _MOST_MARKERS_OF_MANY if many else _MOST_MARKERS
  step = -(-mean.size // most)
  axes.plot(
    curve.labels,
    mean,
    label=system,
    # Staggered, so that the markers of close curves do not hide each other.
    markevery=(number % step, step),
    **look,
  )


def _scale_x(
  axes: matplotlib.axes.Axes, places: np.ndarray, logarithmic: bool
) -> None:
  """Puts ticks at the places themselves if they are few and evenly spaced."""
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
  """Lists the systems in the order of their curves' right ends, from above."""
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

"""Plots of many experiments: which system wins, by how much, how fast."""

from collections.abc import Mapping, Sequence

import matplotlib.ticker
import numpy as np

from al_jax import files
from al_jax.analysis import comparison
from al_jax.plotting import style
from al_jax.storage import metrics
from al_jax.tasks import Metric

# Side of a cell of the penalty matrix, in inches.
_CELL = 0.46
# More markers would hide the line.
_MOST_MARKERS = 5
# Range of normalised errors in the figures of Ash et al. 2020 (BADGE).
_ERROR_RANGE = (0.3, 1.2)
# Shorter times are drawn here.
_SHORTEST_SECONDS = 1e-4
# Times that span more than this factor get a logarithmic axis.
_LOG_SPAN = 20


def penalty_matrix(
  found: comparison.PenaltyMatrix,
  path: files.Path,
  *,
  order: Sequence[str] | None = None,
  title: str | None = None,
) -> None:
  """Draws how often each system beats every other, and the means below.

  Args:
    found: matrix to draw, see `comparison.penalty_matrix`.
    path: path of the picture; its suffix (png, pdf, svg, ...) is the format.
    order: systems in the order of the rows and columns. If None, by column
      mean, best first.
    title: title above the matrix.
  """
  systems = found.systems
  if order is None:
    order = [systems[i] for i in np.argsort(found.column_mean, kind='stable')]
  places = [systems.index(system) for system in order if system in systems]
  names = [systems[i] for i in places]
  matrix = found.matrix[np.ix_(places, places)]
  means = found.column_mean[places]
  margin = 0.35 + 0.075 * max(map(len, names))
  side = _CELL * len(names)
  figure = style.new_figure(
    max(side + margin + 0.3, 3.2), side + margin + _CELL + 0.75
  )
  upper, lower = figure.subplots(
    2, height_ratios=(len(names), 1), sharex=True, squeeze=True
  )
  # A system is not compared with itself: the diagonal stays grey.
  shown = np.ma.array(matrix, mask=np.eye(len(names), dtype=bool))
  _draw_cells(upper, shown, max(float(matrix.max()), 1e-9), 'Blues')
  _draw_cells(lower, means[None], max(float(means.max()), 1e-9), 'Oranges')
  upper.set_yticks(range(len(names)), names)
  upper.set_ylabel('this row beats', color=style.INK)
  upper.tick_params(labelbottom=False)
  lower.set_yticks([0], ['mean'])
  lower.set_xticks(range(len(names)), names, rotation=90)
  lower.set_xlabel('this column', color=style.INK)
  if title:
    figure.suptitle(title, x=0.01, ha='left', color=style.INK, fontsize=11)
  style.save(figure, path)


def _draw_cells(axes, values, most: float, colours: str) -> None:
  axes.set_facecolor('#EEEEEE')
  axes.imshow(values, cmap=colours, vmin=0, vmax=1.15 * most, aspect='auto')
  masked = np.ma.getmaskarray(values)
  for (row, column), value in np.ndenumerate(np.ma.getdata(values)):
    if not masked[row, column]:
      light = value > 0.65 * most
      axes.text(
        column,
        row,
        _number(value),
        ha='center',
        va='center',
        fontsize=7.5,
        color='white' if light else style.INK if value else '#9A9A9A',
      )
  rows, columns = values.shape
  axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
  axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
  axes.grid(which='minor', color='white', linewidth=1.5)
  axes.tick_params(which='both', length=0, labelsize=8.5)
  axes.tick_params(colors=style.INK)
  axes.spines[:].set_visible(False)


def _number(value: float) -> str:
  if not value:
    return '0'
  return f'{value:.3g}' if value >= 10 else f'{value:.2f}'


def error_distributions(
  found: Mapping[str, comparison.WeightedCdf],
  path: files.Path,
  *,
  systems: Sequence[str] | None = None,
  title: str | None = None,
) -> None:
  """Draws each system's distribution of error / error of random, as steps.

  Args:
    found: distribution of each system, see `comparison.normalised_errors`.
    path: path of the picture; its suffix (png, pdf, svg, ...) is the format.
    systems: names whose positions choose the colours and markers, so that a
      system looks the same in several pictures. If None, those of `found`.
    title: title above the axes.
  """
  if not found:
    raise ValueError('found is empty; a picture needs at least one system.')
  systems = list(dict.fromkeys([*(systems or []), *found]))
  figure = style.new_figure(entries=len(found))
  axes = figure.add_subplot()
  low = min(_ERROR_RANGE[0], min(float(of.values[0]) for of in found.values()))
  high = max(
    _ERROR_RANGE[1], min(max(float(of.values[-1]) for of in found.values()), 2)
  )
  for system, (values, cumulative) in found.items():
    step = -(-len(values) // _MOST_MARKERS)
    axes.plot(
      [values[0], *values],
      [0, *cumulative],
      drawstyle='steps-post',
      label=system,
      markevery=slice(1 + systems.index(system) % step, len(values) + 1, step),
      **style.line_style(systems.index(system)),
    )
  axes.set_xlim(low, high)
  axes.set_ylim(0, 1.02)
  style.plain_axes(
    axes, 'error / error of random', 'share of checkpoints', title
  )
  style.percent_axis(axes.yaxis)
  style.legend(figure, axes)
  style.save(figure, path)


def time_against_score(
  points: Mapping[str, tuple[float, float, float]],
  path: files.Path,
  *,
  metric: Metric = metrics.ACCURACY,
  systems: Sequence[str] | None = None,
  title: str | None = None,
) -> None:
  """Draws each system as a point: its selection time against its score.

  Args:
    points: seconds per round, score, and standard error of the score, by
      system; the error is NaN where there is none.
    path: path of the picture; its suffix (png, pdf, svg, ...) is the format.
    metric: metric of the score.
    systems: names whose positions choose the colours and markers, so that a
      system looks the same in several pictures. If None, those of `points`.
    title: title above the axes.
  """
  if not points:
    raise ValueError('points is empty; a picture needs at least one system.')
  systems = list(dict.fromkeys([*(systems or []), *points]))
  figure = style.new_figure(entries=len(points))
  axes = figure.add_subplot()
  for system, (seconds, score, error) in points.items():
    look = style.marker_style(systems.index(system))
    look['markersize'] *= 1.5
    axes.errorbar(
      max(seconds, _SHORTEST_SECONDS),
      score,
      np.nan_to_num(error, nan=0.0) or None,
      linestyle='none',
      elinewidth=1.2,
      label=system,
      **look,
    )
  axes.margins(0.12)
  times = [max(of[0], _SHORTEST_SECONDS) for of in points.values()]
  # A logarithmic axis of similar times would have no numbers.
  if max(times) > _LOG_SPAN * min(times):
    axes.set_xscale('log')
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
  else:
    axes.set_xlim(0, 1.12 * max(times))
  axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter('{x:g}'))
  x_label = 'seconds to measure and select, per round'
  style.plain_axes(axes, x_label, metrics.spelled(metric.name), title)
  if metric.unit == '%':
    style.percent_axis(axes.yaxis)
  style.legend(figure, axes, handle_length=1.5)
  style.save(figure, path)


def stacked_bars(
  parts: Mapping[str, Mapping[str, float]],
  path: files.Path,
  *,
  x_label: str,
  title: str | None = None,
) -> None:
  """Draws a bar per system, stacked from named parts.

  Args:
    parts: length of each part by its name, by system.
    path: path of the picture; its suffix (png, pdf, svg, ...) is the format.
    x_label: label of the lengths.
    title: title above the bars.
  """
  if not parts:
    raise ValueError('parts is empty; a picture needs at least one system.')
  names = list(dict.fromkeys(name for of in parts.values() for name in of))
  figure = style.new_figure(height=1.3 + 0.3 * len(parts))
  axes = figure.add_subplot()
  left = np.zeros(len(parts))
  for number, name in enumerate(names):
    lengths = np.array([of.get(name, 0.0) for of in parts.values()])
    axes.barh(
      list(parts),
      lengths,
      left=left,
      height=0.66,
      label=name,
      color=style.COLOURS[number % len(style.COLOURS)],
    )
    left += lengths
  axes.invert_yaxis()
  style.plain_axes(axes, x_label, '', title)
  axes.grid(visible=False, axis='y')
  axes.tick_params(axis='y', length=0)
  figure.legend(
    loc='outside lower center',
    ncols=len(names),
    fontsize=9,
    handlelength=1.2,
    edgecolor=style.GRID,
  )
  style.save(figure, path)

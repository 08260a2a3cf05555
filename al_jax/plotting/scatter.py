"""Scatter plots of examples, in a panel per system."""

from collections.abc import Mapping, Sequence

import matplotlib.axes
import matplotlib.figure
import numpy as np

from al_jax import files
from al_jax.plotting import style

_COLUMNS = 2
# Fewest points of a median, and most medians.
_GROUP, _MOST_MEDIANS = 5, 20


def scatter(
  points: Mapping[str, np.ndarray],
  path: files.Path | None,
  *,
  x_label: str,
  y_label: str,
  logarithmic_x: bool = False,
  logarithmic_y: bool = False,
  systems: Sequence[str] | None = None,
  title: str | None = None,
) -> matplotlib.figure.Figure:
  """Draws points, and a line through medians of points with a similar x.

  The panels share their vertical axis, but not the horizontal one: the x of two
  systems may have different units.

  Args:
    points: float[2, N] by system: x and y, finite.
    path: path of the picture; its suffix (png, pdf, svg, ...) is the format. If
      None, it is not written.
    x_label: label of the horizontal axes.
    y_label: label of the vertical axes.
    logarithmic_x: whether the horizontal axes are logarithmic; all x must be
      above 0.
    logarithmic_y: whether the vertical axes are logarithmic; all y must be
      above 0.
    systems: names whose positions choose the colours, so that a system looks
      the same in several pictures. If None, those of `points`.
    title: title of the picture.

  Returns:
    The figure.
  """
  if not points:
    raise ValueError('points is empty; a picture needs at least one system.')
  systems = list(dict.fromkeys([*(systems or []), *points]))
  columns = min(len(points), _COLUMNS)
  rows = -(-len(points) // columns)
  figure = style.new_figure(height=0.6 + (3.6 if columns == 1 else 3.0) * rows)
  panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
  for number, (system, (x, y)) in enumerate(points.items()):
    axes = panels[number]
    _draw_points(axes, x, y, systems.index(system))
    if logarithmic_x:
      axes.set_xscale('log')
    if logarithmic_y:
      axes.set_yscale('log')
    is_first = number % columns == 0
    style.plain_axes(axes, x_label, y_label if is_first else '', system)
    if number == 0:
      style.legend(figure, axes)
  for axes in panels[len(points) :]:
    axes.set_axis_off()
  if title:
    figure.suptitle(title, x=0.01, ha='left', color=style.INK, fontsize=11)
  style.plain_text(figure)
  if path is not None:
    style.save(figure, path)
  return figure


def _draw_points(
  axes: matplotlib.axes.Axes, x: np.ndarray, y: np.ndarray, number: int
) -> None:
  axes.scatter(
    x,
    y,
    s=9,
    color=style.COLOURS[number % len(style.COLOURS)],
    alpha=0.25,
    linewidths=0,
    # Pixels, because thousands of vector shapes would make a page large.
    rasterized=True,
  )
  axes.plot(*medians(x, y), color=style.INK, linewidth=1.6, label='median')


def medians(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Computes medians of groups of points that are neighbours along x.

  Args:
    x: float[N], N at least 1.
    y: float[N].

  Returns:
    The median x and the median y of each of at most 20 groups of equal size.
  """
  order = np.argsort(x, kind='stable')
  number = np.clip(len(x) // _GROUP, 1, _MOST_MEDIANS)
  groups = np.array_split(order, number)
  return tuple(
    np.array([np.median(of[group]) for group in groups]) for of in (x, y)
  )

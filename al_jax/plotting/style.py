"""Colours, markers, axes, legends and files of every picture.

Nothing here uses pyplot, so it needs no display and leaves no figure open.
"""

import pathlib
from typing import Any

import matplotlib
import matplotlib.axes
import matplotlib.figure
import matplotlib.text
import matplotlib.ticker

from al_jax import errors, files

# Okabe and Ito's palette for all kinds of colour vision, without the yellow,
# which is too light for a line; then five darker or duller colours. Dashes and
# markers tell systems apart in greyscale: among twelve systems, no pair of
# colour and marker and no pair of dash and marker occurs twice.
COLOURS = (
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#000000',
  '#E69F00',
  '#56B4E9',
  '#882255',
  '#8C8C8C',
  '#8C6D31',
  '#4B2E9E',
  '#9ACD32',
)
_DASHES = ('-', '--', '-.', (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5, 1, 1.5)))
_MARKERS = ('o', 's', '^', 'D', 'v', 'p', '<', 'h', 'X', 'P', '>', '*')
INK = '#262626'
GRID = '#DDDDDD'
# A legend with more entries goes below the axes, in _LEGEND_COLUMNS columns.
MOST_INSIDE = 6
_LEGEND_COLUMNS = 3
_DOTS_PER_INCH = 200


def line_style(number: int) -> dict[str, Any]:
  """Returns the line style of the system with this number."""
  return {
    'linestyle': _DASHES[number % len(_DASHES)],
    'linewidth': 1.7,
    **marker_style(number),
  }


def marker_style(number: int) -> dict[str, Any]:
  """Returns the marker style of the system with this number."""
  marker = _MARKERS[number % len(_MARKERS)]
  return {
    'color': COLOURS[number % len(COLOURS)],
    'marker': marker,
    # A star of the same size has less ink than the others.
    'markersize': 8 if marker == '*' else 5.5,
    'markeredgecolor': 'white',
    'markeredgewidth': 0.7,
  }


def new_figure(
  width: float = 6.4, height: float = 4.2, *, entries: int = 0
) -> matplotlib.figure.Figure:
  """Makes a figure, sized in inches, with room for a legend of `entries`."""
  if entries > MOST_INSIDE:
    height += 0.3 + 0.2 * -(-entries // _LEGEND_COLUMNS)
  return matplotlib.figure.Figure(figsize=(width, height), layout='constrained')


def plain_axes(
  axes: matplotlib.axes.Axes,
  x_label: str,
  y_label: str,
  title: str | None = None,
) -> None:
  """Draws a light grid, two spines and the labels of the axes."""
  axes.set_xlabel(x_label, color=INK)
  axes.set_ylabel(y_label, color=INK)
  if title:
    axes.set_title(title, color=INK, loc='left', fontsize=11)
  axes.grid(color=GRID, linewidth=0.7)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right']].set_visible(False)
  axes.spines[['left', 'bottom']].set_color(INK)
  axes.tick_params(colors=INK, labelsize=9)


def count_axis(axis) -> None:
  """Labels an axis with whole numbers, with commas."""
  axis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=10, integer=True))
  axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter('{x:,.0f}'))


def percent_axis(axis) -> None:
  """Labels an axis of shares in percent."""
  axis.set_major_formatter(
    matplotlib.ticker.FuncFormatter(lambda share, _: f'{100 * share:g}%')
  )


def legend(
  figure: matplotlib.figure.Figure,
  axes: matplotlib.axes.Axes,
  *,
  title: str | None = None,
  order: list[int] | None = None,
  handle_length: float = 3.6,
) -> None:
  """Draws a legend: inside the axes, or below them if it is long.

  Args:
    figure: figure that holds the axes.
    axes: axes whose labelled lines and points are listed.
    title: title above the names.
    order: indices of the entries in the order to list them. If None, as drawn.
    handle_length: length of a handle, in font sizes; the default shows dash
      patterns whole.
  """
  handles, labels = axes.get_legend_handles_labels()
  if not handles:
    return
  if order is not None:
    handles = [handles[i] for i in order]
    labels = [labels[i] for i in order]
  look = {
    'title': title,
    'title_fontsize': 8,
    'fontsize': 9,
    'alignment': 'left',
    'handlelength': handle_length,
    'edgecolor': GRID,
  }
  if len(handles) <= MOST_INSIDE:
    axes.legend(handles, labels, **look)
  else:
    figure.legend(
      handles,
      labels,
      loc='outside lower center',
      ncols=_LEGEND_COLUMNS,
      **look,
    )


def plain_text(figure: matplotlib.figure.Figure) -> None:
  """Draws a `$` in names literally, instead of starting a formula.

  Args:
    figure: complete figure; the tick labels of its axes are left alone.
  """
  ticks = {
    id(label)
    for axes in figure.axes
    for axis in (axes.xaxis, axes.yaxis)
    for label in axis.get_ticklabels(which='both')
  }
  for text in figure.findobj(matplotlib.text.Text):
    if id(text) not in ticks:
      text.set_parse_math(False)


def save(figure: matplotlib.figure.Figure, path: files.Path) -> None:
  """Writes a figure in the format of the suffix, atomically."""
  suffix = pathlib.Path(path).suffix.removeprefix('.').lower()
  formats = figure.canvas.get_supported_filetypes()
  if suffix not in formats:
    raise errors.unknown_name('Picture format', suffix, formats)
  # Without a date and random names, equal figures give equal SVG bytes.
  metadata = {'Date': None} if suffix == 'svg' else None
  plain_text(figure)
  with (
    files.replacing(path) as partial,
    matplotlib.rc_context({'svg.hashsalt': 'al_jax'}),
  ):
    figure.savefig(
      partial,
      format=suffix,
      dpi=_DOTS_PER_INCH,
      facecolor='white',
      metadata=metadata,
    )

"""How every picture looks: colours, markers, axes, legends, files.

Figures are made without pyplot, so nothing here needs a display or leaves a
figure open behind it.
"""

import pathlib
from typing import Any

import matplotlib
import matplotlib.axes
import matplotlib.figure
import matplotlib.text
import matplotlib.ticker

from al_jax import errors, files

# Okabe and Ito's palette for all kinds of colour vision, less the yellow, which
# is too light for a line; then five that are darker or duller than any of them.
# Dashes and markers tell systems apart in grey: no colour and marker, and no
# dash and marker, come together twice in twelve systems.
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
# A legend of more entries goes below the axes, in so many columns.
MOST_INSIDE = 6
_LEGEND_COLUMNS = 3
_DOTS_PER_INCH = 200


def line_style(number: int) -> dict[str, Any]:
  """How the line of the system with this number is drawn."""
  return {
    'linestyle': _DASHES[number % len(_DASHES)],
    'linewidth': 1.7,
    **marker_style(number),
  }


def marker_style(number: int) -> dict[str, Any]:
  """How the points of the system with this number are drawn."""
  marker = _MARKERS[number % len(_MARKERS)]
  return {
    'color': COLOURS[number % len(COLOURS)],
    'marker': marker,
    # A star of this size has less ink than the others.
    'markersize': 8 if marker == '*' else 5.5,
    'markeredgecolor': 'white',
    'markeredgewidth': 0.7,
  }


def new_figure(
  width: float = 6.4, height: float = 4.2, *, entries: int = 0
) -> matplotlib.figure.Figure:
  """A figure in inches, higher where its legend will go below the axes."""
  if entries > MOST_INSIDE:
    height += 0.3 + 0.2 * -(-entries // _LEGEND_COLUMNS)
  return matplotlib.figure.Figure(figsize=(width, height), layout='constrained')


def plain_axes(
  axes: matplotlib.axes.Axes,
  x_label: str,
  y_label: str,
  title: str | None = None,
) -> None:
  """A light grid, two spines, and what the axes are."""
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
  """Whole numbers with commas."""
  axis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=10, integer=True))
  axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter('{x:,.0f}'))


def percent_axis(axis) -> None:
  """Shares of one in percent."""
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
  """Names what is drawn: inside the axes, or below them where it is much.

  Args:
    figure: of the axes.
    axes: whose labelled lines and points are named.
    title: above the names.
    order: of the entries; as drawn if None.
    handle_length: long enough for dashes to be seen whole and told apart.
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
  """Has a `$` in names drawn as it is, not read as the beginning of a formula.

  Args:
    figure: with all that names anything; the numbers of its axes stay.
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
  """Writes a figure in the format of the suffix, replacing the file whole."""
  suffix = pathlib.Path(path).suffix.removeprefix('.').lower()
  formats = figure.canvas.get_supported_filetypes()
  if suffix not in formats:
    raise errors.unknown_name('Picture format', suffix, formats)
  # The same figure is the same SVG, byte for byte: no date, no random names.
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

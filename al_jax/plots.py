"""Pictures of a run: learning curves, and a gallery of what was asked.

Figures are made without pyplot, so nothing here needs a display or leaves a
figure open behind it.
"""

import pathlib
from collections.abc import Iterable, Sequence

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from al_jax import errors, files, records, stats

# Okabe and Ito's palette for all kinds of colour vision, less the yellow, which
# is too light for a line. Dashes and markers tell systems apart in grey, and
# numbers of styles without a common factor let no pair repeat soon.
_COLOURS = (
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#000000',
  '#E69F00',
  '#56B4E9',
)
_DASHES = ('-', '--', '-.', (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5, 1, 1.5)))
_MARKERS = ('o', 's', '^', 'D', 'v', 'p', '<', 'h')
_INK = '#262626'
_GRID = '#DDDDDD'
_DOTS_PER_INCH = 200
# Of the gallery, in inches: a picture with its caption, and the row titles.
_CELL_WIDTH, _CELL_HEIGHT, _MARGIN = 0.72, 0.9, 1.1
_CAPTION_LENGTH = 11


def learning_curves(
  round_records: Iterable[records.RoundRecord],
  path: files.Path,
  *,
  metric: str = stats.ACCURACY,
  title: str | None = None,
) -> None:
  """Draws the mean over seeds against labels, in a band of a standard error.

  Args:
    round_records: rounds of any number of runs.
    path: the picture; its suffix (png, pdf, svg, ...) is the format.
    metric: a column of `RoundRecord.flat`.
    title: above the curves.
  """
  curves = stats.curve(round_records, metric=metric)
  if not curves:
    raise ValueError('round_records is empty; a curve needs at least one.')
  figure = matplotlib.figure.Figure(figsize=(6.4, 4.2), layout='constrained')
  axes = figure.add_subplot()
  for number, (system, curve) in enumerate(curves.items()):
    _draw_curve(axes, curve, system, number)
  _label_axes(axes, metric, title)
  _add_legend(axes, curves)
  _save(figure, path)


def _draw_curve(
  axes: matplotlib.axes.Axes, curve: stats.Curve, system: str, number: int
) -> None:
  colour = _COLOURS[number % len(_COLOURS)]
  # A single seed has no standard error, and no band.
  error = np.nan_to_num(curve.standard_error, nan=0.0)
  axes.fill_between(
    curve.labels,
    curve.mean - error,
    curve.mean + error,
    color=colour,
    alpha=0.2,
    linewidth=0,
  )
  axes.plot(
    curve.labels,
    curve.mean,
    color=colour,
    linestyle=_DASHES[number % len(_DASHES)],
    linewidth=1.7,
    marker=_MARKERS[number % len(_MARKERS)],
    markersize=5.5,
    markeredgecolor='white',
    markeredgewidth=0.7,
    label=system,
  )


def _label_axes(
  axes: matplotlib.axes.Axes, metric: str, title: str | None
) -> None:
  axes.set_xlabel('labels paid for', color=_INK)
  axes.set_ylabel(metric.replace('.', ' ').replace('_', ' '), color=_INK)
  axes.xaxis.set_major_locator(
    matplotlib.ticker.MaxNLocator(nbins=10, integer=True)
  )
  axes.xaxis.set_major_formatter(
    matplotlib.ticker.StrMethodFormatter('{x:,.0f}')
  )
  if stats.is_share(metric):
    axes.yaxis.set_major_formatter(
      matplotlib.ticker.FuncFormatter(lambda share, _: f'{100 * share:g}%')
    )
  if title:
    axes.set_title(title, color=_INK, loc='left', fontsize=11)
  axes.grid(color=_GRID, linewidth=0.7)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right']].set_visible(False)
  axes.spines[['left', 'bottom']].set_color(_INK)
  axes.tick_params(colors=_INK, labelsize=9)


def _add_legend(
  axes: matplotlib.axes.Axes, curves: dict[str, stats.Curve]
) -> None:
  """Lists the systems in the order in which their curves end, from above."""
  handles, systems = axes.get_legend_handles_labels()
  order = sorted(
    range(len(systems)), key=lambda i: -float(curves[systems[i]].mean[-1])
  )
  most = max(int(curve.n.max()) for curve in curves.values())
  seeds = f'mean ± s.e., {most} seeds' if most > 1 else 'one seed'
  axes.legend(
    [handles[i] for i in order],
    [systems[i] for i in order],
    title=seeds,
    title_fontsize=8,
    fontsize=9,
    alignment='left',
    # The dashes must be seen whole to be told apart.
    handlelength=3.6,
    edgecolor=_GRID,
  )


def gallery(
  images: Sequence[Sequence[np.ndarray]],
  titles: Sequence[Sequence[str]],
  path: files.Path,
  *,
  row_titles: Sequence[str],
  columns: int = 12,
  title: str | None = None,
) -> None:
  """Draws what was asked: a row per round, a picture per pick.

  Args:
    images: per row, pictures [height, width], [height, width, 1] or [height,
      width, 3], all of one shape. uint8 is shown as it is; the range of floats
      is that of all finite values together, so that brightness compares.
    titles: per row, a caption for each picture: its class.
    path: the picture; its suffix (png, pdf, svg, ...) is the format.
    row_titles: one per row.
    columns: at most so many pictures of each row are drawn.
    title: above the gallery.
  """
  _check_rows(images, titles, row_titles)
  rows = _displayable([list(row)[:columns] for row in images])
  width = max(map(len, rows))
  heading = 0.35 if title else 0.1
  size = (
    _MARGIN + width * _CELL_WIDTH + 0.08,
    heading + len(rows) * _CELL_HEIGHT,
  )
  figure = matplotlib.figure.Figure(figsize=size)
  # One inch is one unit of the axes, with the origin at the upper left.
  axes = figure.add_axes((0, 0, 1, 1))
  for number, row in enumerate(rows):
    top = heading + number * _CELL_HEIGHT
    axes.text(
      _MARGIN - 0.12,
      top + _CELL_WIDTH / 2,
      row_titles[number],
      ha='right',
      va='center',
      color=_INK,
      fontsize=8,
    )
    for column, image in enumerate(row):
      left = _MARGIN + column * _CELL_WIDTH
      _draw_picture(axes, image, titles[number][column], left, top)
  if title:
    axes.text(0.12, 0.18, title, va='center', color=_INK, fontsize=10)
  axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect='auto')
  axes.set_axis_off()
  _save(figure, path)


def _check_rows(
  images: Sequence[Sequence[np.ndarray]],
  titles: Sequence[Sequence[str]],
  row_titles: Sequence[str],
) -> None:
  if not len(images) == len(titles) == len(row_titles):
    raise ValueError(
      f'images has {len(images)} rows, titles {len(titles)} and row_titles '
      f'{len(row_titles)}; they must have as many.'
    )
  for number, (row, captions) in enumerate(zip(images, titles, strict=True)):
    if len(row) != len(captions):
      raise ValueError(
        f'images[{number}] has {len(row)} pictures and titles[{number}] '
        f'{len(captions)}; each picture needs one.'
      )
  shapes = {np.shape(image) for row in images for image in row}
  if len(shapes) != 1:
    raise ValueError(
      f'images has pictures of the shapes {sorted(shapes)}; there must be at '
      'least one picture, and one shape.'
    )
  (shape,) = shapes
  if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
    raise ValueError(
      f'images has pictures of shape {shape}; allowed are [height, width], '
      '[height, width, 1] and [height, width, 3].'
    )


def _displayable(
  images: Sequence[Sequence[np.ndarray]],
) -> list[list[np.ndarray]]:
  """The pictures as uint8 [height, width, 3]."""
  flat = [np.asarray(image) for row in images for image in row]
  low, high = 0.0, 255.0
  if any(image.dtype != np.uint8 for image in flat):
    values = np.stack(flat)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
  scale = 255.0 / (high - low) if high > low else 0.0

  def as_colour(image: np.ndarray) -> np.ndarray:
    image = np.nan_to_num((np.asarray(image, float) - low) * scale)
    image = image.reshape(*image.shape[:2], -1)
    image = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return np.broadcast_to(image, (*image.shape[:2], 3))

  return [[as_colour(image) for image in row] for row in images]


def _draw_picture(
  axes: matplotlib.axes.Axes,
  image: np.ndarray,
  caption: str,
  left: float,
  top: float,
) -> None:
  """Draws a picture and its caption into the cell that begins at left, top."""
  height, width = image.shape[:2]
  side = 0.9 * _CELL_WIDTH
  drawn_height, drawn_width = (
    np.array([height, width]) * side / max(height, width)
  )
  middle = left + _CELL_WIDTH / 2
  centre = top + _CELL_WIDTH / 2
  axes.imshow(
    image,
    extent=(
      middle - drawn_width / 2,
      middle + drawn_width / 2,
      centre + drawn_height / 2,
      centre - drawn_height / 2,
    ),
    # The pixels that the network sees, not a softened version of them.
    interpolation='nearest',
  )
  if len(caption) > _CAPTION_LENGTH:
    caption = caption[: _CAPTION_LENGTH - 1] + '…'
  axes.text(
    middle,
    top + _CELL_WIDTH,
    caption,
    ha='center',
    va='top',
    color=_INK,
    fontsize=6.5,
  )


def _save(figure: matplotlib.figure.Figure, path: files.Path) -> None:
  """Writes a figure in the format of the suffix, replacing the file whole."""
  suffix = pathlib.Path(path).suffix.removeprefix('.').lower()
  formats = figure.canvas.get_supported_filetypes()
  if suffix not in formats:
    raise errors.unknown_name('Picture format', suffix, formats)
  with files.replacing(path) as partial:
    figure.savefig(
      partial, format=suffix, dpi=_DOTS_PER_INCH, facecolor='white'
    )

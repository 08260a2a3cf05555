"""A gallery of queried examples."""

import textwrap
from collections.abc import Sequence

import matplotlib.axes
import matplotlib.figure
import numpy as np

from al_jax import files
from al_jax.plotting import style

# Inches for a picture, a line of its caption, and the titles of the rows.
_CELL_WIDTH, _LINE_HEIGHT, _MARGIN = 0.72, 0.11, 1.1
# Widths of a wide character of the title and of the subtitle, in inches.
_TITLE_WIDTH, _CHARACTER_WIDTH = 0.08, 0.056
_CAPTION_LENGTH = 13
# Colour, dashes and point marker of true and of predicted marks.
_MARKS = (('#2ECC71', '-', 'o'), ('#FF9F1C', (0, (3, 1.5)), 'x'))
# Most lines that one line of a caption is wrapped into.
_MOST_LINES = 4

# Lines on a picture.
Marks = Sequence[np.ndarray]


def gallery(
  images: Sequence[Sequence[np.ndarray]],
  titles: Sequence[Sequence[str]],
  path: files.Path,
  *,
  row_titles: Sequence[str],
  columns: int = 12,
  title: str | None = None,
  subtitle: str = '',
  true_marks: Sequence[Sequence[Marks]] = (),
  predicted_marks: Sequence[Sequence[Marks]] = (),
) -> None:
  """Draws queries: a row per round, a picture per query.

  Args:
    images: pictures of each row, [height, width], [height, width, 1] or
      [height, width, 3], all of one shape. uint8 is shown as it is. Floats are
      scaled by the range of all finite values together, so that the brightness
      of two pictures compares.
    titles: captions of each row's pictures. Long lines are wrapped, into at
      most four lines each.
    path: path of the picture; its suffix (png, pdf, svg, ...) is the format.
    row_titles: title of each row.
    columns: most pictures to draw of each row.
    title: title above the gallery.
    subtitle: smaller text below the title.
    true_marks: lines to draw in green on each row's pictures; a row may have
      lines for its first pictures only. A line is float[n, 2], see
      `Task.marks`; points outside the picture are drawn on its edge. If empty,
      none.
    predicted_marks: the same in dashed orange; a point is a cross.
  """
  _check_rows(images, titles, row_titles)
  marks = [of or [[]] * len(images) for of in (true_marks, predicted_marks)]
  for name, of in zip(('true_marks', 'predicted_marks'), marks, strict=True):
    if len(of) != len(images):
      raise ValueError(
        f'{name} has {len(of)} rows and images {len(images)}; each row of '
        'pictures needs one.'
      )
  rows = displayable([list(row)[:columns] for row in images])
  titles = [list(map(_wrapped, row)) for row in titles]
  width = _MARGIN + max(map(len, rows)) * _CELL_WIDTH + 0.08
  # The title may be wider than a few pictures.
  width = max(width, 0.24 + _TITLE_WIDTH * len(title or ''))
  subtitle = textwrap.wrap(subtitle, int(width / _CHARACTER_WIDTH))
  heading = (0.35 if title else 0.1) + 0.05 * bool(subtitle)
  heading += _LINE_HEIGHT * len(subtitle)
  lines = 1 + max(text.count('\n') for row in titles for text in row)
  cell_height = _CELL_WIDTH + 0.07 + lines * _LINE_HEIGHT
  size = width, heading + len(rows) * cell_height
  figure = matplotlib.figure.Figure(figsize=size)
  # One inch is one unit of the axes, with the origin at the upper left.
  axes = figure.add_axes((0, 0, 1, 1))
  for number, row in enumerate(rows):
    top = heading + number * cell_height
    axes.text(
      _MARGIN - 0.12,
      top + _CELL_WIDTH / 2,
      row_titles[number],
      ha='right',
      va='center',
      color=style.INK,
      fontsize=8,
    )
    for column, image in enumerate(row):
      left = _MARGIN + column * _CELL_WIDTH
      on_it = [kind[number][column : column + 1] for kind in marks]
      _draw_picture(axes, image, titles[number][column], left, top, on_it)
  if title:
    axes.text(0.12, 0.18, title, va='center', color=style.INK, fontsize=10)
  if subtitle:
    place = heading - 0.08 - _LINE_HEIGHT * len(subtitle) / 2
    told = '\n'.join(subtitle)
    axes.text(0.12, place, told, va='center', color=style.INK, fontsize=7.5)
  axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect='auto')
  axes.set_axis_off()
  style.save(figure, path)


def _draw_marks(axes, lines, corner, size, kind):
  """Draws lines on the picture whose upper left corner is `corner`."""
  colour, dashes, point = kind
  for line in lines:
    places = corner + np.clip(np.asarray(line) * size[0], 0, size)
    axes.plot(
      *places.T,
      color=colour,
      linestyle=dashes,
      linewidth=0.8,
      marker=point if len(places) == 1 else None,
      markersize=2.5,
      markeredgewidth=0.7,
    )


def _check_rows(
  images: Sequence[Sequence[np.ndarray]],
  titles: Sequence[Sequence[str]],
  row_titles: Sequence[str],
) -> None:
  if not len(images) == len(titles) == len(row_titles):
    raise ValueError(
      f'images has {len(images)} rows, titles {len(titles)} and row_titles '
      f'{len(row_titles)}; all three must have as many.'
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


def displayable(
  images: Sequence[Sequence[np.ndarray]],
) -> list[list[np.ndarray]]:
  """Returns pictures as uint8 [height, width, 3].

  Args:
    images: pictures of each row, as `gallery` takes them.
  """
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


def _wrapped(caption: str) -> str:
  """Wraps the lines of a caption."""
  lines = [
    textwrap.fill(line, _CAPTION_LENGTH, max_lines=_MOST_LINES, placeholder='…')
    for line in caption.split('\n')
  ]
  return '\n'.join(lines)


def _draw_picture(
  axes: matplotlib.axes.Axes,
  image: np.ndarray,
  caption: str,
  left: float,
  top: float,
  marks: Sequence[Sequence[Marks]],
) -> None:
  """Draws a picture and its caption into the cell at (left, top)."""
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
    # Shows the pixels that the network sees.
    interpolation='nearest',
  )
  size = np.array([drawn_width, drawn_height])
  for kind, of_picture in zip(_MARKS, marks, strict=True):
    for lines in of_picture:
      _draw_marks(
        axes, lines, np.array([middle, centre]) - size / 2, size, kind
      )
  axes.text(
    middle,
    top + _CELL_WIDTH,
    caption,
    ha='center',
    va='top',
    color=style.INK,
    fontsize=6.5,
  )

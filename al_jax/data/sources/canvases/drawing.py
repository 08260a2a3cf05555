"""Draws a digit on a canvas, among pieces of other digits.

Coordinates are in pixels of the canvas, x to the right and y down. The corner
of the picture is (0, 0); the centre of its first pixel is (0.5, 0.5).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

# Longer side of an upright digit's ink, in units of the canvas: MNIST's 20
# pixels, scaled by 0.75 to 1.5, on 64.
SIDES = (15 / 64, 30 / 64)
# Beyond 45 degrees a 6 would pass for a 9, and nothing would say which end of a
# digit is its top.
MAX_ANGLE = math.pi / 4
# Pixels below this value are black, so that a box ends where ink can be seen.
FAINTEST = 16
# Radius of the disc that is cut from another digit, in units of the longer side
# of its ink.
_PIECE = 0.2


class Canvas(NamedTuple):
  """A picture, and where the digit is in it.

  Attributes:
    image: uint8 [H, H].
    points: float32 [6], x and y of three points of the digit: the centre of the
      box around its ink when it stands upright, the middle of the upper edge of
      that box, and the middle of its right edge.
    box: float32 [4], left, top, right and bottom of its ink on the canvas.
  """

  image: np.ndarray
  points: np.ndarray
  box: np.ndarray


class Pose(NamedTuple):
  """How a tile lies on a canvas.

  Attributes:
    origin: (x, y) of a point of the tile.
    place: (x, y) of this point on the canvas.
    factor: pixels of the canvas per pixel of the tile.
    angle: in radians; positive turns are clockwise.
  """

  origin: tuple[float, float]
  place: tuple[float, float]
  factor: float
  angle: float

  def of(self, x: float, y: float) -> tuple[float, float]:
    """Returns where a point of the tile lies on the canvas."""
    x, y = (
      self.factor * (x - self.origin[0]),
      self.factor * (y - self.origin[1]),
    )
    cos, sin = math.cos(self.angle), math.sin(self.angle)
    return (
      self.place[0] + cos * x - sin * y,
      self.place[1] + sin * x + cos * y,
    )


def draw(
  generator: np.random.Generator,
  digits: np.ndarray,
  index: int,
  *,
  size: int,
  clutter: int,
) -> Canvas:
  """Draws a digit at a random place, scale and angle, among random clutter.

  Args:
    generator: makes the draws of this canvas and of no other.
    digits: uint8 [N, h, w], all digits of the split.
    index: the digit to draw.
    size: H, width and height of the canvas.
    clutter: number of pieces of other digits. Pieces may touch the digit or be
      cut off by the edge; the digit lies wholly within the canvas.
  """
  image = np.zeros((size, size), np.uint8)
  tile = digits[index]
  left, top, right, bottom = ink_box(tile)
  middle = (left + right) / 2, (top + bottom) / 2
  factor = _drawn_factor(generator, right - left, bottom - top, size)
  angle = generator.uniform(-MAX_ANGLE, MAX_ANGLE)
  reach = _reach(right - left, bottom - top, factor, angle)
  place = tuple(generator.uniform(each, size - each) for each in reach)
  pose = Pose(middle, place, factor, angle)
  paste(image, tile, pose, reach)
  box = np.array(ink_box(image), np.float32)
  points = pose.of(*middle), pose.of(middle[0], top), pose.of(right, middle[1])
  for _ in range(clutter):
    other = int(generator.integers(len(digits) - 1))
    _paste_piece(generator, image, digits[other + (other >= index)])
  return Canvas(image, np.array(points, np.float32).reshape(6), box)


def ink_box(image: np.ndarray) -> tuple[int, int, int, int]:
  """Returns left, top, right and bottom of what is not black.

  Args:
    image: uint8 [h, w]. Pixels below `FAINTEST` count as black; one must not.
  """
  ink = image >= FAINTEST
  columns, rows = np.flatnonzero(ink.any(0)), np.flatnonzero(ink.any(1))
  return (
    int(columns[0]),
    int(rows[0]),
    int(columns[-1]) + 1,
    int(rows[-1]) + 1,
  )


def paste(
  image: np.ndarray, tile: np.ndarray, pose: Pose, reach: tuple[float, float]
) -> None:
  """Draws a tile into a picture; the lighter of two pixels stays.

  Interpolation is bilinear. A tile that shrinks is blurred first, by as much as
  a pixel of the canvas is wider than one of the tile: their variances differ by
  (1 / factor^2 - 1) / 12.

  Args:
    image: uint8 [H, H], changed in place.
    tile: uint8 [h, w], black beyond its edges.
    pose: how it lies on the picture.
    reach: half the width and half the height of the window to draw in, around
      the place of the tile's origin.
  """
  tile = tile.astype(np.float32)
  if pose.factor < 1:
    sigma = math.sqrt((1 / pose.factor**2 - 1) / 12)
    tile = ndimage.gaussian_filter(tile, sigma, mode='constant')
  (left, right), (top, bottom) = (
    (max(math.floor(at - by), 0), min(math.ceil(at + by), len(image)))
    for at, by in zip(pose.place, reach, strict=True)
  )
  if left >= right or top >= bottom:
    return
  cos = math.cos(pose.angle) / pose.factor
  sin = math.sin(pose.angle) / pose.factor
  # From the centre of the window's first pixel, back to the tile.
  x, y = left + 0.5 - pose.place[0], top + 0.5 - pose.place[1]
  drawn = ndimage.affine_transform(
    tile,
    # Of rows and columns, in this order.
    np.array([[cos, -sin], [sin, cos]]),
    (
      pose.origin[1] - 0.5 + cos * y - sin * x,
      pose.origin[0] - 0.5 + sin * y + cos * x,
    ),
    (bottom - top, right - left),
    order=1,
    mode='grid-constant',
    prefilter=False,
  )
  drawn[drawn < FAINTEST] = 0
  window = image[top:bottom, left:right]
  np.maximum(window, np.rint(drawn).astype(np.uint8), out=window)


def _drawn_factor(generator, width, height, size):
  """Draws how much larger a digit with ink of this size becomes."""
  return generator.uniform(*SIDES) * size / max(width, height)


def _reach(width, height, factor, angle):
  """Half the width and height that a turned box of ink needs on the canvas."""
  cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
  # Interpolation widens ink by half a pixel of the tile on each side.
  width, height = factor * (width + 1) / 2, factor * (height + 1) / 2
  # The outermost pixel has half its width beyond its centre.
  return cos * width + sin * height + 0.5, sin * width + cos * height + 0.5


def _paste_piece(generator, image, tile):
  """Cuts a disc around a random pixel of a digit's ink and draws it."""
  size = len(image)
  left, top, right, bottom = ink_box(tile)
  factor = _drawn_factor(generator, right - left, bottom - top, size)
  angle = generator.uniform(-math.pi, math.pi)
  place = generator.uniform(0, size), generator.uniform(0, size)
  rows, columns = np.nonzero(tile >= FAINTEST)
  at = generator.integers(len(rows))
  row, column = int(rows[at]), int(columns[at])
  radius = _PIECE * max(right - left, bottom - top)
  height, width = tile.shape
  y, x = np.arange(height)[:, np.newaxis] - row, np.arange(width) - column
  piece = np.where(x**2 + y**2 <= radius**2, tile, np.uint8(0))
  reach = factor * (radius + 1) + 0.5
  pose = Pose((column + 0.5, row + 0.5), place, factor, angle)
  paste(image, piece, pose, (reach, reach))

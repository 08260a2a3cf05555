"""Draws digits on canvases, each among pieces of other digits.

Coordinates are in pixels, x to the right and y down. The corner of a picture is
(0, 0); the centre of its first pixel is (0.5, 0.5).
"""

import math
from typing import NamedTuple

import numpy as np

# Longer side of an upright digit's ink, in units of the canvas: MNIST's 20
# pixels, scaled by 0.75 to 1.5, on 64.
SIDES = (15 / 64, 30 / 64)
# Beyond 45 degrees a 6 could pass for a 9, and the top of a digit would be
# ambiguous.
MAX_ANGLE = math.pi / 4
# Pixels below this value are black, so that a box ends where ink can be seen.
FAINTEST = 16
# Radius of the disc cut from another digit, in units of the longer side of its
# ink.
_PIECE = 0.2


class Draws(NamedTuple):
  """Uniform numbers in [0, 1) that decide how canvases look.

  Attributes:
    digit: size, angle, x and y of the digit, float64 [B, 4].
    pieces: other digit, pixel of its ink, size, angle, x and y for each of K
      pieces, float64 [B, K, 6].
  """

  digit: np.ndarray
  pieces: np.ndarray


class Canvases(NamedTuple):
  """Pictures with the positions of their digits.

  Attributes:
    images: uint8 [B, H, H].
    points: float32 [B, 6], x and y of three points of the digit: the centre of
      the box around its ink when it stands upright, the middle of the upper
      edge of that box, and the middle of its right edge.
    boxes: float32 [B, 4], left, top, right and bottom of the digit's ink on the
      canvas.
  """

  images: np.ndarray
  points: np.ndarray
  boxes: np.ndarray


class Poses(NamedTuple):
  """Placement of tiles on canvases.

  Attributes:
    origin: float64 [B, 2], x and y of a point of the tile.
    place: float64 [B, 2], x and y of this point on the canvas.
    factor: float64 [B], pixels of the canvas per pixel of the tile.
    angle: float64 [B], in radians; positive turns are clockwise.
  """

  origin: np.ndarray
  place: np.ndarray
  factor: np.ndarray
  angle: np.ndarray

  def of(self, points: np.ndarray) -> np.ndarray:
    """Maps points of the tiles, [B, 2], to points on the canvases."""
    x, y = ((points - self.origin) * self.factor[:, np.newaxis]).T
    cos, sin = np.cos(self.angle), np.sin(self.angle)
    return self.place + np.stack([cos * x - sin * y, sin * x + cos * y], 1)


def draw(
  digits: np.ndarray, rows: np.ndarray, draws: Draws, *, size: int
) -> Canvases:
  """Draws digits at random places, scales and angles, among random clutter.

  A digit lies wholly within its canvas. Pieces may touch it, and the edge of
  the canvas may cut them off.

  Args:
    digits: uint8 [N, h, w], all digits of a split.
    rows: int [B], the digits to draw.
    draws: random numbers that decide how the canvases look.
    size: H, width and height of the canvases.
  """
  images = np.zeros((len(rows), size, size), np.uint8)
  tiles = digits[rows]
  boxes = ink_boxes(tiles).astype(float)
  sides = boxes[:, 2:] - boxes[:, :2]
  middle = (boxes[:, :2] + boxes[:, 2:]) / 2
  side, turn = draws.digit[:, 0], draws.digit[:, 1]
  factor, angle = _factor(side, sides, size), MAX_ANGLE * (2 * turn - 1)
  reach = _reach(sides, factor, angle)
  place = reach + draws.digit[:, 2:] * (size - 2 * reach)
  poses = Poses(middle, place, factor, angle)
  paste(images, tiles, poses, reach)
  found = ink_boxes(images).astype(np.float32)
  up = np.stack([middle[:, 0], boxes[:, 1]], axis=1)
  right = np.stack([boxes[:, 2], middle[:, 1]], axis=1)
  points = np.concatenate([poses.of(each) for each in (middle, up, right)], 1)
  for piece in np.moveaxis(draws.pieces, 1, 0):
    others = (piece[:, 0] * (len(digits) - 1)).astype(int)
    _paste_pieces(images, digits[others + (others >= rows)], piece[:, 1:])
  return Canvases(images, points.astype(np.float32), found)


def ink_boxes(images: np.ndarray) -> np.ndarray:
  """Finds left, top, right and bottom of the ink: int [B, 4].

  Args:
    images: uint8 [B, h, w]. Pixels below `FAINTEST` count as black; every
      picture must have some that do not.
  """
  ink = images >= FAINTEST
  columns, rows = ink.any(axis=1), ink.any(axis=2)
  return np.stack(
    [
      columns.argmax(axis=1),
      rows.argmax(axis=1),
      columns.shape[1] - columns[:, ::-1].argmax(axis=1),
      rows.shape[1] - rows[:, ::-1].argmax(axis=1),
    ],
    axis=1,
  )


def paste(
  images: np.ndarray, tiles: np.ndarray, poses: Poses, reach: np.ndarray
) -> None:
  """Draws a tile into each picture; the lighter of two pixels stays.

  Interpolation is bilinear. Tiles that shrink are blurred first.

  Args:
    images: uint8 [B, H, H], changed in place.
    tiles: uint8 [B, h, w], black beyond their edges.
    poses: placement of the tiles on the pictures.
    reach: float64 [B, 2], half the width and half the height of the drawing,
      around the place of the tile's origin.
  """
  size = images.shape[1]
  width = min(math.ceil(2 * reach.max()) + 1, size)
  # x, y of the window's first pixel.
  corner = np.floor(poses.place - reach).astype(int).clip(0, size - width)
  steps = np.arange(width)
  pixels = corner[:, np.newaxis] + steps[:, np.newaxis]  # [B, width, 2]
  # Maps the centres of the window's pixels back to the tile.
  offset = pixels + 0.5 - poses.place[:, np.newaxis]
  offset = (offset / poses.factor[:, np.newaxis, np.newaxis]).astype(np.float32)
  x, y = offset[:, np.newaxis, :, 0], offset[:, :, np.newaxis, 1]
  cos, sin, left, top = (
    each.astype(np.float32)[:, np.newaxis, np.newaxis]
    for each in (np.cos(poses.angle), np.sin(poses.angle), *poses.origin.T)
  )
  drawn = _interpolated(
    _blurred(tiles, poses.factor),
    left - 0.5 + cos * x + sin * y,
    top - 0.5 + cos * y - sin * x,
  )
  drawn[drawn < FAINTEST] = 0
  each = np.arange(len(images))[:, np.newaxis, np.newaxis]
  window = each, pixels[:, :, np.newaxis, 1], pixels[:, np.newaxis, :, 0]
  drawn = np.rint(drawn).astype(np.uint8)
  images[window] = np.maximum(images[window], drawn)


def _blurred(tiles, factor):
  """Blurs tiles that shrink, and pads all tiles with black.

  A pixel of the canvas is then wider than one of the tile. Their variances
  differ by (1 / factor^2 - 1) / 12, which is the variance of the three weights
  here. The widest blur is the mean of three pixels.

  Returns:
    float32 [B, h + 3, w + 3]; the tile begins at 1, 1.
  """
  padded = np.pad(tiles, ((0, 0), (1, 2), (1, 2))).astype(np.float32)
  weight = ((1 / factor**2 - 1) / 24).clip(0, 1 / 3).astype(np.float32)
  shrinks = np.flatnonzero(weight)
  weight = weight[shrinks, np.newaxis, np.newaxis]
  part = padded[shrinks]
  for axis in (1, 2):
    # Both ends are black, so wrapping around brings in no ink.
    beside = np.roll(part, 1, axis) + np.roll(part, -1, axis)
    part = (1 - 2 * weight) * part + weight * beside
  padded[shrinks] = part
  return padded


def _interpolated(padded, x, y):
  """Interpolates tiles at places, in pixels from the centre of the first one.

  Args:
    padded: float32 [B, h + 3, w + 3], see `_blurred`.
    x: float32 [B, W, W].
    y: float32 [B, W, W].
  """
  count, height, width = padded.shape
  x, y = np.clip(x + 1, 0, width - 2), np.clip(y + 1, 0, height - 2)
  column, row = x.astype(np.int32), y.astype(np.int32)
  x -= column
  y -= row
  first = np.arange(count, dtype=np.int32)[:, np.newaxis, np.newaxis] * height
  at = (first + row) * width + column
  flat = padded.reshape(-1)
  above = flat[at]
  above += x * (flat[at + 1] - above)
  at += width
  below = flat[at]
  below += x * (flat[at + 1] - below)
  return above + y * (below - above)


def _factor(side, sides, size):
  """Returns the enlargement of digits with these sides, from uniform draws."""
  least, most = SIDES
  return (least + side * (most - least)) * size / sides.max(axis=1)


def _reach(sides, factor, angle):
  """Returns half the width and height of turned ink boxes on the canvas."""
  cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
  # Interpolation widens ink by half a pixel of the tile on each side.
  width, height = factor * (sides.T + 1) / 2
  # The outermost pixel has half its width beyond its centre.
  return 0.5 + np.stack(
    [cos * width + sin * height, sin * width + cos * height], axis=1
  )


def _paste_pieces(images, tiles, draws):
  """Cuts a disc around a random pixel of each tile's ink and draws it."""
  count, height, width = tiles.shape
  size = images.shape[1]
  boxes = ink_boxes(tiles)
  sides = boxes[:, 2:] - boxes[:, :2]
  passed = np.cumsum((tiles >= FAINTEST).reshape(count, -1), axis=1)
  number = (draws[:, 0] * passed[:, -1]).astype(int)
  row, column = divmod((passed > number[:, np.newaxis]).argmax(axis=1), width)
  radius = _PIECE * sides.max(axis=1)
  y = np.arange(height)[:, np.newaxis] - row[:, np.newaxis, np.newaxis]
  x = np.arange(width) - column[:, np.newaxis, np.newaxis]
  is_far = x**2 + y**2 > radius[:, np.newaxis, np.newaxis] ** 2
  tiles[is_far] = 0
  factor = _factor(draws[:, 1], sides, size)
  angle = math.pi * (2 * draws[:, 2] - 1)
  origin = np.stack([column, row], axis=1) + 0.5
  poses = Poses(origin, draws[:, 3:] * size, factor, angle)
  reach = np.repeat(factor * (radius + 1) + 0.5, 2).reshape(-1, 2)
  paste(images, tiles, poses, reach)

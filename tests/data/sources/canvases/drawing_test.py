"""Digits on canvases, and where they are."""

import math

import numpy as np
import pytest
from scipy import ndimage

from al_jax.data.sources import digits as embedded
from al_jax.data.sources.canvases import drawing

SIZE = 64


@pytest.fixture(scope='module')
def digits():
  return embedded.read().train.inputs[..., 0]


def some_draws(rng, count, clutter):
  return drawing.Draws(rng.random((count, 4)), rng.random((count, clutter, 6)))


def one_pose(origin, place, factor, angle):
  return drawing.Poses(
    np.array([origin], float),
    np.array([place], float),
    np.array([factor], float),
    np.array([angle], float),
  )


def pasted(tile, pose, size=SIZE, reach=40.0):
  image = np.zeros((1, size, size), np.uint8)
  drawing.paste(image, tile[np.newaxis], pose, np.full((1, 2), reach))
  return image[0]


@pytest.mark.parametrize('angle', [0.0, 0.4, -0.7])
@pytest.mark.parametrize('factor', [1.0, 2.6])
def test_a_tile_is_pasted_as_scipy_turns_it(digits, factor, angle):
  tile = digits[3]
  image = pasted(tile, one_pose((4, 3), (30.2, 20.7), factor, angle))
  cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
  matrix = np.array([[cos, -sin], [sin, cos]])  # of row and column
  offset = [3 - 0.5, 4 - 0.5] + matrix @ [0.5 - 20.7, 0.5 - 30.2]
  wanted = ndimage.affine_transform(
    tile.astype(float), matrix, offset, (SIZE,) * 2, order=1, mode='constant'
  )
  # At the edges of the tile scipy stops, where black is interpolated here.
  inner = ndimage.affine_transform(
    np.ones(tile.shape), matrix, offset, (SIZE,) * 2, order=0, mode='constant'
  )
  inside = (inner > 0) & (wanted >= drawing.FAINTEST + 1)
  assert inside.sum() > 20
  assert np.abs(image[inside] - wanted[inside]).max() <= 0.6


def test_a_tile_that_is_only_moved_stays_as_it_is(digits):
  tile = digits[5]
  image = pasted(tile, one_pose((4, 4), (20, 31), 1.0, 0.0))
  wanted = np.zeros((SIZE, SIZE), np.uint8)
  wanted[27:35, 16:24] = tile
  np.testing.assert_array_equal(image, wanted)


def test_what_reaches_beyond_the_canvas_is_cut_off(digits):
  tile = np.full((8, 8), 200, np.uint8)
  image = pasted(tile, one_pose((4, 4), (0, SIZE), 1.0, 0.0))
  assert (image == 200).sum() == 16
  assert (image[-4:, :4] == 200).all()


def test_a_tile_that_shrinks_keeps_its_light_and_is_blurred():
  # Stripes that sampling at single points would miss or double.
  tile = np.zeros((28, 28), np.uint8)
  tile[4:24:2, 4:24] = 240
  image = pasted(tile, one_pose((14, 14), (32, 32), 0.5, 0.0))
  inner = image[28:36, 28:36].astype(float)
  assert abs(inner.mean() - 120) < 5
  assert inner.std() < 60


def test_the_mass_of_a_digit_alone_is_within_its_box(rng, digits):
  rows = np.arange(200)
  drawn = drawing.draw(digits, rows, some_draws(rng, 200, 0), size=SIZE)
  inside = 0
  for image, box in zip(drawn.images, drawn.boxes.astype(int), strict=True):
    left, top, right, bottom = box
    part = image[top:bottom, left:right]
    inside += part.sum()
    # As tight as it can be.
    for edge in (part[0], part[-1], part[:, 0], part[:, -1]):
      assert edge.max() >= drawing.FAINTEST
  assert inside == drawn.images.sum()


def test_no_digit_is_cut_off(rng, digits):
  draws = some_draws(rng, 200, 0)
  # All in corners, as large and as turned as can be.
  draws.digit[:, 0] = 1
  draws.digit[:, 1] = np.linspace(0, 1, 200)
  draws.digit[:, 2:] = rng.integers(0, 2, (200, 2))
  rows = np.arange(200)
  drawn = drawing.draw(digits, rows, draws, size=SIZE)
  boxes = drawing.ink_boxes(digits[rows])
  sides = boxes[:, 2:] - boxes[:, :2]
  factor = drawing.SIDES[1] * SIZE / sides.max(axis=1)
  light = drawn.images.sum(axis=(1, 2)) / digits[rows].sum(axis=(1, 2))
  # Light grows with the area; what is faint at the edges of ink is black.
  np.testing.assert_allclose(light / factor**2, 1, atol=0.04)


def test_points_turn_with_the_digit(rng, digits):
  draws = some_draws(rng, 50, 0)
  # By no angle, by 45 degrees clockwise, by 45 degrees the other way.
  for turn, (cos, sin) in ((0.5, (1, 0)), (1, (1, 1)), (0, (1, -1))):
    draws.digit[:, 1] = turn
    cos, sin = np.array([cos, sin]) / math.hypot(cos, sin)
    found = drawing.draw(digits, np.arange(50), draws, size=SIZE)
    middle, up, right = np.moveaxis(found.points.reshape(50, 3, 2), 1, 0)
    boxes = drawing.ink_boxes(digits[:50])
    sides = boxes[:, 2:] - boxes[:, :2]
    low, high = drawing.SIDES
    longer = SIZE * (low + (high - low) * draws.digit[:, 0])
    width, height = (sides.T / sides.max(axis=1)) * longer / 2
    np.testing.assert_allclose(
      up - middle, np.stack([sin * height, -cos * height], 1), atol=1e-4
    )
    np.testing.assert_allclose(
      right - middle, np.stack([cos * width, sin * width], 1), atol=1e-4
    )
    assert found.points.min() > 0 and found.points.max() < SIZE
    if turn == 0.5:
      centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
      # Interpolation and what is too faint move an edge by less than a pixel of
      # the tile, which is 3.75 of the canvas at most.
      np.testing.assert_allclose(middle, centre, atol=2)


def test_pieces_add_light_and_leave_targets_alone(rng, digits):
  draws = some_draws(rng, 100, 3)
  rows = np.arange(100)
  alone = drawing.draw(
    digits, rows, draws._replace(pieces=draws.pieces[:, :0]), size=SIZE
  )
  found = drawing.draw(digits, rows, draws, size=SIZE)
  np.testing.assert_array_equal(found.points, alone.points)
  np.testing.assert_array_equal(found.boxes, alone.boxes)
  assert (found.images >= alone.images).all()
  assert (found.images != alone.images).any(axis=(1, 2)).mean() > 0.95


def test_pieces_are_small_and_of_other_digits(rng, digits):
  levels = np.array([60, 120, 240], np.uint8)
  tiles = np.where(digits[:3] > 0, levels[:, np.newaxis, np.newaxis], 0)
  rows = np.arange(90) % 3
  draws = some_draws(rng, 90, 1)
  # The digit is small and in one corner, the piece in the other.
  draws.digit[:, 0], draws.digit[:, 2:] = 0, 1
  draws.pieces[:, 0, 4:] = 0.2
  found = drawing.draw(tiles.astype(np.uint8), rows, draws, size=SIZE)
  corner = found.images[:, :32, :32]
  # Interpolation makes nothing lighter.
  of = np.searchsorted(levels, corner.max(axis=(1, 2)))
  assert (of != rows).all()
  assert len(set(zip(rows.tolist(), of.tolist(), strict=True))) == 6
  boxes = drawing.ink_boxes(corner)
  largest = drawing.SIDES[1] * SIZE
  assert (boxes[:, 2:] - boxes[:, :2]).max() < 0.6 * largest

"""A digit on a canvas: its class and its box, from real images."""

from al_jax import tasks
from al_jax.data.dataset import RawData
from al_jax.data.sources.canvases import digits


def read(
  location: str,
  *,
  canvas: int = 64,
  clutter: int = 4,
  seed: int = 0,
  train: int | None = None,
  test: int | None = None,
  box_weight: float = 1.0,
  data_dir: str | None = None,
) -> RawData:
  """Draws digits on canvases, with the class and the box of each to predict.

  The pictures are those of `keypoints.read` with the same options. The box is
  the smallest one around the ink of the digit as it lies on the canvas, without
  clutter: left, top, right, bottom in pixels, from the corner of the picture.

  Args:
    location: see `keypoints.read`.
    canvas: see `keypoints.read`.
    clutter: see `keypoints.read`.
    seed: see `keypoints.read`.
    train: see `keypoints.read`.
    test: see `keypoints.read`.
    box_weight: weight of the box loss; the class loss has weight 1.
    data_dir: see `keypoints.read`.

  Returns:
    RawData with inputs uint8 [N, canvas, canvas, 1], targets `class`, int32
    [N], and `box`, float32 [N, 4], and the ids of the digits.
  """
  return digits.read(
    f'detect:{location}',
    location,
    lambda names: tasks.detection(names, scale=canvas, box_weight=box_weight),
    lambda drawn, classes: {'class': classes, 'box': drawn.boxes},
    canvas=canvas,
    clutter=clutter,
    seed=seed,
    train=train,
    test=test,
    data_dir=data_dir,
  )

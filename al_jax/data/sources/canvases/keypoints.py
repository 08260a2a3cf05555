"""Three points of a digit on a canvas, to predict from real images."""

from al_jax.data.dataset import RawData
from al_jax.data.sources.canvases import digits
from al_jax.tasks import Keypoints


def read(
  location: str,
  *,
  canvas: int = 64,
  clutter: int = 4,
  seed: int = 0,
  train: int | None = None,
  test: int | None = None,
  data_dir: str | None = None,
) -> RawData:
  """Draws digits on canvases, with three points of each to predict.

  Each canvas has a real digit at a random place, with a random size (the longer
  side of its ink is 15/64 to 30/64 of the canvas) and a random angle of up to
  45 degrees, and pieces of the strokes of other digits. `detect` has the same
  pictures.

  The points are those of the box around the ink when the digit stands upright:
  its centre, the middle of its upper edge, the middle of its right edge. They
  turn with the digit. Coordinates are in pixels, x to the right and y down. The
  corner of the picture is (0, 0); the centre of its first pixel is (0.5, 0.5).

  Args:
    location: name of the digits: `'mnist'`, prepared by TFDS, or `'digits'`,
      from scikit-learn. Training canvases have training digits, test canvases
      have test digits.
    canvas: width and height of a canvas in pixels, and the scale of the task.
    clutter: number of pieces of other digits on a canvas.
    seed: seed of all draws.
    train: number of training canvases, one per digit. If None, for all digits.
    test: number of test canvases, one per digit. If None, for all digits.
    data_dir: folder of all TFDS sets. If None, the environment variable
      TFDS_DATA_DIR, or else `~/tensorflow_datasets`.

  Returns:
    RawData with inputs uint8 [N, canvas, canvas, 1], targets float32 [N, 6],
    and the ids of the digits.
  """
  return digits.read(
    f'keypoints:{location}',
    location,
    lambda names: Keypoints(3, scale=canvas),
    lambda drawn, classes: drawn.points,
    canvas=canvas,
    clutter=clutter,
    seed=seed,
    train=train,
    test=test,
    data_dir=data_dir,
  )

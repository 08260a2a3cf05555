"""The task of finding one object in a picture: its class, and its box."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp

from al_jax import errors
from al_jax.tasks.classes import Classes
from al_jax.tasks.mixed import Mixed
from al_jax.tasks.vector import Box, overlap

# Least overlap at which a box counts as found.
_LEAST = 0.5


@dataclasses.dataclass(frozen=True)
class Found:
  """Metric of found objects: right class, and overlap of at least one half.

  Attributes:
    scale: scale of the box, see `Box`.
  """

  scale: float

  unit: ClassVar[str] = '%'

  def __call__(self, predictions, targets) -> jax.Array:
    """Tells which objects are found: bool[B]."""
    is_right = jnp.argmax(predictions['class'], -1) == targets['class']
    overlaps = overlap(predictions['box'], targets['box'] / self.scale)
    return is_right & (overlaps >= _LEAST)


def detection(
  names: Sequence[str], *, scale: float, box_weight: float = 1.0
) -> Mixed:
  """Makes the task of finding the only object of a picture.

  The headline is `found`, the share of the pictures with the right class and a
  box whose overlap with the true one is at least one half. Several objects in a
  picture are not supported.

  Args:
    names: names of the classes, by number.
    scale: width of the picture, in the units of the boxes.
    box_weight: weight of the loss of the box; the class has weight 1.

  Returns:
    A task with the parts `class` and `box`.
  """
  errors.check_number('box_weight', box_weight, least=0)
  box = Box(scale=scale)
  return Mixed(
    {'class': Classes(tuple(names)), 'box': box},
    weights={'box': box_weight},
    headline_name='found',
    own_metrics={'found': Found(box.scale)},
  )

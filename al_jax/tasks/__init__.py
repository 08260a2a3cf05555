"""Tasks: predicting classes, a vector, or several of these at once.

A task defines the form of targets and predictions, the losses, the decisions
and the metrics. No other code asks which task it is, except to reject one with
an error message (`need_classes`).
"""

from al_jax.tasks.base import Metric, Task
from al_jax.tasks.classes import Classes, numbered
from al_jax.tasks.detection import detection
from al_jax.tasks.mixed import Mixed
from al_jax.tasks.named import (
  are_classes,
  from_json,
  need_classes,
  parts_of,
  to_json,
  weights_of,
)
from al_jax.tasks.vector import Box, Keypoints, Vector

__all__ = [
  'Box',
  'Classes',
  'Keypoints',
  'Metric',
  'Mixed',
  'Task',
  'Vector',
  'are_classes',
  'detection',
  'from_json',
  'need_classes',
  'numbered',
  'parts_of',
  'to_json',
  'weights_of',
]

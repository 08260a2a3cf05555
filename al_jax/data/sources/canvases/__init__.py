"""Real digits at random places on a canvas: points or a box to predict.

`keypoints` and `detect` are two readings of the same pictures.
"""

from al_jax.data.sources.canvases.digits import files

__all__ = ['files']

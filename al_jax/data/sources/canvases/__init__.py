"""Real digits at random places on a canvas: points or a box to predict.

`keypoints` and `detect` have the same pictures with different targets.
"""

from al_jax.data.sources.canvases.digits import files

__all__ = ['files']

"""Figures of learning curves, comparisons and queried examples.

Nothing here uses pyplot, so it needs no display and leaves no figure open.
"""

from al_jax.plotting.comparison import (
  error_distributions,
  penalty_matrix,
  stacked_bars,
  time_against_score,
)
from al_jax.plotting.curves import curve_panels, learning_curves
from al_jax.plotting.gallery import displayable, gallery
from al_jax.plotting.scatter import scatter

__all__ = [
  'curve_panels',
  'displayable',
  'error_distributions',
  'gallery',
  'learning_curves',
  'penalty_matrix',
  'scatter',
  'stacked_bars',
  'time_against_score',
]

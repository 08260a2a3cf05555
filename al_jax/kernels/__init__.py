"""Kernels of active learning: pure functions, arrays in, arrays out.

They know no model, config, flag, file or logger, and import jax, numpy and
chex only. `jit` and `vmap` are left to the caller; whatever is named `k` is
static. Axis letters: N pool, C classes, S samples, K picks.
"""

from al_jax.kernels.bayesian import predictive_log_probs
from al_jax.kernels.selection import Selection, top_k, uniform
from al_jax.kernels.uncertainty import entropy, least_confidence, margin

__all__ = [
  'Selection',
  'entropy',
  'least_confidence',
  'margin',
  'predictive_log_probs',
  'top_k',
  'uniform',
]

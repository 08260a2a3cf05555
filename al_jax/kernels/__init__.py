"""Kernels of active learning: pure functions, arrays in, arrays out.

Kernels know no model, config, flag, file or logger; they import jax, numpy and
chex only. Kernels that loop are jitted where they are defined: a second call
with arrays of the same shapes compiles nothing. `k`, sizes, and options that
are plain numbers are static: each new value compiles again. To avoid that,
pass an option of type float as an array. Kernels may be called inside `jit`
and `vmap`. Jit the caller of `per_example_gradients` and `streamed_bald`, which
take a function.

Axis letters: N pool, C classes, S samples, K picks.
"""

from al_jax.kernels._spending import Spending
from al_jax.kernels.batch_bald import batch_bald
from al_jax.kernels.bayesian import (
  bald,
  mean_std,
  predictive_log_probs,
  streamed_bald,
  variation_ratio,
)
from al_jax.kernels.density import graph_density, information_density
from al_jax.kernels.diffusion import diffusion_selection
from al_jax.kernels.distances import Factors, squared_distances, squared_norms
from al_jax.kernels.gradients import (
  gradient_embedding,
  gradient_factors,
  per_example_gradients,
)
from al_jax.kernels.graph import Graph, knn_graph
from al_jax.kernels.hybrid import hybrid_informativeness
from al_jax.kernels.k_center import k_center
from al_jax.kernels.k_means import Clusters, k_means
from al_jax.kernels.kmeans_plus_plus import kmeans_plus_plus
from al_jax.kernels.lcmd import lcmd
from al_jax.kernels.online import online_uncertainty
from al_jax.kernels.propagation import Propagation, label_propagation
from al_jax.kernels.selection import Selection, top_k, uniform
from al_jax.kernels.sharded import Sharded
from al_jax.kernels.stochastic import stochastic_top_k
from al_jax.kernels.stream import (
  spend_balanced,
  spend_quantile,
  start_spending,
)
from al_jax.kernels.stream_confidence import (
  spend_fixed,
  spend_random_variable,
  spend_variable,
)
from al_jax.kernels.tiled import Tiled
from al_jax.kernels.uncertainty import entropy, least_confidence, margin

__all__ = [
  'Clusters',
  'Factors',
  'Graph',
  'Propagation',
  'Selection',
  'Sharded',
  'Spending',
  'Tiled',
  'bald',
  'batch_bald',
  'diffusion_selection',
  'entropy',
  'gradient_embedding',
  'gradient_factors',
  'graph_density',
  'hybrid_informativeness',
  'information_density',
  'k_center',
  'k_means',
  'kmeans_plus_plus',
  'knn_graph',
  'label_propagation',
  'lcmd',
  'least_confidence',
  'margin',
  'mean_std',
  'online_uncertainty',
  'per_example_gradients',
  'predictive_log_probs',
  'spend_balanced',
  'spend_fixed',
  'spend_quantile',
  'spend_random_variable',
  'spend_variable',
  'squared_distances',
  'squared_norms',
  'start_spending',
  'stochastic_top_k',
  'streamed_bald',
  'top_k',
  'uniform',
  'variation_ratio',
]

"""What a kernel will cost: operations, bytes and extra memory, predicted.

One function per kernel, under the kernel's name, of its sizes. Operations over
a machine's matrix-multiply rate and bytes over its memory bandwidth: the longer
of the two times is the least the kernel can take there. Numbers are float32.
"""

from experiments.benchmarks.costs.cost import Cost, least_seconds
from experiments.benchmarks.costs.graphs import (
  diffusion_selection,
  graph_density,
  hybrid_informativeness,
  information_density,
  knn_graph,
  label_propagation,
)
from experiments.benchmarks.costs.points import (
  gradient_embedding,
  gradient_factors,
  k_center,
  k_means,
  kmeans_plus_plus,
  one_pick_per_pass,
  per_example_gradients,
  squared_distances,
  squared_norms,
)
from experiments.benchmarks.costs.scores import (
  bald,
  entropy,
  least_confidence,
  margin,
  mean_std,
  online_uncertainty,
  predictive_log_probs,
  spend_fixed,
  spend_quantile,
  spend_random_variable,
  spend_variable,
  start_spending,
  streamed_bald,
  variation_ratio,
)
from experiments.benchmarks.costs.selecting import (
  batch_bald,
  stochastic_top_k,
  top_k,
  uniform,
)

__all__ = [
  'Cost',
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
  'least_confidence',
  'least_seconds',
  'margin',
  'mean_std',
  'one_pick_per_pass',
  'online_uncertainty',
  'per_example_gradients',
  'predictive_log_probs',
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

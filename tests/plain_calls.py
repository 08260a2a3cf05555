"""Plain calls of the public kernels, as a user writes them.

Imports only what `pip install al-jax` brings: tests/package.py calls them too.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import kernels


def of(seed: int) -> dict[str, Callable[[], Any]]:
  """A call of every kernel that takes no function, with values by seed.

  The shapes are those of the examples in the docstrings, whose programs are
  compiled already where those were run.
  """
  rng = np.random.default_rng(seed)

  def floats(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  def mask(size):
    return jnp.asarray(np.arange(size) == rng.integers(size))

  def graph(size):
    neighbors = jnp.asarray(rng.permutation(size)[:, None], jnp.int32)
    return kernels.Graph(neighbors, jnp.asarray(np.float32(neighbors / size)))

  key = jax.random.key(seed)
  state = kernels.start_spending(window=5)
  arguments = {
    'bald': ((floats(2, 2, 2),), {}),
    'batch_bald': ((key, floats(4, 3, 2), 2), {}),
    'diffusion_selection': ((key, graph(5), mask(5), 1), {}),
    'entropy': ((floats(3, 2),), {}),
    'gradient_embedding': ((floats(1, 2), floats(1, 2)), {}),
    'gradient_factors': ((floats(1, 2), floats(1, 2)), {}),
    'graph_density': ((key, graph(5), 2), {'gamma': 1.0}),
    'hybrid_informativeness': ((floats(3), floats(3, 2), 2), {'beta': 0.0}),
    'information_density': ((floats(4, 2), floats(4)), {}),
    'k_center': ((floats(4, 1), 2), {'centers': mask(4)}),
    'k_means': ((key, floats(4, 1), 2), {}),
    'kmeans_plus_plus': ((key, floats(4, 1), 2), {}),
    'knn_graph': ((floats(3, 1), 2), {'metric': 'euclidean'}),
    'label_propagation': ((graph(4), jnp.asarray([0, -1, -1, 1]), 2), {}),
    'lcmd': ((floats(6, 1), 2), {'centers': mask(6)}),
    'least_confidence': ((floats(3, 2),), {}),
    'margin': ((floats(3, 2),), {}),
    'mean_std': ((floats(2, 2, 2),), {}),
    'online_uncertainty': ((floats(3, 3),), {}),
    'predictive_log_probs': ((floats(2, 2, 2),), {}),
    'spend_balanced': ((key, state, floats()), {}),
    'spend_fixed': ((key, state, floats()), {'num_classes': 2}),
    'spend_quantile': ((key, state, floats()), {}),
    'spend_random_variable': ((key, state, floats()), {}),
    'spend_variable': ((key, state, floats()), {}),
    'squared_distances': ((floats(2, 2), floats(2, 2)), {}),
    'squared_norms': ((kernels.Factors(floats(1, 2), floats(1, 3)),), {}),
    'start_spending': ((), {'window': 5}),
    'stochastic_top_k': ((key, floats(4), 4), {}),
    'top_k': ((floats(4), 3), {'eligible': mask(4)}),
    'uniform': ((key, mask(4), 3), {}),
    'variation_ratio': ((floats(4, 2, 3),), {}),
  }
  return {
    name: functools.partial(getattr(kernels, name), *positional, **options)
    for name, (positional, options) in arguments.items()
  }

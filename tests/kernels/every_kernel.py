"""A call of every public kernel, for tests that hold of all of them.

Abstract arguments: a call is compiled or exported, never run.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from al_jax import kernels
from experiments.benchmarks import costs


class Sizes(NamedTuple):
  """Of a call."""

  num_points: int = 48
  num_features: int = 8
  num_classes: int = 3
  num_networks: int = 4
  num_neighbors: int = 5
  k: int = 6
  num_samples: int = 64


# Two of each kernel, apart in all sizes: small, and so large that an array that
# is not to be made would be larger than all temporary memory together.
SMALL = Sizes(6_000, 32, 5, 10, 10, 100, 1_000)
WIDE = Sizes(num_points=50_000, num_features=512, num_classes=100, k=1_000)
MANY = Sizes(
  num_points=100_000,
  num_features=100,
  num_classes=10,
  num_networks=20,
  k=1_000,
  num_samples=10_000,
)


def large(name: str) -> Sizes:
  """WIDE for what could be multiplied out, MANY for the others."""
  if name == 'per_example_gradients':
    # XLA writes the gradients of this loss straight into the result: more
    # parameters take no more memory, which is not predicted.
    return SMALL._replace(num_points=2 * SMALL.num_points)
  return WIDE if 'Factors' in name or 'gradient_' in name else MANY


class Call(NamedTuple):
  """What to compile, and what it should cost."""

  function: Callable[..., Any]
  arguments: tuple[Any, ...]
  cost: costs.Cost


def float32(*shape: int) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def int32(*shape: int) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, jnp.int32)


def mask(*shape: int) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, jnp.bool_)


def compiled_bytes(call: Call) -> int:
  """Of temporary memory, in the program for this machine."""
  compiled = jax.jit(call.function).lower(*call.arguments).compile()
  return compiled.memory_analysis().temp_size_in_bytes


@functools.cache
def bytes_of(name: str, sizes: Sizes) -> int:
  """`compiled_bytes` of a call, compiled once for all tests."""
  return compiled_bytes(calls(sizes)[name])


@functools.cache
def calls(sizes: Sizes) -> dict[str, Call]:
  """By name: that of the kernel, and after a space what is special."""
  return {
    **_scores(sizes),
    **_picks(sizes),
    **_gradients(sizes),
    **_points(sizes),
    **_graphs(sizes),
    **_stream(),
  }


def _key():
  return jax.random.key(0)


def _scores(sizes):
  n, c, s = sizes.num_points, sizes.num_classes, sizes.num_networks
  of_one = {'num_points': n, 'num_classes': c}
  d = sizes.num_features
  found = {
    name: Call(
      getattr(kernels, name), (float32(n, c),), getattr(costs, name)(**of_one)
    )
    for name in ('entropy', 'least_confidence', 'margin', 'online_uncertainty')
  }
  for name in ('bald', 'mean_std', 'predictive_log_probs', 'variation_ratio'):
    found[name] = Call(
      getattr(kernels, name),
      (float32(s, n, c),),
      getattr(costs, name)(num_samples=s, **of_one),
    )

  def streamed(keys, hidden, head):
    def logits_fn(key):
      kept = jax.random.bernoulli(key, 0.5, (1, d))
      return (hidden * kept) @ head

    return kernels.streamed_bald(keys, logits_fn)

  found['streamed_bald'] = Call(
    streamed,
    (jax.random.split(_key(), s), float32(n, d), float32(d, c)),
    costs.streamed_bald(num_samples=s, operations_of_one=2 * d * c, **of_one),
  )
  return found


def _picks(sizes):
  n, c, s, k = (
    sizes.num_points,
    sizes.num_classes,
    sizes.num_networks,
    sizes.k,
  )
  of = {'num_points': n, 'k': k}
  found = {
    'top_k': Call(
      functools.partial(kernels.top_k, k=k), (float32(n),), costs.top_k(**of)
    ),
    'top_k with random ties': Call(
      lambda key, scores: kernels.top_k(scores, k, key=key),
      (_key(), float32(n)),
      costs.top_k(random_ties=True, **of),
    ),
    'uniform': Call(
      functools.partial(kernels.uniform, k=k),
      (_key(), mask(n)),
      costs.uniform(**of),
    ),
    'batch_bald': Call(
      functools.partial(kernels.batch_bald, k=k, num_samples=sizes.num_samples),
      (_key(), float32(s, n, c)),
      costs.batch_bald(
        num_networks=s, num_classes=c, num_samples=sizes.num_samples, **of
      ),
    ),
  }
  for kind in ('power', 'softmax', 'softrank'):
    found[f'stochastic_top_k by {kind}'] = Call(
      functools.partial(kernels.stochastic_top_k, k=k, kind=kind),
      (_key(), float32(n)),
      costs.stochastic_top_k(kind=kind, **of),
    )
  return found


def _gradients(sizes):
  n, d, c = sizes.num_points, sizes.num_features, sizes.num_classes
  of = {'num_points': n, 'num_features': d, 'num_classes': c}
  found = {
    name: Call(
      getattr(kernels, name),
      (float32(n, c), float32(n, d)),
      getattr(costs, name)(**of),
    )
    for name in ('gradient_factors', 'gradient_embedding')
  }

  def loss_fn(weights, inputs):
    return jnp.sum(jnp.tanh(inputs @ weights))

  for sketch_dim in (None, 64):
    name = 'per_example_gradients' + (' sketched' if sketch_dim else '')
    found[name] = Call(
      functools.partial(
        kernels.per_example_gradients,
        loss_fn,
        sketch_dim=sketch_dim,
        key=_key() if sketch_dim else None,
      ),
      (float32(d, 4 * d), float32(n, d)),
      costs.per_example_gradients(
        num_points=n,
        num_params=4 * d * d,
        operations_of_one=16 * d * d,
        activations_of_one=4 * d,
        sketch_dim=sketch_dim,
      ),
    )
  return found


def _points(sizes):
  n, d, c, k = (
    sizes.num_points,
    sizes.num_features,
    sizes.num_classes,
    sizes.k,
  )
  found = {}
  for kind, points in _kinds(n, d, c).items():
    columns = c if kind else 0
    of = {'num_points': n, 'num_features': d, 'num_classes': columns}
    found['squared_norms' + kind] = Call(
      kernels.squared_norms, (points,), costs.squared_norms(**of)
    )
    some = _kinds(10 * k, d, c)[kind]
    found['squared_distances' + kind] = Call(
      kernels.squared_distances,
      (points, some),
      costs.squared_distances(
        num_a=n, num_b=10 * k, num_features=d, num_classes=columns
      ),
    )
    found['kmeans_plus_plus' + kind] = Call(
      functools.partial(kernels.kmeans_plus_plus, k=k),
      (_key(), points),
      costs.kmeans_plus_plus(k=k, **of),
    )
    found['k_center' + kind] = Call(
      functools.partial(kernels.k_center, k=k),
      (points,),
      costs.k_center(k=k, **of),
    )
    found['k_center of centers' + kind] = Call(
      lambda points, centers: kernels.k_center(points, k, centers=centers),
      (points, mask(n)),
      costs.k_center(k=k, num_centers=n // 10, **of),
    )
    found['lcmd' + kind] = Call(
      functools.partial(kernels.lcmd, k=k), (points,), costs.lcmd(k=k, **of)
    )
    found['lcmd of centers' + kind] = Call(
      lambda points, centers: kernels.lcmd(points, k, centers=centers),
      (points, mask(n)),
      costs.lcmd(k=k, num_centers=n // 10, **of),
    )
    found['k_means' + kind] = Call(
      functools.partial(kernels.k_means, k=k),
      (_key(), points),
      costs.k_means(k=k, num_iters=10, **{**of, 'num_classes': columns or 1}),
    )
    found['information_density' + kind] = Call(
      kernels.information_density,
      (points, float32(n)),
      costs.information_density(**of),
    )
    found['hybrid_informativeness' + kind] = Call(
      lambda key, scores, points: kernels.hybrid_informativeness(
        scores, points, k, key=key
      ),
      (_key(), float32(n), points),
      costs.hybrid_informativeness(k=k, **of),
    )
    for metric in ('cosine', 'euclidean'):
      found[f'knn_graph by {metric}{kind}'] = Call(
        functools.partial(
          kernels.knn_graph, k=sizes.num_neighbors, metric=metric
        ),
        (points,),
        costs.knn_graph(**{**of, 'k': sizes.num_neighbors}),
      )
  found['hybrid_informativeness with all references'] = Call(
    lambda scores, points: kernels.hybrid_informativeness(scores, points, k),
    (float32(n), float32(n, d)),
    costs.hybrid_informativeness(
      num_points=n, num_features=d, k=k, num_references=n
    ),
  )
  found['knn_graph by manhattan'] = Call(
    functools.partial(
      kernels.knn_graph, k=sizes.num_neighbors, metric='manhattan'
    ),
    (float32(n, d),),
    costs.knn_graph(
      num_points=n,
      num_features=d,
      k=sizes.num_neighbors,
      metric='manhattan',
    ),
  )
  return found


def _kinds(num_points, num_features, num_classes):
  right = float32(num_points, num_features)
  return {
    '': right,
    ' of Factors': kernels.Factors(float32(num_points, num_classes), right),
  }


def _graphs(sizes):
  n, m, k = sizes.num_points, sizes.num_neighbors, sizes.k
  graph = kernels.Graph(int32(n, m), float32(n, m))
  of = {'num_points': n, 'num_neighbors': m}
  found = {
    'graph_density': Call(
      functools.partial(kernels.graph_density, k=k),
      (_key(), graph),
      costs.graph_density(k=k, **of),
    )
  }
  for kind in ('reciprocal', 'union'):
    found[f'label_propagation, {kind}'] = Call(
      functools.partial(
        kernels.label_propagation,
        num_classes=sizes.num_classes,
        graph_kind=kind,
      ),
      (graph, int32(n)),
      costs.label_propagation(
        num_classes=sizes.num_classes, graph_kind=kind, **of
      ),
    )
    found[f'diffusion_selection, {kind}'] = Call(
      functools.partial(kernels.diffusion_selection, k=k, graph_kind=kind),
      (_key(), graph, mask(n)),
      costs.diffusion_selection(k=k, graph_kind=kind, **of),
    )
  return found


def _stream():
  state = kernels.Spending(float32(), float32(), float32(100), float32())
  found = {
    name: Call(
      functools.partial(
        getattr(kernels, name),
        **({'num_classes': 3} if name == 'spend_fixed' else {}),
      ),
      (_key(), state, float32()),
      getattr(costs, name)(),
    )
    for name in (
      'spend_balanced',
      'spend_fixed',
      'spend_variable',
      'spend_random_variable',
      'spend_quantile',
    )
  }
  found['start_spending'] = Call(
    kernels.start_spending, (), costs.start_spending()
  )
  return found

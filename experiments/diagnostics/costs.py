"""The least seconds that a strategy's choice takes: those of its kernels.

Of each kernel the longer of two times: its operations, over the rate of a
matrix product, and its bytes, over the bandwidth of the memory, as
`experiments.benchmarks.costs` counts them. Not everything is counted there.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from al_jax import strategies
from experiments.benchmarks import costs
from experiments.benchmarks.costs import Cost
from experiments.benchmarks.timing import Machine

Options = Mapping[str, Any]


class Sizes(NamedTuple):
  """What a choice is among, and of.

  Attributes:
    num_points: it looks at, those asked about before included.
    num_features: D.
    num_classes: C.
    num_asked: about before.
    k: picks.
    num_iters: of k-means, where there is one.
  """

  num_points: int
  num_features: int
  num_classes: int
  num_asked: int
  k: int
  num_iters: int = 1


def options_of(strategy: str, given: Options) -> dict[str, Any]:
  """All options of a strategy: those given that it has, the others as usual.

  Args:
    strategy: in `strategies.STRATEGIES`.
    given: options, maybe of others.

  Returns:
    A value for each.
  """
  parameters = inspect.signature(strategies.STRATEGIES[strategy]).parameters
  return {
    name: given.get(name, parameter.default)
    for name, parameter in parameters.items()
  }


def seconds(
  strategy: str, options: Options, sizes: Sizes, machine: Machine
) -> dict[str, float] | None:
  """The least time of a choice, by kernel.

  Args:
    strategy: in `strategies.STRATEGIES`.
    options: all of them, see `options_of`.
    sizes: of the choice.
    machine: whose rates were measured.

  Returns:
    Seconds by the name of the kernel, which add up; None where some kernel's
    cost has not been counted.
  """
  if strategy == 'albl':
    return _of_arms(options, sizes, machine)
  count = _COSTS.get(strategy)
  found = None if count is None else count(options, sizes)
  if found is None:
    return None
  return {name: machine.least(cost) for name, cost in found.items()}


def arms_of(options: Options) -> list[tuple[str, dict[str, Any]]]:
  """The name and all options of each arm of `albl`."""
  found = []
  for arm in options['arms']:
    given = {'name': arm} if isinstance(arm, str) else dict(arm)
    name = given.pop('name')
    found.append((name, options_of(name, given)))
  return found


def _of_arms(options, sizes, machine):
  """Of every arm by query; of the batch only one is followed.

  Which one no record says: the least is that of the cheapest.
  """
  found = []
  for number, (name, of_arm) in enumerate(arms_of(options), start=1):
    parts = seconds(name, of_arm, sizes, machine)
    if parts is None:
      return None
    arm = f'arm {number}, {name}'
    found.append({f'{arm}: {part}': time for part, time in parts.items()})
  if options['version'] == 'batch':
    return min(found, key=lambda parts: sum(parts.values()))
  return {part: time for parts in found for part, time in parts.items()}


def _uniform(options, sizes):
  del options
  return {'uniform': costs.uniform(num_points=sizes.num_points, k=sizes.k)}


def _by_score(options, sizes):
  of = {'num_points': sizes.num_points, 'k': sizes.k}
  draw = options.get('draw', 'top')
  if draw == 'top':
    return {'top_k': costs.top_k(random_ties=True, **of)}
  return {'stochastic_top_k': costs.stochastic_top_k(kind=draw, **of)}


def _batch_bald(options, sizes):
  return {
    'batch_bald': costs.batch_bald(
      num_networks=options['num_samples'],
      num_points=sizes.num_points,
      num_classes=sizes.num_classes,
      k=sizes.k,
      num_samples=options['num_configurations'],
    )
  }


def _badge(options, sizes):
  del options
  return {
    'kmeans_plus_plus': costs.kmeans_plus_plus(
      num_points=sizes.num_points,
      num_features=sizes.num_features,
      num_classes=sizes.num_classes,
      k=sizes.k,
    )
  }


def _core_set(options, sizes):
  if options['robust']:
    return None  # its integer programmes are not counted
  return {
    'k_center': costs.k_center(
      num_points=sizes.num_points,
      num_features=sizes.num_features,
      k=sizes.k,
      num_centers=sizes.num_asked,
    )
  }


def _k_means(options, sizes):
  """The most informative, seeds among them, and Lloyd's algorithm."""
  num_kept = sizes.num_points
  if options['prefilter'] is not None:
    num_kept = min(options['prefilter'] * sizes.k, num_kept)
  of = {
    'num_points': num_kept,
    'num_features': sizes.num_features,
    'k': sizes.k,
  }
  return {
    'top_k': costs.top_k(
      num_points=sizes.num_points, k=num_kept, random_ties=True
    ),
    'kmeans_plus_plus': costs.kmeans_plus_plus(**of),
    'k_means': costs.k_means(num_iters=sizes.num_iters, **of),
  }


def _information_density(options, sizes):
  density = costs.information_density(
    num_points=sizes.num_points, num_features=sizes.num_features
  )
  return {'information_density': density, **_by_score(options, sizes)}


def _graph_density(options, sizes):
  neighbours, knn_graph = _graph(options, sizes)
  return {
    'knn_graph': knn_graph,
    'graph_density': costs.graph_density(
      num_points=sizes.num_points, num_neighbors=neighbours, k=sizes.k
    ),
  }


def _jlp(options, sizes):
  """With one iteration of each solve: how many there were, no record says."""
  neighbours, knn_graph = _graph(options, sizes)
  return {
    'knn_graph': knn_graph,
    'diffusion_selection': costs.diffusion_selection(
      num_points=sizes.num_points,
      num_neighbors=neighbours,
      k=sizes.k,
      num_iters=1,
      graph_kind=options['graph_kind'],
    ),
  }


def _graph(options, sizes):
  """How many neighbours each point has, and the cost of finding them."""
  neighbours = min(options['num_neighbours'], max(1, sizes.num_points - 1))
  return neighbours, costs.knn_graph(
    num_points=sizes.num_points, num_features=sizes.num_features, k=neighbours
  )


# A name in `strategies.STRATEGIES` -> the costs of the kernels that it chooses
# with, or None. Of what is not here nobody has counted them.
_COSTS: dict[str, Callable[[Options, Sizes], dict[str, Cost] | None]] = {
  'random': _uniform,
  'least_confidence': _by_score,
  'margin': _by_score,
  'entropy': _by_score,
  'variation_ratio': _by_score,
  'mean_std': _by_score,
  'bald': _by_score,
  'batch_bald': _batch_bald,
  'badge': _badge,
  'core_set': _core_set,
  'k_means': _k_means,
  'weighted_k_means': _k_means,
  'information_density': _information_density,
  'graph_density': _graph_density,
  'jlp': _jlp,
}

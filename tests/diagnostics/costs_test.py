from al_jax import strategies
from experiments.benchmarks import costs
from experiments.benchmarks.timing import Machine
from experiments.diagnostics import costs as diagnose_costs

MACHINE = Machine(1e11, 1e10)
SIZES = diagnose_costs.Sizes(1000, 16, 10, num_asked=40, k=10, num_iters=3)


def least(name, **options):
  options = diagnose_costs.options_of(name, options)
  return diagnose_costs.seconds(name, options, SIZES, MACHINE)


def test_what_is_not_counted_has_no_floor():
  for name in set(strategies.STRATEGIES) & set(diagnose_costs._COSTS):
    assert min(least(name).values()) > 0, name
  assert least('expected_error_reduction') is None
  assert least('core_set', robust=True) is None


def test_floors_are_those_of_the_kernels():
  of = {'num_points': 1000, 'k': 10}
  assert least('margin') == {
    'top_k': MACHINE.least(costs.top_k(random_ties=True, **of))
  }
  assert least('bald', draw='softmax') == {
    'stochastic_top_k': MACHINE.least(
      costs.stochastic_top_k(kind='softmax', **of)
    )
  }
  assert least('core_set') == {
    'k_center': MACHINE.least(
      costs.k_center(num_features=16, num_centers=40, **of)
    )
  }
  of['num_points'] = 50
  assert least('weighted_k_means', prefilter=5) == {
    'top_k': MACHINE.least(
      costs.top_k(num_points=1000, k=50, random_ties=True)
    ),
    'kmeans_plus_plus': MACHINE.least(
      costs.kmeans_plus_plus(num_features=16, **of)
    ),
    'k_means': MACHINE.least(costs.k_means(num_features=16, num_iters=3, **of)),
  }


def test_of_arms_all_count_or_the_cheapest():
  arms = ['core_set', {'name': 'margin', 'draw': 'power'}]
  power = least('margin', draw='power')['stochastic_top_k']
  center = least('core_set')['k_center']
  assert power < center
  assert least('albl', arms=arms) == {'arm 2, margin: stochastic_top_k': power}
  assert least('albl', arms=arms, version='query') == {
    'arm 1, core_set: k_center': center,
    'arm 2, margin: stochastic_top_k': power,
  }
  unknown = ['margin', 'expected_error_reduction']
  assert least('albl', arms=unknown) is None

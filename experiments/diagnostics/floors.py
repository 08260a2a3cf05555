"""The least seconds in which the systems of a setting can measure and select.

Of `measure` a forward pass over what the strategy looks at, timed; of `select`
what its kernels cost, counted. Both as in the middle of a run.
"""

import statistics
from typing import Any, NamedTuple

import jax

from al_jax import systems
from al_jax.interfaces import Strategy
from al_jax.loop.program import Program
from al_jax.storage.records import RoundRecord
from experiments.benchmarks.timing import Machine
from experiments.diagnostics import clusters as diagnose_clusters
from experiments.diagnostics import costs as diagnose_costs
from experiments.diagnostics import passes as diagnose_passes
from experiments.diagnostics.costs import Options, Sizes
from experiments.diagnostics.passes import Look
from experiments.diagnostics.runs import Case


class _Stage(NamedTuple):
  """A strategy of a system, and what it looks at and chooses.

  Attributes:
    name: in `strategies.STRATEGIES`.
    options: all of them.
    strategy: as it was built for the system.
    num_points: that it looks at.
    k: that it chooses.
  """

  name: str
  options: Options
  strategy: Strategy
  num_points: int
  k: int


class _System(NamedTuple):
  """A system in the middle of its run.

  Attributes:
    compiled: its functions.
    asking: the records of the rounds in which it asked.
    labels: that it had paid for.
    k: that it asked.
    stages: its strategies, the one that proposes candidates first.
    looks: what these need of the network.
  """

  compiled: Program
  asking: list[RoundRecord]
  labels: int
  k: int
  stages: list[_Stage]
  looks: list[Look]

  @property
  def learner(self) -> str:
    """The name of what trains it."""
    return systems.SYSTEMS[self.compiled.system.name].learner


def measure(case: Case, machine: Machine) -> dict[str, dict[str, Any]]:
  """The floors of every system.

  Args:
    case: of the run.
    machine: whose rates were measured.

  Returns:
    By system `measure` and `select`, in seconds, None where there is no floor;
    and what they are of, see `diagnose_files.write_floors`.
  """
  of_name = {}
  for name in case.setting.systems:
    rows = [row for row in case.setting.rows if row.system == name]
    asking = [row for row in rows if row.picks]
    of_name[name] = _system(case, name, asking) if asking else None
  seconds = _seconds_of_looks(case, [each for each in of_name.values() if each])
  found = {}
  for name, system in of_name.items():
    found[name] = {'measure': None, 'select': None}
    if system is not None:
      found[name] = _of_system(case, system, seconds, machine)
    case.say(
      f'{name}: measure {_shown(found[name]["measure"])}, select '
      f'{_shown(found[name]["select"])}'
    )
  return found


def _system(case: Case, name: str, asking: list[RoundRecord]) -> _System:
  compiled = case.program(name)
  labels = round(statistics.median(row.labels for row in asking))
  k = round(statistics.median(len(row.picks) for row in asking))
  stages = _stages(case, compiled, labels, k)
  looks = [_look(stage, compiled) for stage in stages]
  looks = [look for look in looks if look.is_there]
  return _System(compiled, asking, labels, k, stages, looks)


def _seconds_of_looks(case, there):
  """Seconds by the name of a learner and a look.

  Systems that have the learner in common have its passes in common.
  """
  found = {}
  for name in {system.learner: None for system in there}:
    having = [system for system in there if system.learner == name]
    looks = dict.fromkeys(look for system in having for look in system.looks)
    seconds = diagnose_passes.seconds(
      case, having[0].compiled.system.learner, looks
    )
    found |= {(name, look): time for look, time in seconds.items()}
  return found


def _of_system(case, system, seconds, machine):
  """Floors of a system, and what they are of."""
  kernels = _kernels(case, system, machine)
  passes = [seconds[system.learner, look] for look in system.looks]
  return {
    'measure': sum(passes) if passes else None,
    'select': None if kernels is None else sum(kernels.values()),
    'labels': system.labels,
    'asked': system.k,
    'passes': [look._asdict() for look in system.looks],
    'kernels': kernels,
  }


def _stages(case: Case, compiled: Program, labels: int, k: int) -> list[_Stage]:
  """The strategies of a system, the one that proposes candidates first."""
  config, system = case.experiment.config, compiled.system
  recipe, strategy = systems.SYSTEMS[system.name], system.strategy
  whole = system.facts.num_examples
  # What was asked about is looked at in any case.
  num_points = whole
  if strategy.where is not None or _first(strategy).where is not None:
    num_points = min(config['subset_size'] + labels, whole)
  found = []
  if strategy.prefilter is not None:
    first, size = strategy.prefilter
    name = config['prefilter']['name']
    options = diagnose_costs.options_of(name, config['prefilter'])
    found.append(_Stage(name, options, first, num_points, size))
    num_points = min(size + labels, whole)
  options = diagnose_costs.options_of(
    recipe.strategy, {**recipe.strategy_options, **config['strategy']}
  )
  found.append(_Stage(recipe.strategy, options, strategy, num_points, k))
  return found


def _first(strategy):
  return strategy if strategy.prefilter is None else strategy.prefilter[0]


def _look(stage: _Stage, compiled: Program) -> Look:
  system = compiled.system
  return Look(
    stage.num_points,
    diagnose_passes.outputs_read(stage.strategy, system.learner, system.facts),
    _samples(stage.name, stage.options),
  )


def _samples(name, options):
  """Passes with dropout, those of all arms where there are arms."""
  if name == 'albl':
    return sum(_samples(*arm) for arm in diagnose_costs.arms_of(options))
  return options.get('num_samples', 0)


def _kernels(case, system, machine):
  """Seconds by kernel, of all stages; None if those of one are not known."""
  found = {}
  for stage in system.stages:
    is_last = stage is system.stages[-1]
    sizes = Sizes(
      num_points=stage.num_points,
      num_features=_num_features(system.compiled),
      num_classes=case.experiment.facts.num_classes,
      num_asked=system.labels,
      k=stage.k,
    )
    if is_last and stage.name in diagnose_clusters.STRATEGIES:
      row = _middle(system.asking, system.labels)
      count = diagnose_clusters.iterations(
        case, system.compiled, row, stage.name, stage.options
      )
      sizes = sizes._replace(num_iters=count)
    parts = diagnose_costs.seconds(stage.name, stage.options, sizes, machine)
    if parts is None:
      return None
    before = '' if is_last else f'{stage.name}: '
    found |= {f'{before}{part}': time for part, time in parts.items()}
  return found


def _middle(asking: list[RoundRecord], labels: int) -> RoundRecord:
  """The round of the first seed with about as many labels."""
  first = min(row.seed for row in asking)
  rows = [row for row in asking if row.seed == first]
  return min(rows, key=lambda row: abs(row.labels - labels))


def _num_features(compiled):
  """D, of the network's embedding."""
  learner, facts = compiled.system.learner, compiled.system.facts
  rows = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype),
    facts.example,
  )
  state = jax.eval_shape(compiled.init, jax.random.key(0))
  return jax.eval_shape(learner.apply, state, rows).embedding.shape[-1]


def _shown(seconds):
  return 'no floor' if seconds is None else f'at least {1e3 * seconds:.3g} ms'

"""Models of a finished run, trained again on the queries in its records.

A diagnosis needs the network of some round, but a checkpoint holds only the
last. Training is a function of the seed, the round and the labelled set, so
that the same machine gives the same network again.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from al_jax import kernels, keys, systems
from al_jax import pool as pool_lib
from al_jax.analysis import curves, naming
from al_jax.interfaces import LearnerState
from al_jax.loop import acquisition, beginning, program
from al_jax.pool import PoolState
from al_jax.reporting.data import ExperimentResults
from al_jax.runner import config as config_lib
from al_jax.runner import identity, pretraining, resuming
from al_jax.runner.config import Experiment
from al_jax.sources import Sources
from al_jax.storage import metrics, records
from al_jax.training import fit

# Takes a line of progress.
Say = Callable[[str], None]


class Options(NamedTuple):
  """Limits of a diagnosis.

  Attributes:
    seeds: most models of a system to examine, one per seed.
    labels: most labels that a model is trained on. If None, all.
    most_points: most examples that BALD ranks.
    most_seconds: longest selection of expected error reduction, in seconds.
  """

  seeds: int = 3
  labels: int | None = None
  most_points: int = 5000
  most_seconds: float = 20.0


class Model(NamedTuple):
  """A trained network, and the run that it belongs to.

  Attributes:
    system: system whose labelled set it was trained on.
    seed: seed of the run.
    round: round of the run.
    labels: number of labels paid for by that round.
    learner: state of the learner after the training of the round.
    pool: labelled set of the round.
  """

  system: str
  seed: int
  round: int
  labels: int
  learner: LearnerState
  pool: PoolState


@dataclasses.dataclass(frozen=True)
class Case:
  """A finished experiment, ready to be measured.

  Attributes:
    results: its records, with the full names of its systems.
    experiment: data, protocol and oracle.
    say: callback that takes a line of progress.
    trained: models that were trained again, by system, seed and round.
  """

  results: ExperimentResults
  experiment: Experiment
  say: Say
  trained: dict[tuple[str, int, int], Model] = dataclasses.field(
    default_factory=dict
  )

  @property
  def name(self) -> str:
    """Name of the experiment in messages."""
    return self.results.folder.name

  @functools.cached_property
  def sources(self) -> Sources:
    """The splits, placed as the config says."""
    return config_lib.sources_of(self.experiment)

  @functools.cached_property
  def baseline(self) -> str:
    """System whose labels the models are trained on: random, or the first."""
    names = self.results.systems
    return systems.BASELINE if systems.BASELINE in names else names[0]

  def program(self, system: str) -> program.Program:
    """Compiles the functions of a system, for one seed at a time."""
    return config_lib.program_of(self.experiment, system, self.sources, 1)

  def rounds(self, system: str) -> dict[int, dict[int, records.RoundRecord]]:
    """Returns the records of a system by seed, then by round."""
    found = {}
    for row in self.results.rows:
      if row.system == system:
        found.setdefault(row.seed, {})[row.round] = row
    return found


def open_case(results: ExperimentResults, say: Say) -> Case:
  """Loads the data of an experiment, and checks that they are those of the run.

  Args:
    results: results of the run, with records and a manifest.
    say: callback that takes a line of progress.

  Returns:
    The Case.

  Raises:
    ValueError: there is no manifest, its config cannot be read, or the data
      have changed.
  """
  path = results.folder / 'manifest.json'
  if 'config' not in results.about:
    raise ValueError(f'{path} has no config, so the run cannot be repeated.')
  try:
    experiment = _experiment_of(results)
  except (AttributeError, KeyError, TypeError) as error:
    raise ValueError(
      f'{path} is damaged: its config cannot be read ({error!r}); put a copy '
      'of it back.'
    ) from error
  experiment, _ = pretraining.with_weights(experiment)
  before = results.about.get('data', {}).get('fingerprint')
  now = experiment.dataset.fingerprint
  if before != now:
    raise ValueError(
      f'the data of {results.folder} have fingerprint {now}; those of the run '
      f'had {before}.'
    )
  # Records show short names; systems are built by their full names.
  short = naming.short(results.about.get('systems', ()))
  whole = {of: name for name, of in short.items()}
  rows = naming.renamed(results.rows, whole)
  return Case(dataclasses.replace(results, rows=rows), experiment, say)


def _experiment_of(results):
  """Prepares the experiment of a manifest, with inputs normalised as then."""
  config = identity.upgraded(results.about['config'], results.systems)
  experiment = config_lib.prepare(config)
  then = resuming.normalize_of(results.about, experiment.dataset.normalize)
  if then == experiment.dataset.normalize:
    return experiment
  spec = config['data']
  spec = spec if isinstance(spec, Mapping) else {'source': spec}
  return config_lib.prepare({**config, 'data': {**spec, 'normalize': then}})


def models(
  case: Case,
  *,
  num_seeds: int,
  labels: int | None,
  system: str | None = None,
) -> list[Model]:
  """Trains the models of a system, all at the same number of labels.

  Args:
    case: the run.
    num_seeds: maximum number of models, one per seed.
    labels: maximum number of labels to train on. If None, all.
    system: name of the system. If None, the baseline.

  Returns:
    A Model for each seed.

  Raises:
    ValueError: `labels` is less than the labels of every common round.
  """
  system = case.baseline if system is None else system
  of_seed = case.rounds(system)
  chosen = {seed: of_seed[seed] for seed in sorted(of_seed)[:num_seeds]}
  common = curves.common_labels(
    {row.labels: row for row in rows.values()} for rows in chosen.values()
  )
  allowed = [each for each in common if labels is None or each <= labels]
  if not allowed:
    fewest = min(common, default=None)
    raise ValueError(
      f'--labels is {labels}; the seeds of {system} in {case.name} have '
      f'{fewest} labels or more.'
    )
  compiled = case.program(system)
  found = []
  for seed, rows in chosen.items():
    (last,) = (row for row in rows.values() if row.labels == allowed[-1])
    place = system, seed, last.round
    if place not in case.trained:
      case.trained[place] = train(case, compiled, seed, last.round)
    found.append(case.trained[place])
  return found


def described(models: Sequence[Model]) -> str:
  """Describes models: their system, labels and seeds."""
  first = models[0]
  seeds = ', '.join(str(model.seed) for model in models)
  return (
    f'{first.system} with {first.labels:,} labels, '
    f'seed{"s" if len(models) > 1 else ""} {seeds}'
  )


def some_unlabelled(model: Model, most: int) -> np.ndarray:
  """Draws pool indices of unlabelled examples, in a random order.

  Args:
    model: model whose round defines the unlabelled examples.
    most: maximum number of examples.

  Returns:
    int32[at most `most`], distinct.
  """
  key = keys.for_round(model.seed, model.round, keys.WHERE)
  eligible = pool_lib.eligible(model.pool)
  drawn = np.asarray(kernels.uniform(key, eligible, most).indices)
  return drawn[drawn >= 0]


def train(
  case: Case, compiled: program.Program, seed: int, round: int
) -> Model:
  """Trains a system again as it was trained in a round of its run.

  Args:
    case: the run.
    compiled: compiled functions of the system.
    seed: seed of the run.
    round: round whose training is repeated. If each round continues from the
      model of the previous one, the earlier rounds are repeated too.

  Returns:
    The Model.
  """
  experiment, system = case.experiment, compiled.system.name
  rows = case.rounds(system)[seed]
  state = beginning.begin(
    compiled,
    experiment.oracle,
    experiment.protocol,
    seed,
    features=experiment.features,
  )
  for number in range(round + 1):
    if number:
      state = _asked(compiled, experiment, state, rows[number - 1], seed)
    if compiled.system.learner.continues or number == round:
      learner = _fitted(compiled, state, seed, number)
      state = state.replace(learner=learner)
  _compare(case, compiled, state.learner, rows[round])
  return Model(system, seed, round, state.paid, state.learner, state.pool)


def _asked(compiled, experiment, state, row, seed):
  """Returns the state after the queries at the end of a round."""
  state = acquisition.with_pending(state, np.array(row.picks, np.int32))
  return acquisition.ask(
    compiled,
    experiment.oracle,
    state,
    len(row.picks),
    seed=seed,
    round=row.round,
  )


def _fitted(compiled, state, seed, round):
  """Returns the learner after the training of a round."""
  for packed, _ in fit.fit(
    compiled.fit,
    [keys.for_round(seed, round, keys.START)],
    [keys.for_round(seed, round, keys.SURVEY)],
    [state.learner],
    [state.pool],
  ):
    last = packed
  return compiled.fit.unpack(last)[0]


def _compare(case, compiled, learner, row):
  """Reports the model's headline metric beside that in the records."""
  if compiled.evaluate is None:
    return
  key = keys.for_round(row.seed, row.round, keys.EVALUATE)
  found, _ = compiled.evaluate(key, learner)
  headline = case.results.task.headline
  now, then = (
    metrics.number(float(of[headline.name]), headline) + headline.unit
    for of in (found, row.test)
  )
  case.say(
    f'{row.system}, seed {row.seed}, {row.labels:,} labels: '
    f'{metrics.spelled(headline.name)} {now}, in the records {then}'
  )

"""What to ask next: a model of the answers so far, and what it is worth.

Every batch trains anew on all labels, so that nothing but the answers has to be
kept: whoever dies on the way begins again, and comes to the same batch.
"""

from typing import Any, NamedTuple

import numpy as np

from al_jax import data
from al_jax import pool as pool_lib
from al_jax.kernels import _padding
from al_jax.labelling import defaults as labelling_defaults
from al_jax.labelling.account import Account, known
from al_jax.loop import acquisition, fitting, program
from al_jax.loop.events import Events
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import Run
from al_jax.pool import PoolState
from al_jax.runner import config as config_lib
from al_jax.runner import defaults, options, pretraining
from al_jax.runner.config import Experiment
from al_jax.runner.options import Config
from al_jax.storage import manifest

# Fields of a config that only a simulated run reads.
_OF_RUNS = (
  *('seeds', 'oracle', 'prices', 'describe', 'full_labels', 'synthesis'),
  *('stream', 'grid'),
)
# Of the protocol, all others are of a run.
_OF_PROTOCOL = ('first_set', 'save_every_steps')
# Labels that the buffers of a learner have room for at least, so that they
# seldom grow: then its programs are compiled anew.
_LEAST_CAPACITY = 256
# Parts that labels are divided into, to estimate the accuracy.
FOLDS = 5
# With fewer labels no accuracy is estimated.
_LEAST_LABELS = 10
# Examples whose predictions are compared from batch to batch.
_WATCHED = 2000


class Accuracy(NamedTuple):
  """The accuracy on labels that a model was not trained on.

  Attributes:
    mean: over all labels, each predicted by a model without it.
    standard_error: of a share of that many.
    labels: how many there are.
    folds: parts that the labels were divided into.
    is_drawn: all labels are of examples that were drawn at random, so that it
      is the accuracy on the pool. Others are harder than most.
  """

  mean: float
  standard_error: float
  labels: int
  folds: int
  is_drawn: bool


class Proposed(NamedTuple):
  """A batch of queries.

  Attributes:
    picks: int32[k], pool indices in order of choice.
    values: what each was chosen by; empty for a first batch.
    score: what the values are; '' if they are not shown.
    predicted: class numbers; empty for a first batch.
    probabilities: of the predicted classes.
    accuracy: None with too few labels, or if nobody asked.
    watched: class numbers that the model predicts for some examples, always
      the same ones; empty for a first batch.
  """

  picks: np.ndarray
  values: np.ndarray
  score: str
  predicted: np.ndarray
  probabilities: np.ndarray
  accuracy: Accuracy | None
  watched: np.ndarray

  def said(self) -> dict[str, Any]:
    """Returns all but the picks, in terms of JSON."""
    accuracy = None if self.accuracy is None else self.accuracy._asdict()
    return {
      'score': self.score,
      'values': np.asarray(self.values, float).tolist(),
      'predicted': self.predicted.tolist(),
      'probabilities': np.asarray(self.probabilities, float).tolist(),
      'accuracy': accuracy,
      'watched': self.watched.tolist(),
    }


def default_config() -> Config:
  """The config of a project that sets nothing, as plain values."""
  config = manifest.plain_config(labelling_defaults.get_config().to_dict())
  del config['data']
  return config


def check_config(config: Config) -> None:
  """Refuses fields that nothing reads here, and more than one system.

  Args:
    config: as plain values.

  Raises:
    ValueError: for the first of them.
  """
  usual = manifest.plain_config(defaults.get_config().to_dict())
  for field in _OF_RUNS:
    if config.get(field, usual[field]) != usual[field]:
      raise ValueError(
        f'config.{field} is {config[field]!r}; it is for al-jax run, where '
        'answers are simulated.'
      )
  for field, value in config['protocol'].items():
    if field not in _OF_PROTOCOL and value != usual['protocol'].get(field):
      raise ValueError(
        f'config.protocol.{field} is {value!r}; it is for al-jax run: here '
        '--k says how many are asked, and you when to end.'
      )
  names = options.system_names(config)
  if len(names) != 1:
    raise ValueError(
      f'config.systems names {len(names)}, {", ".join(names)}; people are '
      'asked by one.'
    )


def propose(
  account: Account,
  dataset: data.Dataset,
  config: Config,
  k: int,
  *,
  folds: int = FOLDS,
) -> Proposed:
  """Trains on the answers so far, and chooses queries.

  The first batch comes before any label: the config's `protocol.first_set`
  says how it is chosen, and nothing is trained.

  Args:
    account: of the project.
    dataset: the pool.
    config: of the system that asks.
    k: the most queries.
    folds: parts to divide the labels into, to estimate the accuracy; 0: no
      estimate.

  Returns:
    Proposed; fewer than k where the pool runs out.

  Raises:
    ValueError: a system that people cannot be asked by.
  """
  pool = pool_of(account, dataset)
  labels = int(pool_lib.num_trainable(pool))
  capacity = max(_LEAST_CAPACITY, _padding.size_for(labels + k))
  capacity = min(capacity, len(dataset.train))
  k = min(k, int(np.sum(pool_lib.eligible(pool))))
  if not k:
    raise ValueError(
      'all examples of the pool are labelled, skipped or pending: there is '
      'nothing left to ask.'
    )
  model = _Model(_experiment(dataset, config, k, capacity))
  if not labels:
    return _first(model, pool)
  round = len(account.batches) - 1
  learner = model.trained(pool, round)
  state = model.begun(pool).replace(learner=learner)
  _, proposal = acquisition.propose(
    model.program, state, k, seed=model.seed, round=round
  )
  predicted, probabilities = model.program.predict(learner, proposal.picks)
  watched, _ = model.program.predict(learner, _watched(len(dataset.train)))
  return Proposed(
    proposal.picks,
    proposal.values,
    model.program.system.strategy.score,
    np.asarray(predicted),
    np.asarray(probabilities),
    _accuracy(model, pool, round, folds, is_drawn=_is_drawn(account)),
    np.asarray(watched),
  )


def pool_of(account: Account, dataset: data.Dataset) -> PoolState:
  """The labelled set that the answers make.

  What is pending, skipped or disputed is neither trained on nor asked again.

  Args:
    account: of the project.
    dataset: the pool.

  Returns:
    A PoolState.
  """
  position = known(dataset.train.ids.tolist())
  rounds = np.full(len(position), pool_lib.NEVER, np.int32)
  order, targets = rounds.copy(), np.zeros(len(position), np.int32)
  annotator = np.full(len(position), pool_lib.NOBODY, np.int8)
  labels, asked = account.labels, account.asked
  names = [*account.order, *account.pending]
  for serial, name in enumerate(names):
    at = position[name]
    rounds[at], order[at] = asked[name] - 1, serial
    annotator[at] = pool_lib.ABSTAINED
    if name in labels:
      annotator[at] = pool_lib.ORACLE
      targets[at] = account.classes.index(labels[name])
  return PoolState(rounds, order, targets, annotator)


def _experiment(dataset, config, k, capacity):
  """What a program is made of; nobody answers at once."""
  proceeding = Protocol(
    labels_per_round=k,
    first_size=k,
    label_budget=max(capacity, k),
    **{name: config['protocol'][name] for name in _OF_PROTOCOL},
  )
  experiment = Experiment(
    config,
    dataset,
    program.facts_of(dataset, capacity),
    proceeding,
    oracle=None,
    built={},
  )
  (name,) = options.system_names(config)
  options.check_system_options(config)
  experiment, _ = pretraining.with_weights(experiment, lambda: False)
  system = config_lib.system_of(experiment, name)
  if 'answers' in system.strategy.needs:
    raise ValueError(
      f'config.systems is {name!r}, which needs the answers to earlier queries '
      f'as they come: {system.strategy.needs["answers"]}; choose another.'
    )
  return experiment


class _Model:
  """The compiled system of a project."""

  def __init__(self, experiment: Experiment):
    (name,) = options.system_names(experiment.config)
    self.seed = experiment.config['first_seed']
    self.protocol = experiment.protocol
    self.program: Program = config_lib.program_of(
      experiment, name, config_lib.sources_of(experiment), 1
    )

  def begun(self, pool: PoolState):
    """The state before any training, with a first set pending."""
    return acquisition.propose_first(
      self.program, None, self.protocol, self.seed, pool=pool
    )

  def trained(self, pool: PoolState, round: int):
    """The learner, trained on the labels of a pool."""
    run = Run(self.seed, self.begun(pool), round=round, stage='training')
    for _ in fitting.train(
      self.program,
      self.protocol,
      [run],
      lambda: False,
      Events(()),
      resume=False,
    ):
      pass
    return run.state.learner


def _first(model, pool):
  """The first batch, of what is not pending: nothing is trained."""
  pending = model.begun(pool).pending
  nothing, numbers = np.zeros(0), np.zeros(0, np.int32)
  picks = pending[pending >= 0]
  return Proposed(picks, nothing, '', numbers, nothing, None, numbers)


def _watched(num_examples):
  """The examples whose predictions are compared from batch to batch."""
  drawn = np.random.default_rng(0).permutation(num_examples)
  return np.sort(drawn[:_WATCHED]).astype(np.int32)


def _is_drawn(account):
  """Whether all labels are of a first batch that was drawn at random."""
  first, *_ = account.batches
  how = account.begun['config']['protocol']['first_set']
  return how == 'uniform' and set(account.labels) <= set(first.ids)


def _accuracy(model, pool, round, folds, *, is_drawn):
  """Predicts each label by a model that was trained without it."""
  labelled = np.flatnonzero(np.asarray(pool_lib.trainable(pool)))
  if not folds or len(labelled) < max(_LEAST_LABELS, folds):
    return None
  drawn = np.random.default_rng([model.seed, len(labelled)])
  right = 0
  for part in np.array_split(drawn.permutation(labelled), folds):
    annotator = np.array(pool.annotator)
    annotator[part] = pool_lib.ABSTAINED
    learner = model.trained(pool.replace(annotator=annotator), round)
    predicted, _ = model.program.predict(learner, part.astype(np.int32))
    right += int(np.count_nonzero(predicted == pool.targets[part]))
  mean = right / len(labelled)
  spread = (mean * (1 - mean) / len(labelled)) ** 0.5
  return Accuracy(mean, spread, len(labelled), folds, is_drawn)

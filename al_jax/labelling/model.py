"""Compiles the config of a project and trains it on the labels."""

from al_jax import data
from al_jax.interfaces import LearnerState
from al_jax.labelling import defaults as labelling_defaults
from al_jax.loop import beginning, fitting, program
from al_jax.loop.events import Events
from al_jax.loop.program import Program
from al_jax.loop.protocol import Protocol
from al_jax.loop.run_state import Run, RunState
from al_jax.pool import PoolState
from al_jax.runner import checks, defaults, options, pretraining
from al_jax.runner import config as config_lib
from al_jax.runner.config import Experiment
from al_jax.runner.options import Config
from al_jax.storage import manifest

# Fields of a config that only simulated runs read.
_OF_RUNS = (
  *('seeds', 'oracle', 'prices', 'describe', 'full_labels', 'synthesis'),
  *('stream', 'grid'),
)
# Fields of the protocol that a project reads; the others are for runs.
_OF_PROTOCOL = ('first_set', 'save_every_steps')


def default_config() -> Config:
  """Returns the default config of a project, as plain values."""
  config = manifest.plain_config(labelling_defaults.get_config().to_dict())
  del config['data']
  return config


def check_config(config: Config) -> None:
  """Checks that a config has one system, and no settings for simulated runs.

  Args:
    config: Config as plain values.

  Raises:
    ValueError: If it does not; the message names the first fault.
  """
  checks.check_options({**config, 'data': None})
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
        '--k sets the size of a batch, and you decide when to stop.'
      )
  names = options.system_names(config)
  if len(names) != 1:
    raise ValueError(
      f'config.systems names {len(names)} systems, {", ".join(names)}; a '
      'labelling project has exactly one.'
    )


def _experiment(dataset, config, k, capacity):
  """Builds the experiment of a project, without an oracle."""
  asked = {'labels_per_round': k, 'first_size': k}
  config = {**config, 'protocol': {**config['protocol'], **asked}}
  proceeding = Protocol(
    **asked,
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
      f'as they arrive: {system.strategy.needs["answers"]}; choose another.'
    )
  return experiment


class Model:
  """The compiled system of a project.

  Attributes:
    seed: Seed of all random choices.
    protocol: Protocol, which sets how the first batch is chosen.
    program: The compiled system.
  """

  def __init__(
    self, dataset: data.Dataset, config: Config, k: int, capacity: int
  ):
    """Compiles a system.

    Args:
      dataset: The pool.
      config: Config of the project.
      k: Maximal number of queries.
      capacity: Maximal number of labels.

    Raises:
      ValueError: If the system cannot work with people as the oracle.
    """
    experiment = _experiment(dataset, config, k, capacity)
    (name,) = options.system_names(experiment.config)
    self.seed = experiment.config['first_seed']
    self.protocol = experiment.protocol
    self.program: Program = config_lib.program_of(
      experiment, name, config_lib.sources_of(experiment), 1
    )

  def begun(self, pool: PoolState) -> RunState:
    """Returns the state before any training, with a first set pending."""
    return beginning.propose_first(
      self.program, None, self.protocol, self.seed, pool=pool
    )

  def trained(self, pool: PoolState, round: int) -> LearnerState:
    """Returns the state of the learner trained on the labels of a pool."""
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

"""Every field of an experiment, with its default.

The other configs start from this one, so that any field can be overridden on
the command line (`--config.learner.batch_size=32`) and a misspelt one is an
error. Further fields of `data`, `model`, `strategy` and `prefilter` depend on
the name they begin with (`--config.model.dropout=0.1`); see `docs/data.md`,
`docs/training.md` for learners and pretraining, `al_jax.models` and
`al_jax.strategies`.
"""

from ml_collections import ConfigDict, config_dict

from al_jax import systems
from al_jax.learners import LEARNERS


def _learner():
  """Defaults of training a network; options of one learner go beside them."""
  learner = ConfigDict()
  learner.batch_size = 64
  learner.weights = 'same'  # or new, warm
  learner.augment = ()  # flip, shift, crop
  learner.optimizer = ConfigDict()
  # Further options depend on the name and on the schedule.
  learner.optimizer.name = 'adam'  # or adamw, sgd, rmsprop, adadelta
  learner.optimizer.learning_rate = 1e-3
  # Or linear, cosine, steps, milestones, exponential.
  learner.optimizer.schedule = 'constant'
  learner.optimizer.warmup = 0.0
  learner.optimizer.weight_decay = 0.0
  learner.optimizer.decay_per_example = False
  learner.optimizer.momentum = 0.9
  learner.optimizer.nesterov = False
  learner.optimizer.clip_value = config_dict.placeholder(float)
  learner.optimizer.clip_norm = config_dict.placeholder(float)
  learner.stop = ConfigDict()
  learner.stop.epochs = 100
  learner.stop.steps = config_dict.placeholder(int)
  learner.stop.train_accuracy = config_dict.placeholder(float)
  learner.stop.patience = config_dict.placeholder(int)

  # Options for one learner alone, which go before those of all.
  for name in LEARNERS:
    learner[name] = ConfigDict()
  return learner


def _protocol():
  """Defaults of how a run proceeds."""
  protocol = ConfigDict()
  protocol.rounds = 10
  protocol.labels_per_round = 100
  protocol.first_set = 'uniform'  # or balanced, first, k_center, none
  # Of k_center: a .npy file with a row for each example of the pool. None: the
  # embedding of the network that training begins with.
  protocol.first_features = config_dict.placeholder(str)
  protocol.first_size = 100
  protocol.label_budget = config_dict.placeholder(int)
  # End at this accuracy on the validation split; on the test split, which
  # measures first passage and favours lucky rounds.
  protocol.target_accuracy = config_dict.placeholder(float)
  protocol.test_accuracy = config_dict.placeholder(float)
  protocol.max_seconds = config_dict.placeholder(float)
  protocol.save_every_steps = 2000
  return protocol


def get_config() -> ConfigDict:
  """The defaults: random and margin sampling on digits with an MLP."""
  config = ConfigDict()
  # A string, or a mapping with `source`, its options, and `transforms`.
  config.data = ConfigDict({'source': 'digits', 'transforms': ()})
  # One or many, all on the same seeds: published, or learner+strategy.
  config.systems = systems.DEFAULT
  # So many seeds, from the first one on.
  config.seeds = 1
  config.first_seed = 0
  config.model = ConfigDict({'name': 'mlp'})  # and its options

  config.learner = _learner()

  # What the network learns before any label: a name in
  # `PRETRAINING` of al_jax/learners, its options, and a seed. Empty: nothing.
  config.pretraining = ConfigDict()

  config.strategy = ConfigDict()  # options, over those of the system
  # Look at so many examples of the pool per round, drawn anew each time.
  config.subset_size = config_dict.placeholder(int)
  # A strategy that proposes candidates: its name, how many, and its options.
  config.prefilter = ConfigDict()

  # How queries are made: `name` (prior, latent, partner), its options, and
  # `oracle`, who answers; see docs/training.md. Empty: they are of the pool.
  config.synthesis = ConfigDict()

  # The pool passes once: `manager` (balanced, quantile, fixed, variable, ...)
  # decides on each example, with a `budget` and options, or a strategy in each
  # `batch_window`; see docs/stream.md. Empty: it is there in every round.
  config.stream = ConfigDict()

  config.protocol = _protocol()

  # Who answers after the first set, person or machine; the share of wrong and
  # of missing answers of a person.
  persons = {'annotator': 'person', 'noise': 0.0, 'abstain': 0.0}
  config.oracle = ConfigDict(persons)
  # Of a label, in any currency, and seconds: `person`, `person_seconds`,
  # `machine`, `machine_seconds`. Records and report then have a ledger.
  config.prices = ConfigDict()

  # What more is recorded: of each batch of questions how diverse it is; of the
  # test split the mean prediction of so many dropout samples; how many queries
  # a frozen network knows the answer of: options of a published network, or
  # True where inputs are features already.
  config.describe = ConfigDict({'batches': False, 'dropout_samples': 0})
  config.describe.probe = config_dict.placeholder(object)

  # Also train on the whole pool, for a line that the curves run up to.
  config.full_labels = False

  # Several cells: axis -> value -> what it changes, see
  # al_jax/runner/grid.py. None: a single one.
  config.grid = config_dict.placeholder(object)

  # How, not what: these change speed and memory, and no result.
  config.placement = 'auto'  # inputs on the device, or on the host
  config.chunk_size = 1000  # rows per forward pass over a split
  return config

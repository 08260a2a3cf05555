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
  """Returns the defaults of training; options of single learners come last."""
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

  # Options of a single learner, which override those above.
  for name in LEARNERS:
    learner[name] = ConfigDict()
  return learner


def _protocol():
  """Returns the defaults of the protocol."""
  protocol = ConfigDict()
  protocol.rounds = 10
  protocol.labels_per_round = 100
  protocol.first_set = 'uniform'  # or balanced, first, k_center, none
  # For k_center: a .npy file with a row for each example of the pool. If None,
  # the embedding of the initial network is used.
  protocol.first_features = config_dict.placeholder(str)
  protocol.first_size = 100
  protocol.label_budget = config_dict.placeholder(int)
  # End at this accuracy on the validation split, or on the test split, which
  # measures first passage and favours lucky rounds.
  protocol.target_accuracy = config_dict.placeholder(float)
  protocol.test_accuracy = config_dict.placeholder(float)
  protocol.max_seconds = config_dict.placeholder(float)
  protocol.save_every_steps = 2000
  return protocol


def get_config() -> ConfigDict:
  """Returns the defaults: random and margin sampling on digits with an MLP."""
  config = ConfigDict()
  # A string, or a mapping with `source`, its options, and `transforms`.
  config.data = ConfigDict({'source': 'digits', 'transforms': ()})
  # One or more, all on the same seeds: published names or learner+strategy.
  config.systems = systems.DEFAULT
  # Number of seeds, starting at first_seed.
  config.seeds = 1
  config.first_seed = 0
  config.model = ConfigDict({'name': 'mlp'})  # further options by name

  config.learner = _learner()

  # Pretraining without labels: a name in `PRETRAINING` of al_jax/learners, its
  # options, and a seed. If empty, there is none.
  config.pretraining = ConfigDict()

  config.strategy = ConfigDict()  # options, over those of the system
  # Number of pool examples to measure per round, drawn anew each time.
  config.subset_size = config_dict.placeholder(int)
  # A strategy that proposes candidates: its name, their number, its options.
  config.prefilter = ConfigDict()

  # Making queries: `name` (prior, latent, partner), its options, and `oracle`,
  # which answers; see docs/training.md. If empty, they come from the pool.
  config.synthesis = ConfigDict()

  # A pool that passes once: a `manager` (balanced, quantile, fixed, variable,
  # ...) with a `budget` and options decides on each example, or a strategy on
  # each `batch_window`; see docs/stream.md. If empty, it is not a stream.
  config.stream = ConfigDict()

  config.protocol = _protocol()

  # The annotator after the first set, person or machine; the shares of wrong
  # and of missing answers of a person.
  persons = {'annotator': 'person', 'noise': 0.0, 'abstain': 0.0}
  config.oracle = ConfigDict(persons)
  # Prices per label, in any currency, and seconds: `person`, `person_seconds`,
  # `machine`, `machine_seconds`. They add a ledger to records and report.
  config.prices = ConfigDict()

  # Further records: the diversity of each batch of queries; the mean prediction
  # of a number of dropout samples on the test split; the share of queries that
  # a frozen network could answer, given by options of a published network, or
  # True if the inputs are already features.
  config.describe = ConfigDict({'batches': False, 'dropout_samples': 0})
  config.describe.probe = config_dict.placeholder(object)

  # Also train on the whole pool, for an upper line in the plots.
  config.full_labels = False

  # Several cells: axis -> value -> changes to the config, see
  # al_jax/runner/grid.py. If None, a single one.
  config.grid = config_dict.placeholder(object)

  # These change speed and memory, but no result.
  config.placement = 'auto'  # inputs on the device, or on the host
  config.chunk_size = 1000  # rows per forward pass over a split
  return config

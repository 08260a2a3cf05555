"""Streams: budget managers decide which passing examples to query.

python -m experiments.stream --config=configs/stream.py:letter \
        --workdir=runs/stream/letter
python -m experiments.report --workdir=runs/stream/letter \
        --merge=manager,order --baseline=chance

Zliobaite et al. 2014, "Active Learning With Drifting Streaming Data"; Kottke,
Krempl and Spiliopoulou 2015, "Probabilistic Active Learning in Datastreams".
`letter` and `mnist` compare budget managers, and chance, that decide by least
confidence, over streams in random order and with three kinds of drift. `scores`
compares systems under the balanced manager. In `windows` batch strategies pick
from windows of the stream. `digits` takes about a minute on a CPU.
"""

import os

from ml_collections import ConfigDict

from al_jax.runner import defaults

_SETS = ('letter', 'mnist')
_STUDIES = ('scores', 'windows')
ARGUMENTS = ('digits', *_SETS, *_STUDIES)
_MANAGERS = (
  *('fixed', 'variable', 'random_variable', 'quantile', 'balanced'),
  'chance',
)
_KINDS = ('shuffled', 'abrupt', 'gradual', 'new_class')
_ORDERS = 5
_SCORES = ('random', 'least_confidence', 'margin', 'entropy')


def get_config(arg: str = 'letter') -> ConfigDict:
  """Returns the config of a study.

  Args:
    arg: one of `ARGUMENTS`.

  Returns:
    The config. `'letter'` queries a tenth of 18,000 letters, `'mnist'` a
    fiftieth of 60,000 digits. Each of five seeds has its own order.
  """
  if arg not in ARGUMENTS:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of: {"; ".join(ARGUMENTS)}.'
    )
  config = defaults.get_config()
  config.protocol.first_set = 'first'
  config.protocol.first_size = 50
  # An upper bound: the stream ends earlier.
  config.protocol.rounds = 100
  config.learner.stop.epochs = 100
  config.learner.stop.train_accuracy = 0.99
  if arg == 'digits':
    _set_digits(config)
  elif arg == 'mnist':
    _set_mnist(config)
  else:
    _set_letter(config)
  if arg in _SETS:
    config.systems = ('least_confidence',)
    config.grid = _streams(
      {each: {'stream': {'manager': each}} for each in _MANAGERS}
    )
  elif arg == 'scores':
    config.systems = _SCORES
    config.grid = _streams()
  elif arg == 'windows':
    config.systems = ('random', 'margin', 'badge', 'core_set')
    config.stream = ConfigDict({'batch_window': 500, 'budget': 0.1})
    config.grid = _streams()
  return config


def _set_digits(config):
  config.data = ConfigDict(
    {'source': 'digits', 'transforms': (_drift('shuffled'),)}
  )
  config.systems = _SCORES
  config.model = ConfigDict({'name': 'mlp', 'widths': (128,)})
  config.protocol.labels_per_round = 25
  config.stream = ConfigDict({'manager': 'balanced', 'budget': 0.1})


def _set_letter(config):
  files = os.environ.get('AL_JAX_FILES_DIR', '.')
  config.data.source = 'file:' + os.path.join(files, 'letter/letter.npz')
  config.data.normalize = 'none'
  config.model = ConfigDict({'name': 'mlp', 'widths': (256,)})
  config.protocol.labels_per_round = 50
  config.stream = ConfigDict({'manager': 'balanced', 'budget': 0.1})


def _set_mnist(config):
  config.data.source = 'tfds:mnist'
  config.model = ConfigDict({'name': 'mlp', 'widths': (128,)})
  config.protocol.labels_per_round = 50
  # A window of 500 at this budget has ten labels, as in the other studies.
  config.stream = ConfigDict(
    {'manager': 'balanced', 'budget': 0.02, 'window': 500}
  )


def _drift(kind, seed=0):
  # Classes differ in size: half of them may have less than half the examples.
  at = {'at': 0.45} if kind == 'abrupt' else {}
  return {'name': 'drift', 'kind': kind, 'seed': seed, **at}


def _streams(managers=None):
  """Makes every kind of drift in every order; each order has its own seed."""
  return [
    {
      'order': {str(seed): {'first_seed': seed}},
      'drift': {
        kind: {'data': {'transforms': (_drift(kind, seed),)}} for kind in _KINDS
      },
      **({'manager': managers} if managers else {}),
    }
    for seed in range(_ORDERS)
  ]

"""Streams: which examples are asked about while they pass, and what it brings.

python -m experiments.stream --config=configs/stream.py:mnist,local \
        --workdir=runs/stream/mnist

Zliobaite et al. 2014, "Active Learning With Drifting Streaming Data"; Kottke,
Krempl and Spiliopoulou 2015, "Probabilistic Active Learning in Datastreams".
Systems of single scores, and chance, under the balanced manager, over streams
in random order and with three kinds of drift. `managers` compares budget
managers for one system, `windows` has strategies of batches pick in windows.
`digits` is small enough for a minute on a CPU.
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults

_DATA = ('digits', 'mnist')
_STUDIES = ('managers', 'windows')
ARGUMENTS = (*_DATA, 'mnist,local', *_STUDIES)
_MANAGERS = ('fixed', 'variable', 'random_variable', 'quantile', 'balanced')
_KINDS = ('shuffled', 'abrupt', 'gradual', 'new_class')


def get_config(arg: str = 'mnist') -> ConfigDict:
  """The protocol of a study.

  Args:
    arg: one of `ARGUMENTS`.

  Returns:
    `'mnist'`: a tenth of 60,000 digits, in four orders.
  """
  if arg not in ARGUMENTS:
    raise ValueError(
      f'config argument is {arg!r}; it must be one of: {"; ".join(ARGUMENTS)}.'
    )
  name, _, variant = arg.partition(',')
  config = defaults.get_config()
  config.systems = ('random', 'least_confidence', 'margin', 'entropy')
  config.seeds = 1 if name == 'digits' else 5
  is_local = bool(variant) or name in _STUDIES
  source = 'digits' if name == 'digits' else 'tfds:mnist'
  cap = {'name': 'cap', 'train': 5000, 'test': 5000}
  before = (cap,) if is_local else ()
  config.data = ConfigDict(
    {'source': source, 'transforms': (*before, _drift('shuffled'))}
  )
  config.model = ConfigDict({'name': 'mlp', 'widths': (128,)})
  config.learner.stop.epochs = 30
  config.protocol.first_set = 'first'
  config.protocol.first_size = 50
  config.protocol.labels_per_round = 25 if is_local or name == 'digits' else 200
  # The stream ends before.
  config.protocol.rounds = 60
  config.stream = ConfigDict({'manager': 'balanced', 'budget': 0.1})
  if name == 'managers':
    config.systems = ('least_confidence',)
    config.grid = {
      'manager': {each: {'stream': {'manager': each}} for each in _MANAGERS},
      'drift': _drifts(before, ('shuffled', 'abrupt')),
    }
  elif name == 'windows':
    config.systems = ('random', 'margin', 'badge', 'core_set')
    config.stream = ConfigDict({'batch_window': 250, 'budget': 0.1})
    config.grid = {'drift': _drifts(before, ('shuffled', 'abrupt'))}
  elif name == 'mnist':
    config.grid = {'drift': _drifts(before, _KINDS)}
  return config


def _drift(kind):
  # Not all classes have as many examples: half of them may be less than half.
  at = {'at': 0.45} if kind == 'abrupt' else {}
  return {'name': 'drift', 'kind': kind, **at}


def _drifts(before, kinds):
  return {
    kind: {'data': {'transforms': (*before, _drift(kind))}} for kind in kinds
  }

"""Joint training with an entropy term (Ranganathan et al. 2017).

python -m experiments.run --config=configs/joint.py:mnist \
        --workdir=runs/joint/mnist
python -m experiments.run --config=configs/joint.py:modalities \
        --workdir=runs/joint/modalities

The systems `entropy`, `margin` and `random` are the two-step baselines, which
train on labels alone. `pretraining` starts on MNIST from random weights, from
those of an autoencoder, and from those of a stack of Boltzmann machines.
`weight` tries weights of the entropy term, with 5,000 digits held out: see the
report's table of the validation split. `emofbvp` and `mindreading` are folders
of features under AL_JAX_FILES_DIR, a file per modality, see docs/data.md.
"""

import copy
import itertools
import os

from ml_collections import ConfigDict

from al_jax.runner import defaults

SYSTEMS = ('random', 'margin', 'entropy', 'joint_random', 'joint')
# Modalities made from a picture, from one to all four.
VIEWS = (
  ('left',),
  ('gradients',),
  ('left', 'right'),
  ('left', 'right', 'gradients', 'spectrum'),
)
FOLDERS = {
  'emofbvp': ('face', 'gesture', 'voice', 'physiology'),
  'mindreading': ('face', 'voice'),
}
# Stand-ins for the unsupervised pre-training of Ranganathan et al. 2017, whose
# network was a deep belief network.
_PRETRAINING = {
  'none': {},
  'autoencoder': {
    'pretraining': {'name': 'denoising_autoencoder', 'stop': {'epochs': 20}}
  },
  'boltzmann': {
    'pretraining': {
      'name': 'boltzmann_stack',
      'optimizer': {'learning_rate': 1e-4},
      'stop': {'epochs': 20},
    }
  },
}
# Weights of the entropy term, to choose from by a validation split.
_WEIGHTS = (0.0, 0.01, 0.1, 0.5, 1.0)
ARGUMENTS = (
  'mnist',
  'cifar10',
  'letter',
  'modalities',
  'pretraining',
  'weight',
  *FOLDERS,
)


def get_config(arg: str = 'mnist') -> ConfigDict:
  """Returns a study of 100 uniform labels, 50 a round, 10 rounds, 5 seeds.

  Args:
    arg: `'mnist'`, `'cifar10'` or `'letter'`: an MLP. `'modalities'`: MNIST as
      halves, gradients and spectrum, with a fusion network per subset.
      `'pretraining'`: MNIST with three initialisations. `'weight'`: the first
      round of MNIST, with five weights of the entropy term. `'emofbvp'`,
      `'mindreading'`: every subset of their modalities. With the suffix
      `',local'`: few rounds on a small pool.

  Returns:
    A config that compares two-step systems, which train on labels and then
    query, with joint training, which also makes the predictions of unlabelled
    examples confident, with the published strategy and with random.
  """
  name, _, variant = arg.partition(',')
  if name not in ARGUMENTS or variant not in ('', 'local'):
    raise ValueError(
      f'config argument is {arg!r}; it must be one of '
      f"{', '.join(ARGUMENTS)}, alone or with ',local'."
    )
  config = defaults.get_config()
  config.systems = SYSTEMS
  config.seeds = 5
  config.protocol.labels_per_round = 50
  config.learner.stop.epochs = 100
  config.learner.joint.entropy_weight = 0.1
  config.model.widths = (256, 256)
  config.data = _data(name)
  if name == 'modalities' or name in FOLDERS:
    config.model = ConfigDict({'name': 'fusion'})
    config.grid = {'modalities': _subsets(name)}
  if name == 'pretraining':
    config.grid = {'pretraining': copy.deepcopy(_PRETRAINING)}
  if name == 'weight':
    config.systems = ('joint',)
    config.protocol.rounds = 1
    config.data.transforms = ({'name': 'validation_split', 'size': 5000},)
    config.grid = {
      'weight': {
        str(weight): {'learner': {'joint': {'entropy_weight': weight}}}
        for weight in _WEIGHTS
      }
    }
  if variant == 'local':
    _shrink(config)
  return config


def _data(name):
  files = os.environ.get('AL_JAX_FILES_DIR', '.')
  if name in FOLDERS:
    source = 'modalities:' + os.path.join(files, name)
  elif name == 'letter':
    source = 'file:' + os.path.join(files, 'letter/letter.npz')
  else:
    source = 'tfds:cifar10' if name == 'cifar10' else 'tfds:mnist'
  spec = ConfigDict({'source': source, 'transforms': ()})
  if name == 'letter':
    spec.normalize = 'none'  # as in the results of docs/joint.md
  return spec


def _subsets(name):
  """Makes the axis of subsets of the modalities."""
  if name == 'modalities':
    return {
      '+'.join(views): {
        'data': {'transforms': ({'name': 'views', 'views': views},)}
      }
      for views in VIEWS
    }
  named = FOLDERS[name]
  subsets = itertools.chain.from_iterable(
    itertools.combinations(named, size) for size in range(1, len(named) + 1)
  )
  return {
    '+'.join(subset): {'data': {'modalities': subset}} for subset in subsets
  }


def _shrink(config):
  cap = {'name': 'cap', 'train': 1000, 'test': 300}
  # A study that holds examples out takes them from the capped pool.
  held_out = ({'name': 'validation_split', 'size': 200},)
  config.data.transforms = (cap, *(held_out if config.data.transforms else ()))
  config.protocol.rounds = min(config.protocol.rounds, 3)
  config.learner.stop.epochs = 20
  config.seeds = 2
  for value in (config.grid or {}).get('pretraining', {}).values():
    if 'pretraining' in value:
      value['pretraining']['stop']['epochs'] = 5
  for subset in (config.grid or {}).get('modalities', {}).values():
    transforms = subset['data'].get('transforms')
    if transforms:
      subset['data']['transforms'] = (cap, *transforms)

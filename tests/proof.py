r"""Shows that a change of the code changes no result.

    python tests/proof.py write /tmp/before.json --tree=/path/of/other/clone
    python tests/proof.py write /tmp/after.json
    python tests/proof.py compare /tmp/before.json /tmp/after.json

`write` runs small experiments and hashes two things: every record, without
seconds and numbers of compilations, and the StableHLO text of every program
that JAX compiled, without locations and without names of modules and
functions. Equal texts prove that a move changed nothing; equal records show
that a change of the programs changed no result.

Both files must come from one machine: another processor, or another number of
cores, rounds differently. It reaches the code through its binary and its config
fields alone, so that it runs on clones whose modules lie elsewhere.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

_CAP = {'name': 'cap', 'train': 300, 'test': 100}
_MODEL = {'name': 'mlp', 'widths': [16], 'dropout': 0.25}
_SYSTEMS = {
  'uncertainty': 'random least_confidence margin entropy mc_least_confidence '
  'mc_margin mc_entropy variation_ratio mean_std',
  'bayesian': 'bald power_bald softmax_bald softrank_bald batch_bald',
  'diversity': 'badge core_set robust_core_set k_means weighted_k_means '
  'information_density graph_density k_means_plus_plus lcmd',
  'gradients': 'badge_gradient lcmd_gradient',
  'others': 'expected_error_reduction jlp albl albl_by_query',
  'joint': 'joint joint_random joint_bald',
  'ceal': 'ceal ceal_random ceal_margin ceal_least_confidence',
  'budget': 'hybrid budget_annotation',
  'propagation': 'propagation_random propagation_entropy propagation_core_set '
  'propagation_jlp propagation_badge',
  'learning_loss': 'learning_loss learning_loss_random',
  'adversarial': 'vaal sraal',
  'generative': 'bgadl+random',
}
_PRETRAINING = {
  'deep_cluster': {'clusters_per_class': 2},
  'denoising_autoencoder': {'widths': [16]},
  'boltzmann_stack': {},
}


def _transformed(*transforms):
  return {'source': 'digits', 'transforms': [_CAP, *transforms]}


# What each experiment changes in configs/quickstart.py. `model`, `data`,
# `pretraining` and `prefilter` are replaced, everything else is merged.
EXPERIMENTS = {
  **{name: {'systems': names.split()} for name, names in _SYSTEMS.items()},
  **{
    name: {
      'systems': ['margin', 'propagation_random'],
      'model': {'name': 'mlp', 'widths': [16]},
      'pretraining': {'name': name, 'stop': {'epochs': 2}, **options},
    }
    for name, options in _PRETRAINING.items()
  },
  'spread_first_set': {
    'systems': ['margin'],
    'pretraining': {
      'name': 'vae',
      'channels': [4, 8],
      'latent': 4,
      'stop': {'epochs': 2},
    },
    'protocol': {'first_set': 'k_center'},
  },
  'fusion': {
    'systems': ['badge', 'joint'],
    'model': {'name': 'fusion', 'dropout': 0.25},
    'data': _transformed({'name': 'views', 'views': ['left', 'spectrum']}),
  },
  'mnist_cnn': {
    'systems': ['margin', 'bald'],
    'model': {'name': 'mnist_cnn'},
    'protocol': {'labels_per_round': 10},
  },
  'patience': {
    'systems': ['margin', 'badge'],
    'data': _transformed({'name': 'validation_split', 'size': 50}),
    'learner': {'stop': {'patience': 2, 'train_accuracy': None}},
  },
  'prefilter': {
    'systems': ['badge', 'batch_bald'],
    'prefilter': {'name': 'entropy', 'size': 50},
  },
  'subset': {'systems': ['core_set', 'bald'], 'subset_size': 80},
  'augmentation': {
    'systems': ['margin'],
    'learner': {'augment': ['flip', 'shift']},
  },
  'warm_weights': {
    'systems': ['margin', 'ceal'],
    'learner': {'weights': 'warm'},
  },
  'descriptions': {
    'systems': ['badge'],
    'describe': {'batches': True, 'dropout_samples': 3},
    'full_labels': True,
  },
  'noisy_oracle': {
    'systems': ['margin'],
    'oracle': {'noise': 0.2, 'abstain': 0.1},
    'protocol': {'first_set': 'balanced'},
  },
  'two_lanes': {'systems': ['margin', 'badge', 'joint']},
  'host_inputs': {'systems': ['margin', 'ceal'], 'placement': 'host'},
  'workers': {'systems': ['margin', 'badge']},
  'killed': {'systems': ['margin', 'propagation_random']},
}

_CONFIG = """
import json
from ml_collections import ConfigDict
from configs import quickstart

def get_config():
  config = quickstart.get_config()
  for name, change in json.loads({changes!r}).items():
    if name in ('model', 'data', 'pretraining', 'prefilter'):
      config[name] = ConfigDict(change)
    elif isinstance(change, dict):
      config[name].update(change)
    else:
      config[name] = change
  return config
"""
# On a CPU seeds are run one by one; elsewhere they are the lanes of a program.
_PRETEND = """
import runpy, sys
import jax
jax.default_backend = lambda: 'an accelerator'
sys.argv[0] = {module!r}
runpy.run_module({module!r}, run_name='__main__', alter_sys=True)
"""


def _command(tree: pathlib.Path, name: str, folder: pathlib.Path) -> list[str]:
  """The command of an experiment; writes its config."""
  shared = {
    'seeds': 2,
    'model': _MODEL,
    'data': _transformed(),
    'protocol': {'rounds': 2, 'save_every_steps': 10},
    'learner': {'stop': {'epochs': 6}},
  }
  changes = {**shared}
  for field, change in EXPERIMENTS[name].items():
    merged = field in ('protocol', 'learner')
    changes[field] = {**shared[field], **change} if merged else change
  config = folder / 'config.py'
  config.write_text(_CONFIG.format(changes=json.dumps(changes)))
  # Several systems used to be run by another binary.
  compare = (tree / 'experiments' / 'compare.py').exists()
  module = 'experiments.compare' if compare else 'experiments.run'
  start = ['-m', module]
  if name == 'two_lanes':
    start = ['-c', _PRETEND.format(module=module)]
  more = ['--workers=2'] if name == 'workers' else []
  return [
    *(sys.executable, *start, f'--config={config}', '--quiet'),
    *(f'--workdir={folder / "workdir"}', *more),
  ]


def _run(tree: pathlib.Path, name: str) -> dict:
  """The hashes of an experiment."""
  with tempfile.TemporaryDirectory() as scratch:
    folder = pathlib.Path(scratch)
    command = _command(tree, name, folder)
    environment = {
      **os.environ,
      'PYTHONPATH': str(tree),
      'AL_JAX_CACHE_DIR': str(folder / 'cache'),
      'JAX_DUMP_IR_TO': str(folder / 'programs'),
      'JAX_INCLUDE_DEBUG_INFO_IN_DUMPS': 'false',
    }
    if name == 'killed':
      _start_and_kill(command, tree, environment, folder / 'workdir')
    ended = subprocess.run(
      command, cwd=tree, env=environment, capture_output=True, text=True
    )
    if ended.returncode:
      raise RuntimeError(f'{name} failed in {tree}:\n{ended.stderr[-3000:]}')
    return {
      'records': _hashes_of_records(folder / 'workdir'),
      'programs': _hashes_of_programs(folder / 'programs'),
    }


def _start_and_kill(command, tree, environment, workdir):
  """Kills the experiment as soon as it has reported a round."""
  process = subprocess.Popen(
    command,
    cwd=tree,
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  lines = workdir / 'records.jsonl'
  while not lines.exists() and process.poll() is None:
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.wait()


def _hashes_of_records(workdir):
  found = {}
  for file in ('records.jsonl', 'full_labels.jsonl'):
    if not (workdir / file).exists():
      continue
    text = (workdir / file).read_text()
    # Names of before format 2.
    text = text.replace('machine_labels', 'pseudo_labels')
    text = text.replace('machine_accuracy', 'pseudo_label_accuracy')
    for line in text.splitlines():
      record = json.loads(line)
      which = '{system}, seed {seed}, round {round}'.format(**record)
      kept = {
        field: record[field]
        for field in record
        if not field.startswith('seconds') and field != 'compilations'
      }
      found[which] = _digest(json.dumps(kept, sort_keys=True))
  return found


def _hashes_of_programs(folder):
  """Hash -> a name for people."""
  return {
    _digest(_canonical(path.read_text())): re.sub(
      r'^jax_ir\d+_|_compile$', '', path.stem
    )
    for path in sorted(folder.glob('*.mlir'))
  }


def _canonical(text):
  """The text of a program without the names that say nothing of what it does.

  Functions are numbered in the order in which they appear.
  """
  numbers = {}

  def numbered(match):
    return f'@{numbers.setdefault(match[0], len(numbers))}'

  text = re.sub(r'jax\.result_info = "[^"]*"', '', text)
  # The target of a custom call is a function of XLA's.
  return re.sub(r'(?<!custom_call )@[\w.$-]+', numbered, text)


def _digest(text):
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(
  path: pathlib.Path, tree: pathlib.Path, names: list[str], jobs: int
) -> None:
  """Runs experiments of a clone; adds their hashes to a file one by one."""
  results = json.loads(path.read_text()) if path.exists() else {}
  with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
    found = pool.map(lambda name: _run(tree, name), names)
    for name, result in zip(names, found, strict=True):
      results[name] = result
      records, programs = len(result['records']), len(result['programs'])
      print(f'{name}: {records} records, {programs} programs', flush=True)
      path.write_text(json.dumps(results, indent=1, sort_keys=True) + '\n')


def compare(before: dict, after: dict) -> list[str]:
  """A line for each difference; experiments that only one has are left out."""
  lines = []
  for name in before:
    if name not in after:
      continue
    old, new = before[name]['records'], after[name]['records']
    lines += [
      f'{name}: record of {which} differs'
      for which in sorted({*old, *new})
      if old.get(which) != new.get(which)
    ]
    old, new = before[name]['programs'], after[name]['programs']
    for here, there, where in ((old, new, 'before'), (new, old, 'after')):
      lines += [
        f'{name}: program {here[key]} is only {where}'
        for key in here
        if key not in there
      ]
  return lines


def main() -> int:
  """Returns the exit status: 1 if there is a difference."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  commands = parser.add_subparsers(dest='command', required=True)
  writing = commands.add_parser('write')
  writing.add_argument('path', type=pathlib.Path)
  here = pathlib.Path(__file__).resolve().parent.parent
  writing.add_argument('--tree', type=pathlib.Path, default=here)
  writing.add_argument('--only', default='', help='names, separated by commas')
  writing.add_argument('--jobs', type=int, default=2)
  comparing = commands.add_parser('compare')
  comparing.add_argument('before', type=pathlib.Path)
  comparing.add_argument('after', type=pathlib.Path)
  given = parser.parse_args()
  if given.command == 'write':
    names = given.only.split(',') if given.only else list(EXPERIMENTS)
    write(given.path, given.tree.resolve(), names, given.jobs)
    return 0
  before, after = (
    json.loads(path.read_text()) for path in (given.before, given.after)
  )
  lines = compare(before, after)
  print('\n'.join(lines) or f'no difference in {len({*before} & {*after})}')
  return bool(lines)


if __name__ == '__main__':
  sys.exit(main())

"""Estimates the cost of a run from shapes alone, for `--dry_run`."""

import functools
import json
import operator
import time

import jax
import jax.numpy as jnp

from al_jax import files, inference, pool, sources, xla
from al_jax.data import named
from al_jax.interfaces import Batch
from al_jax.runner import checks, options, pretraining, synthesis
from al_jax.runner import config as config_lib
from al_jax.runner.config import Experiment
from al_jax.runner.options import Config
from al_jax.storage import manifest


def describe(experiment: Experiment, *, earlier: Config | None = None) -> str:
  """Describes the resolved config, the data, and the cost of each system.

  Args:
    experiment: experiment, loaded and checked.
    earlier: config of a cell that was described before. If given, only the
      differences from it are described.

  Returns:
    Text.
  """
  dataset = experiment.dataset
  systems = options.system_names(experiment.config)
  test, validation = _size(dataset.test), _size(dataset.validation)
  lines = [
    *_config_lines(experiment.config, earlier),
    '',
    f'data: {dataset.name}, fingerprint {dataset.fingerprint}',
    f'  pool {len(dataset.train):,}, validation {validation:,}, '
    f'test {test:,}, {dataset.task.describe()}, '
    f'example {_shape(experiment.facts.example)}',
    f'labels: at most {experiment.facts.label_budget:,} per seed, '
    f'{len(checks.seed_list(experiment.config))} seeds',
    '',
  ]
  rate = _matrix_rate()
  lines.append(f'matrix products run at {rate / 1e9:.0f} GFLOP/s here')
  lines.append(
    'compiling adds about 5 to 40 s per system on a CPU, less if its programs '
    'are cached from an earlier run'
  )
  lines += _pretraining_cost(experiment, rate)
  lines += _answering_cost(experiment, rate)
  for name in systems:
    lines += _cost(experiment, name, rate)
  return '\n'.join(lines)


def _config_lines(config, earlier):
  """Returns the config as JSON, or its differences from an earlier one."""
  if earlier is None:
    config = {**config, 'systems': options.system_names(config)}
    return [json.dumps(files.json_value(config), indent=2)]
  changed = manifest.config_difference(earlier, config)
  return [
    'the config of the first cell, except for',
    *(f'  {line}' for line in changed),
  ]


def _size(split):
  return 0 if split is None else len(split)


def memory_bytes(experiment: Experiment, name: str) -> int:
  """Adds up the data and three states: before, after, and being saved."""
  state = _state(experiment, name)
  dataset = experiment.dataset
  splits = (dataset.train, dataset.validation, dataset.test)
  data = sum(
    sources.num_bytes(split.inputs) for split in splits if split is not None
  )
  return data + 3 * sources.num_bytes(_raw(state))


def checkpoint_bytes(experiment: Experiment, name: str) -> int:
  """Bounds the bytes on disk of a seed's checkpoints: at most three of them."""
  return 3 * sources.num_bytes(_raw(_state(experiment, name)))


def _cost(experiment, name, rate):
  """Describes the cost of one system, in lines."""
  seeds = len(checks.seed_list(experiment.config))
  of_steps, measure, evaluate = _operations(experiment, name)
  steps = _most_steps(experiment, name)
  rounds = _most_rounds(experiment)
  memory = memory_bytes(experiment, name)
  sizes = [f'{each / 1e6:,.1f} MFLOP' for each in of_steps]
  lines = [
    f'{name}:',
    f'  steps of {" and ".join(sizes)}; its learner does not say how many it '
    'takes',
    f'  {measure / 1e9:,.1f} GFLOP to measure the pool',
  ]
  if steps is not None:
    total = sum(map(operator.mul, steps, of_steps))
    total += (rounds - 1) * measure + rounds * evaluate
    counted = [
      f'{of:,} of {size}' for of, size in zip(steps, sizes, strict=True)
    ]
    if len(steps) == 1:
      counted = [f'{steps[0]:,} steps per seed of {sizes[0]}']
    else:
      counted[0] = f'{sum(steps):,} steps per seed, {counted[0]}'
    lines[1:] = [
      f'  at most {" and ".join(counted)}; {measure / 1e9:,.1f} GFLOP to '
      'measure the pool',
      f'  about {seeds * total / rate:,.0f} s of matrix products for all '
      'seeds, if no round stops early',
    ]
  return [*lines, f'  about {memory / 2**20:,.0f} MiB for data and state']


def _pretraining_cost(experiment, rate):
  """Describes the cost of pretraining, in lines; empty if there is none."""
  built = pretraining.build(experiment)
  if built is None:
    return []
  [step] = _operations_of_steps(experiment.facts, built.learner)
  seconds = built.most_steps * step / rate
  return [
    'pretraining, once for all systems and seeds, unless weights are cached:',
    f'  at most {built.most_steps:,} steps of {step / 1e6:,.1f} MFLOP',
    f'  about {seconds:,.0f} s of matrix products',
  ]


def _answering_cost(experiment, rate):
  """Describes the cost of answering made queries, in lines; may be empty."""
  if not experiment.config['synthesis']:
    return []
  answering = synthesis.oracle_options(experiment.config)
  learner, facts = synthesis.classifier_of(experiment.dataset, answering)
  [step] = _operations_of_steps(facts, learner)
  steps = learner.most_steps(facts.num_examples)
  return [
    'the classifier that answers about made queries, once in each process:',
    f'  at most {steps:,} steps of {step / 1e6:,.1f} MFLOP',
    f'  about {steps * step / rate:,.0f} s of matrix products',
  ]


def _operations_of_steps(facts, learner):
  """Returns the operations of a step of each phase."""
  labelled = _no_labels(facts)
  state, found = _state_of(learner), []
  for phase in learner.phases:
    plan = jax.eval_shape(phase.plan, state, labelled)
    batches = {
      batch: _rows(facts, index.shape[0]) for batch, index in plan.items()
    }
    found.append(xla.matrix_operations(phase.step, state, batches, labelled))
  return found


def _no_labels(facts):
  return jax.eval_shape(lambda: pool.of(facts))


def _rows(facts, count):
  """Returns the shapes of a batch."""
  inputs = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype),
    facts.example,
  )
  return Batch(jax.ShapeDtypeStruct((count,), jnp.int32), inputs)


def _operations(experiment, name):
  """Returns the operations of steps per phase, of measuring and evaluating."""
  system = config_lib.system_of(experiment, name)
  learner, facts = system.learner, experiment.facts
  key = jax.random.key(0)
  state = _state(experiment, name)
  of_steps = _operations_of_steps(facts, learner)
  chunk = _rows(
    facts,
    inference.rows_of_chunk(
      experiment.config['chunk_size'], facts.num_examples
    ),
  )
  of_chunk = 0
  if system.strategy.measure is not None:
    of_chunk = xla.matrix_operations(
      lambda state, batch: system.strategy.measure(
        key, lambda inputs, **keys: learner.apply(state, inputs, **keys), batch
      ),
      state,
      chunk,
    )
  forward = xla.matrix_operations(learner.apply, state, chunk.inputs)
  per_row = 1 / chunk.index.shape[0]
  looked_at = min(
    experiment.config['subset_size'] or facts.num_examples, facts.num_examples
  )
  if experiment.config['stream']:
    # Each example passes once in all rounds together.
    looked_at /= max(_most_rounds(experiment) - 1, 1)
  dataset = experiment.dataset
  evaluated = _size(dataset.test) + _size(dataset.validation)
  of_pool = of_chunk * per_row * looked_at
  return of_steps, of_pool, forward * per_row * evaluated


def _most_rounds(experiment):
  """Returns the number of rounds until nothing is left to query."""
  protocol, budget = experiment.protocol, experiment.facts.label_budget
  left = budget - protocol.first_size
  return min(protocol.rounds, 1 - (-left // protocol.labels_per_round))


def _most_steps(experiment, name):
  """Returns the maximum steps of a seed by phase; None if unknown."""
  facts, protocol = experiment.facts, experiment.protocol
  learner = config_lib.system_of(experiment, name).learner
  if learner.most_steps is None:
    return None
  rounds = []
  for number in range(_most_rounds(experiment)):
    labels = protocol.first_size + number * protocol.labels_per_round
    most = learner.most_steps(min(labels, facts.label_budget))
    rounds.append(most if isinstance(most, tuple) else (most,))
  return [sum(of_phase) for of_phase in zip(*rounds, strict=True)]


def _state(experiment, name):
  return _state_of(config_lib.system_of(experiment, name).learner)


def _state_of(learner):
  return jax.eval_shape(lambda: learner.init(jax.random.key(0)))


def _raw(state):
  """Returns the leaves of a state except its keys, which are negligible."""
  return [
    leaf
    for leaf in jax.tree.leaves(state)
    if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  ]


def _shape(example):
  return ', '.join(
    f'{name} {part.dtype}{list(part.shape)}'.strip()
    for name, part in named.arrays(example).items()
  )


@functools.cache
def _matrix_rate():
  """Measures a large float32 product in FLOP/s, the best of five runs."""
  side = 1024
  multiply = jax.jit(jnp.matmul)
  matrix = jnp.ones((side, side), jnp.float32)
  multiply(matrix, matrix).block_until_ready()
  seconds = []
  for _ in range(5):
    begin = time.perf_counter()
    multiply(matrix, matrix).block_until_ready()
    seconds.append(time.perf_counter() - begin)
  return 2 * side**3 / min(seconds)

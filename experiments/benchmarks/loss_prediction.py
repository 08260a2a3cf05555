"""Measures the cost of a loss prediction module in training and in selection.

Run as `python -m experiments.benchmark loss_prediction`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from al_jax import data, systems
from al_jax import pool as pool_lib
from al_jax.loop import program, stages
from al_jax.training import fit
from experiments.benchmarks import steps
from experiments.benchmarks.rounds import Trainer, labelled
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import in_turns, seconds_of

_SMALL = {'name': 'cnn', 'channels': (16, 32), 'norm': 'batch'}
_RESNET = {'name': 'resnet18', 'width': 16}
# Modules of `configs/learning_loss.py:ablation` that differ in size.
_MODULES = {
  'all maps': {},
  'one map': {'maps': ('dense',)},
  'three layers': {'depth': 3},
  '512 wide': {'width': 512},
}
# Targets for a step and for measuring the pool, as multiples of the time
# without the module.
_TRAINING, _MEASURING = 1.15, 1.05


def measure() -> Iterator[Row]:
  """Yields every measurement, for a small network and for ResNet-18."""
  dataset = steps.load_images()
  for images, model, num_labels in (
    (dataset, _SMALL, 1024),
    (steps.as_colour(dataset), _RESNET, 256),
  ):
    yield step_beside_supervised(images, model, num_labels=num_labels)
    yield look_beside_entropy(images, model)
  for name, options in _MODULES.items():
    yield size_of_module(dataset, _SMALL, name, options)


def step_beside_supervised(
  dataset: data.Dataset,
  model: Mapping[str, Any],
  *,
  num_labels: int,
  batch_size: int = 64,
  epochs: int = 2,
  repeats: int = 9,
) -> Row:
  """Compares a step with the module with one of the network alone.

  Args:
    dataset: pictures.
    model: options of `models.build`.
    num_labels: number of labelled examples.
    batch_size: batch size of a step.
    epochs: epochs per measurement.
    repeats: number of pairs of measurements.

  Returns:
    A Row; its seconds are those of a step.
  """
  all_sources = program.sources_of(dataset)
  both = [
    Trainer(
      dataset,
      all_sources,
      model,
      system=system,
      label_budget=num_labels,
      batch_size=batch_size,
      epochs=epochs,
    )
    for system in ('learning_loss_random', 'random')
  ]
  pool = labelled(dataset, num_labels)
  first, *others = both
  _, seconds, against, ratio = in_turns(
    lambda: first.rounds([pool]),
    lambda: others[0].rounds([pool]),
    repeats,
  )
  return Row(
    f'a step of learning loss, {model["name"]}',
    seconds / first.num_steps,
    against / first.num_steps,
    'without the module',
    ratio,
    at_most=_TRAINING,
    note=_sizes(*(each.learner for each in both)),
  )


def look_beside_entropy(
  dataset: data.Dataset,
  model: Mapping[str, Any],
  *,
  num_examples: int = 2000,
  repeats: int = 9,
) -> Row:
  """Compares the time to measure predicted losses with that for entropies.

  Args:
    dataset: pictures.
    model: options of `models.build`.
    num_examples: maximum number of examples to measure.
    repeats: number of pairs of measurements.

  Returns:
    A Row; its seconds are those to measure the examples once.
  """
  facts = program.facts_of(dataset, 10)
  inputs = program.sources_of(dataset)['pool'].inputs[:num_examples]
  key, looks = jax.random.key(0), []
  for name in ('learning_loss', 'entropy'):
    system = systems.build(name, facts, model=model)
    compiled = stages.compile_strategy(
      system.strategy, system.learner, inputs, chunk_size=1000
    )
    state = jax.jit(system.learner.init)(key)
    looks.append(
      lambda compiled=compiled, state=state: compiled.measure(key, state, None)
    )
  _, seconds, against, ratio = in_turns(
    *(lambda look=look: seconds_of(look) for look in looks), repeats
  )
  return Row(
    f'a look for predicted losses, {model["name"]}, N {len(inputs):,}',
    seconds,
    against,
    'for entropies',
    ratio,
    at_most=_MEASURING,
  )


def size_of_module(
  dataset: data.Dataset,
  model: Mapping[str, Any],
  name: str,
  options: Mapping[str, Any],
  *,
  batch_size: int = 32,
) -> Row:
  """Measures the memory of a step with a module, and counts its parameters.

  Args:
    dataset: pictures.
    model: options of `models.build`.
    name: name of the module.
    options: options of the learner `learning_loss`.
    batch_size: batch size of the step.

  Returns:
    A Row without seconds.
  """
  facts = program.facts_of(dataset, batch_size)
  inputs = {'pool': program.sources_of(dataset)['pool'].inputs}
  learner = systems.build(
    'learning_loss_random',
    facts,
    model=model,
    learner={'batch_size': batch_size, **options},
  ).learner
  state = jax.eval_shape(learner.init, jax.random.key(0))
  pool = jax.eval_shape(lambda: pool_lib.of(facts))
  step = jax.jit(fit.step_from(learner.phases[0]))
  memory = step.lower(state, pool, inputs).compile().memory_analysis()
  alone = systems.build('random', facts, model=model).learner
  return Row(
    f'learning loss, {name}, batch {batch_size}',
    None,
    extra_bytes=memory.temp_size_in_bytes,
    note=_sizes(learner, alone),
  )


def _sizes(*learners):
  """Formats the number of parameters of each learner."""
  counts = [
    sum(
      leaf.size
      for leaf in jax.tree.leaves(
        jax.eval_shape(of.init, jax.random.key(0)).network.variables['params']
      )
    )
    for of in learners
  ]
  return ' against '.join(f'{count:,}' for count in counts) + ' parameters'

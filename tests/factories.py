"""What several tests are made of: records, tasks, systems, pools."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import data, loop, systems
from al_jax import pool as pool_lib
from al_jax.interfaces import Batch
from al_jax.loop import program
from al_jax.storage import checkpoint, records


def a_record(
  system='margin', seed=0, labels=10, accuracy=0.5, **changes
) -> records.RoundRecord:
  """A record of a round in which nothing took any time."""
  values = {
    'system': system,
    'seed': seed,
    'round': labels // 10,
    'labels': labels,
    'trainable': labels,
    'steps': 1,
    'test': {'accuracy': accuracy, 'log_loss': 1 - accuracy},
    'test_class_accuracy': [],
    'train': {},
    'seconds_fit': 0,
    'seconds_evaluate': 0,
    'seconds_measure': 0,
    'seconds_select': 0,
    'seconds_other': 0,
    'picks': [],
    'pick_ids': [],
    'pick_classes': [],
    'batch': {},
    'compilations': 0,
  }
  return records.RoundRecord(**{**values, **changes})


def two_systems():
  """Two seeds, labels 10 and 20; margin goes on to 30."""
  accuracies = {
    ('random', 0): {10: 0.5, 20: 0.6},
    ('random', 1): {10: 0.5, 20: 0.7},
    ('margin', 0): {10: 0.5, 20: 0.7, 30: 0.8},
    ('margin', 1): {10: 0.6, 20: 0.9, 30: 0.9},
  }
  return [
    a_record(system, seed, labels, accuracy)
    for (system, seed), run in accuracies.items()
    for labels, accuracy in run.items()
  ]


# Options of learners that make images, for pictures of 8 x 8 pixels.
TINY_IMAGES = {
  'vae': {'channels': (4, 8), 'latent': 3},
  'critic': {'widths': (8,)},
  'iterations': 4,
  'pair_size': 8,
}
TINY_TARGETS = {
  **TINY_IMAGES,
  'vae': {**TINY_IMAGES['vae'], 'target_latent': 2, 'target_widths': (4,)},
}
TINY_MAKERS = {'makers': {'channels': (4, 8), 'widths': (8,), 'latent': 3}}


def a_task(label_budget=60, size=200):
  """Digits, few of them: the data set and what may be known of it."""
  dataset = data.load(
    {
      'source': 'digits',
      'transforms': [
        {'name': 'cap', 'train': size, 'test': 100},
        {'name': 'validation_split', 'size': 40},
      ],
    }
  )
  return dataset, program.facts_of(dataset, label_budget)


def a_system(name='margin', *, facts, dropout=0.0, **options):
  """A system with a small network that trains in milliseconds."""
  learner = {
    'batch_size': 16,
    'stop': {'epochs': 8},
    'optimizer': {'learning_rate': 0.01},
    **options.pop('learner', {}),
  }
  model = {'name': 'mlp', 'widths': (32,), 'dropout': dropout}
  return systems.build(name, facts, model=model, learner=learner, **options)


def batches_of(learner, dataset, pool, state):
  """What the next step takes, by name."""
  return {
    name: Batch(at, jnp.asarray(dataset.train.inputs[np.maximum(at, 0)]))
    for name, at in learner.phases[0].plan(state, pool).items()
  }


def assert_descended(before, after, loss, rate):
  """The parameters after are those before less the rate times the gradient."""
  expected = jax.tree.map(
    lambda p, g: p - rate * g, before, jax.grad(loss)(before)
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    after,
    expected,
  )


def a_pool(dataset, labelled):
  """A pool in which some examples have been asked about."""
  pool = pool_lib.create(len(dataset.train))
  targets = jnp.asarray(dataset.train.targets[labelled])
  return pool_lib.reveal(
    pool, jnp.asarray(labelled), targets, pool_lib.ORACLE, round=0
  )


def stopped_at_every_save(compiled, answers, how, folder, **options):
  """A run of seed 0 that is stopped and goes on until it is over.

  Returns its records, and how often it was stopped.
  """
  found, stops = [], 0
  with checkpoint.Checkpointer(folder) as saves:
    while len(found) < how.rounds:
      asked = []

      def should_stop(asked=asked):
        asked.append(None)
        return len(asked) > 1

      found = []
      try:
        for row in loop.run_rounds(
          compiled,
          answers,
          how,
          [0],
          checkpointer=saves,
          should_stop=should_stop,
          **options,
        ):
          found.append(row)
      except loop.Interrupted:
        stops += 1
  return found, stops


def an_observer(on_record):
  """An observer that wants records alone."""
  return types.SimpleNamespace(on_record=on_record)

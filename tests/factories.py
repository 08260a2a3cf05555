"""Records for tests, made of a few numbers."""

from al_jax import records


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

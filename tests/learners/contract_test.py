"""What every learner must do, see `al_jax.testing.check_learner`."""

import pytest

from al_jax import learners, testing
from tests.factories import TINY_IMAGES, TINY_MAKERS, TINY_TARGETS, a_task

OPTIONS = {
  'batch_size': 8,
  'stop': {'epochs': 3},
  'optimizer': {'learning_rate': 0.01},
}
MORE = {
  'label_propagation': {'neighbors': 5, 'labelled_batch_size': 4},
  'vaal': TINY_IMAGES,
  'sraal': TINY_TARGETS,
  'bgadl': TINY_MAKERS,
}
OF_IMAGES = ('vaal', 'sraal', 'bgadl')


def _pictures():
  """Forty digits, for learners that make images."""
  dataset, facts = a_task(label_budget=20)
  facts = facts._replace(num_examples=40)
  inputs, targets = dataset.train.inputs[:40], dataset.train.targets[:40]
  return {'facts': facts, 'inputs': inputs, 'targets': targets}


@pytest.mark.parametrize('name', learners.LEARNERS)
def test_it_keeps_the_contract(name):
  # Each lane's program is compiled anew, for ten seconds: one learner will do.
  skip = {} if name == 'supervised' else {'lanes': 'compiles for long'}
  found = testing.check_learner(
    learners.LEARNERS[name],
    options={**OPTIONS, **MORE.get(name, {})},
    name=name,
    skip=skip,
    **(_pictures() if name in OF_IMAGES else {}),
  )
  assert set(found.skipped) <= {'padding', 'pseudo_labels', 'report', *skip}

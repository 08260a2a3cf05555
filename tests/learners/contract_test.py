"""What every learner must do, see `al_jax.testing.check_learner`."""

import pytest

from al_jax import learners, testing

OPTIONS = {
  'batch_size': 8,
  'stop': {'epochs': 3},
  'optimizer': {'learning_rate': 0.01},
}
MORE = {'label_propagation': {'neighbors': 5, 'labelled_batch_size': 4}}


@pytest.mark.parametrize('name', learners.LEARNERS)
def test_it_keeps_the_contract(name):
  # Each lane's program is compiled anew, for ten seconds: one learner will do.
  skip = {} if name == 'supervised' else {'lanes': 'compiles for long'}
  found = testing.check_learner(
    learners.LEARNERS[name],
    options={**OPTIONS, **MORE.get(name, {})},
    name=name,
    skip=skip,
  )
  assert set(found.skipped) <= {'padding', 'pseudo_labels', 'report', *skip}

import pytest

from al_jax.training.stopping import StopRule


def test_there_is_always_a_cap():
  assert StopRule().epochs >= 1
  rule = StopRule(epochs=3, steps=7, train_accuracy=1.0, patience=2)
  assert (rule.epochs, rule.steps) == (3, 7)
  assert (rule.train_accuracy, rule.patience) == (1.0, 2)


@pytest.mark.parametrize('value', [0, -1, 2.5, '3', True, 2**31, 10**12])
@pytest.mark.parametrize('name', ['epochs', 'steps', 'patience'])
def test_counts_that_are_not_positive_integers_are_refused(name, value):
  with pytest.raises(
    ValueError, match=rf'stop\.{name} is .*whole number at least 1'
  ):
    StopRule(**{name: value})


def test_only_the_cap_may_not_be_left_out():
  assert StopRule(steps=None, patience=None).steps is None
  with pytest.raises(ValueError, match=r'stop\.epochs is None(?!.*or None)'):
    StopRule(epochs=None)


@pytest.mark.parametrize('value', [0, -0.5, 1.01, 99, float('nan'), 'x'])
def test_an_accuracy_that_cannot_be_reached_is_refused(value):
  with pytest.raises(ValueError, match=r'train_accuracy is .* above 0'):
    StopRule(train_accuracy=value)

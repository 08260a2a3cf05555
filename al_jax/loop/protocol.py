"""How a run proceeds: how many rounds, how many labels, and when to end."""

import dataclasses

from al_jax import errors

FIRST_SETS = ('uniform', 'balanced', 'none')


@dataclasses.dataclass(frozen=True)
class Protocol:
  """How a run proceeds.

  Attributes:
    rounds: R, fits and records.
    labels_per_round: K, asked at the end of every round but the last.
    first_set: how the examples labelled before round 0 are drawn: `'uniform'`,
      `'balanced'` (as many of each class; by the oracle), or `'none'`: the
      strategy asks from an untrained model.
    first_size: how many.
    label_budget: never pay for more; None for what the rounds need.
    target_accuracy: end when the accuracy on the validation split reaches this.
    test_accuracy: end when the test accuracy reaches this. It measures first
      passage ("labels to 95%"), which favours lucky rounds: the accuracy at the
      end is no estimate of how good the model is.
    max_seconds: end after the round in which this much time was used up.
    save_every_steps: how often a long round's training is saved.
  """

  rounds: int = 10
  labels_per_round: int = 100
  first_set: str = 'uniform'
  first_size: int = 100
  label_budget: int | None = None
  target_accuracy: float | None = None
  test_accuracy: float | None = None
  max_seconds: float | None = None
  save_every_steps: int = 2000

  def __post_init__(self):
    errors.check_name('first_set', self.first_set, FIRST_SETS)
    for name, least in (
      ('rounds', 1),
      ('labels_per_round', 1),
      ('first_size', 0),
      ('save_every_steps', 1),
    ):
      errors.check_number(name, getattr(self, name), int, least=least)
    if (self.first_set == 'none') != (self.first_size == 0):
      raise ValueError(
        f'first_set is {self.first_set!r} and first_size {self.first_size}; '
        "'none' goes with 0, and only with 0."
      )
    errors.check_number('label_budget', self.label_budget, int, optional=True)
    if self.label_budget is not None and self.label_budget < self.first_size:
      raise ValueError(
        f'label_budget is {self.label_budget}; it must cover the first set of '
        f'{self.first_size}.'
      )
    for name in ('target_accuracy', 'test_accuracy'):
      errors.check_number(
        name, getattr(self, name), above=0, most=1, optional=True
      )
    errors.check_number('max_seconds', self.max_seconds, above=0, optional=True)

  @property
  def budget(self) -> int:
    """The most labels that a run can pay for."""
    needed = self.first_size + (self.rounds - 1) * self.labels_per_round
    return (
      needed if self.label_budget is None else min(needed, self.label_budget)
    )

  def check(self, num_examples: int, *, has_validation: bool) -> None:
    """Raises ValueError unless the data set fits.

    Args:
      num_examples: N, the size of the pool; the first set is no larger.
      has_validation: whether there is a validation split, which a
        `target_accuracy` needs.
    """
    if self.first_size > num_examples:
      raise ValueError(
        f'first_size is {self.first_size}; the pool has {num_examples} '
        'examples.'
      )
    if self.target_accuracy is not None and not has_validation:
      raise ValueError(
        f'target_accuracy is {self.target_accuracy}; it is of a validation '
        'split, and the data set has none: add a validation_split transform, '
        'or set test_accuracy to measure first passage on the test split.'
      )

"""The protocol of a run: number of rounds and labels, and when to end."""

import dataclasses

import numpy as np

from al_jax import errors

FIRST_SETS = ('uniform', 'balanced', 'first', 'k_center', 'none')


@dataclasses.dataclass(frozen=True)
class Protocol:
  """The protocol of a run.

  Attributes:
    rounds: number of rounds, R; each is trained and recorded.
    labels_per_round: number of queries at the end of every round but the last,
      K.
    first_set: how the examples labelled before round 0 are chosen:
      `'uniform'`: drawn at random.
      `'balanced'`: the same number of each class, drawn by the oracle.
      `'first'`: the first examples of the pool.
      `'k_center'`: one drawn at random, then each as far as possible from the
      earlier ones (`kernels.k_center`), in the features given to the run. If
      there are none, in the embedding of the initial network; after
      pretraining, in the pretrained features.
      `'none'`: none; the strategy queries from an untrained model.
    first_size: size of the first set.
    label_budget: maximum number of labels to pay for. If None, as many as the
      rounds need.
    target_accuracy: accuracy on the validation split at which the run ends.
    test_accuracy: accuracy on the test split at which the run ends. It measures
      first passage ("labels to 95%"), which favours lucky rounds: the final
      accuracy does not estimate the model's quality.
    max_seconds: seconds after which the run ends, at the end of a round.
    save_every_steps: number of steps between two saves of a round's training.
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
    """The maximum number of labels that a run can pay for."""
    needed = self.first_size + (self.rounds - 1) * self.labels_per_round
    return (
      needed if self.label_budget is None else min(needed, self.label_budget)
    )

  def check(self, num_examples: int, *, has_validation: bool) -> None:
    """Raises ValueError unless the data set fits the protocol.

    Args:
      num_examples: size of the pool, N; the first set cannot be larger.
      has_validation: whether there is a validation split, which
        `target_accuracy` needs.
    """
    if self.first_size > num_examples:
      raise ValueError(
        f'first_size is {self.first_size}; the pool has {num_examples} '
        'examples.'
      )
    if self.target_accuracy is not None and not has_validation:
      raise ValueError(
        f'target_accuracy is {self.target_accuracy}; it needs a validation '
        'split, and the data set has none: add a validation_split transform, '
        'or set test_accuracy to measure first passage on the test split.'
      )

  def checked_features(
    self, features: np.ndarray, num_examples: int
  ) -> np.ndarray:
    """Returns the features used to choose a `'k_center'` first set.

    Args:
      features: numbers [N, ...].
      num_examples: size of the pool, N.

    Returns:
      float32[N, D].

    Raises:
      ValueError: the first set is not `'k_center'`, or the features are not a
        row of finite numbers per example.
    """
    if self.first_set != 'k_center':
      raise ValueError(
        f'features are given, but first_set is {self.first_set!r}; only '
        "'k_center' reads them."
      )
    shape, kind = np.shape(features), np.asarray(features).dtype
    if len(shape) < 2 or shape[0] != num_examples or kind.kind not in 'fiu':
      raise ValueError(
        f'features are {kind}{list(shape)}; they must be numbers with a row '
        f'for each of the {num_examples} examples that the pool has after all '
        'transforms.'
      )
    with np.errstate(over='ignore'):
      features = np.asarray(features, np.float32).reshape(num_examples, -1)
      lengths = np.einsum('nd,nd->n', features, features)
    if not np.all(np.isfinite(lengths)):
      bad = np.flatnonzero(~np.isfinite(lengths))[0]
      raise ValueError(
        f'features of example {bad} have no finite length; all must.'
      )
    return features

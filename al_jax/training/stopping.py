"""Stop rules of a round's training, each with a cap."""

import dataclasses

from al_jax import errors


@dataclasses.dataclass(frozen=True)
class StopRule:
  """Conditions that end a round's training, whichever is met first.

  All but `steps` are evaluated at the end of each epoch, on the device.

  Attributes:
    epochs: largest number of epochs.
    steps: largest number of steps; may end a round within an epoch. If None,
      there is no limit.
    train_accuracy: accuracy over an epoch, as measured by the training passes,
      that ends the round. If None, accuracy does not end it.
    patience: number of epochs without a lower validation loss after which the
      round ends. At the end of a round, for whatever reason, the weights with
      the lowest loss are restored. Needs a data set with a validation split. If
      None, there is no validation during training.
  """

  epochs: int = 100
  steps: int | None = None
  train_accuracy: float | None = None
  patience: int | None = None

  def __post_init__(self):
    for name in ('epochs', 'steps', 'patience'):
      errors.check_number(
        f'stop.{name}',
        getattr(self, name),
        int,
        least=1,
        most=errors.MOST_COUNTED,
        optional=name != 'epochs',
      )
    errors.check_number(
      'stop.train_accuracy',
      self.train_accuracy,
      above=0,
      most=1,
      optional=True,
    )

"""When a round's training is over. Every rule has a cap."""

import dataclasses

from al_jax import errors


@dataclasses.dataclass(frozen=True)
class StopRule:
  """Evaluated at the end of each epoch, on the device, from the state.

  Whichever comes first ends the round; `epochs` always does.

  Attributes:
    epochs: the cap.
    steps: end after so many steps, in the middle of an epoch if need be.
    train_accuracy: end when the accuracy over an epoch, as measured by the
      training passes themselves, reaches this.
    patience: end when the validation loss has not improved for so many
      epochs, and go back to the weights that had the lowest. Needs a data set
      with a validation split.
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

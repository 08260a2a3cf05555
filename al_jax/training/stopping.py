"""When a round's training is over. Every rule has a cap."""

import dataclasses


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
      value = getattr(self, name)
      optional = name != 'epochs'
      if optional and value is None:
        continue
      # True is an int, and would mean 1.
      whole = isinstance(value, int) and not isinstance(value, bool)
      if not whole or value < 1:
        also = ', or None' if optional else ''
        raise ValueError(
          f'stop.{name} is {value!r}; it must be an integer >= 1{also}.'
        )
    accuracy = self.train_accuracy
    if accuracy is not None and not 0 < accuracy <= 1:
      raise ValueError(
        f'stop.train_accuracy is {accuracy}; it must be in (0, 1], or None.'
      )

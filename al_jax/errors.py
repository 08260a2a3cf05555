"""Messages for names that are not known: what is allowed, and what was meant."""

import difflib
from collections.abc import Iterable


def unknown_name(what: str, name: object, choices: Iterable[str]) -> ValueError:
  """An error that lists the choices and names the closest one.

  Args:
    what: what kind of name it is, as in a sentence: `'strategy'`.
    name: the name that nothing answers to.
    choices: the names that are known.

  Returns:
    A ValueError to raise.
  """
  choices = sorted(choices)
  close = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
  meant = f' Did you mean {close[0]!r}?' if close else ''
  return ValueError(
      f'{what} {name!r} is not known.{meant} Known: {", ".join(choices)}.'
  )

"""Messages for unknown names: what is allowed, and what was meant."""

import difflib
import inspect
from collections.abc import Callable, Iterable


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
  known = ', '.join(choices) or 'none'
  return ValueError(f'{what} {name!r} is not known.{meant} Known: {known}.')


def check_options(
  what: str, function: Callable, options: Iterable[str]
) -> None:
  """Refuses options that a function has no keyword for.

  Args:
    what: what takes the options, as in a sentence: `"strategy 'margin'"`.
    function: whose keyword-only arguments are the options.
    options: the names given.

  Raises:
    ValueError: for the first that is not one, naming the closest that is.
  """
  known = [
    name
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
  ]
  for option in options:
    if option not in known:
      raise unknown_name(f'option of {what}', option, known)

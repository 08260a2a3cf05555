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
  close, listed = _closest(name, choices)
  return ValueError(f'{what} {name!r} is not known.{close} Known: {listed}.')


def unknown_option(
  what: str, option: object, known: Iterable[str]
) -> ValueError:
  """Likewise, of an option that something does not have."""
  close, listed = _closest(option, known)
  return ValueError(
    f'{what} has no option {option!r}.{close} It has: {listed}.'
  )


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
  known = options_of(function)
  for option in options:
    if option not in known:
      raise unknown_option(what, option, known)


def options_of(function: Callable) -> list[str]:
  """The names of a function's keyword-only arguments."""
  return [
    name
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
  ]


def _closest(name, choices):
  """What was perhaps meant, and all that there is, as text."""
  choices = sorted(choices)
  close = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
  meant = f' Did you mean {close[0]!r}?' if close else ''
  return meant, ', '.join(choices) or 'none'

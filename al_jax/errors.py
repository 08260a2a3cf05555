"""Checks of what a user gives, and their messages: what is, and what may be."""

import contextlib
import difflib
import inspect
import numbers
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

_T = TypeVar('_T')

# The most that a device counts to, in int32: for what is counted there.
MOST_COUNTED = 2**31 - 1
# What it computes with: float32.
_LARGEST = float(np.finfo(np.float32).max)
# Extra of the package -> module -> what pip calls the package of the module.
EXTRAS = {
  'experiments': {
    'PIL': 'pillow',
    'array_record': 'array-record',
    'flax': 'flax',
    'google_crc32c': 'google-crc32c',
    'importlib_resources': 'importlib_resources',
    'jinja2': 'jinja2',
    'matplotlib': 'matplotlib',
    'ml_collections': 'ml-collections',
    'optax': 'optax',
    'orbax': 'orbax-checkpoint',
    'sklearn': 'scikit-learn',
    'tensorflow_datasets': 'tensorflow-datasets',
    'tqdm': 'tqdm',
  },
  'parquet': {'pandas': 'pandas', 'pyarrow': 'pyarrow'},
  'prepare': {'tensorflow': 'tensorflow'},
  'safetensors': {'safetensors': 'safetensors'},
  'hub': {'huggingface_hub': 'huggingface-hub', 'safetensors': 'safetensors'},
  'pages': {'starlette': 'starlette', 'uvicorn': 'uvicorn'},
  'tensorboard': {'tensorboardX': 'tensorboardX'},
}


class ContractError(RuntimeError):
  """A part breaks its contract, so that a run cannot go on."""


class MissingPackageError(ModuleNotFoundError):
  """A package that an extra brings is not installed; the message names both."""


@contextlib.contextmanager
def needs(what: str) -> Iterator[None]:
  """Names the extra where an import inside fails for want of a package.

  A context, or a decorator of a function that imports. Of several around one
  import the outermost is named.

  Args:
    what: what the user asked for, as the subject of a sentence.

  Yields:
    Nothing.

  Raises:
    MissingPackageError: a package in `EXTRAS` is not installed.
  """
  try:
    yield
  except ModuleNotFoundError as error:
    module = (error.name or '').partition('.')[0]
    for extra, packages in EXTRAS.items():
      if module in packages:
        raise MissingPackageError(
          f'{what} needs {packages[module]}, which is not installed: '
          f"pip install 'al-jax[{extra}]' (in a clone: '.[{extra}]')",
          name=error.name,
        ) from error
    raise


@contextlib.contextmanager
def within(name: str, options: Iterable[str]) -> Iterator[None]:
  """Names options in full where a function that takes them refuses one.

  With `'makers'`, `latent is 0; ...` becomes `makers.latent is 0; ...`, and a
  message that begins with no option `makers: ...`. One that names the mapping
  stays as it is.

  Args:
    name: of a mapping of options.
    options: names in it that the function knows.

  Yields:
    Nothing.

  Raises:
    ValueError: with the longer message.
  """
  try:
    yield
  except ValueError as error:
    if re.match(rf'{re.escape(name)}\b', str(error)):
      raise
    first = re.match(r'\w*', str(error)).group()
    joint = '.' if first in options else ': '
    raise ValueError(f'{name}{joint}{error}') from error


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


def check_name(what: str, name: object, choices: Iterable[str]) -> None:
  """Refuses what is none of the choices, whatever its type."""
  choices = list(choices)
  if not isinstance(name, str) or name not in choices:
    raise unknown_name(what, name, choices)


def check_free(who: str, name: str, extras: Iterable[str]) -> None:
  """Refuses to replace an output of a model.

  Args:
    who: adds the output, for the message.
    name: of the output.
    extras: names of what the model itself gives.
  """
  if name in extras:
    raise ValueError(
      f'the model has an output {name!r} of its own, which {who} would '
      'replace: give it another name.'
    )


def check_number(
  name: str,
  value: object,
  kind: type = float,
  *,
  least: float | None = None,
  above: float | None = None,
  most: float | None = None,
  below: float | None = None,
  optional: bool = False,
) -> None:
  """Refuses what is no number of a kind, or out of its range.

  Args:
    name: of the argument.
    value: given; of any type. True is no number; NaN, infinities, and what no
      float32 can hold are none either.
    kind: `int` for whole numbers, `float` for these and others.
    least: the smallest that is allowed; or
    above: all allowed are larger.
    most: the largest that is allowed; or
    below: all allowed are smaller.
    optional: None is allowed too.

  Raises:
    ValueError: with the name, the value, and what is allowed.
  """
  if optional and value is None:
    return
  of_kind = numbers.Integral if kind is int else numbers.Real
  if (
    isinstance(value, of_kind)
    # True would mean 1.
    and not isinstance(value, bool)
    and abs(value) <= _LARGEST
    and (least is None or value >= least)
    and (above is None or value > above)
    and (most is None or value <= most)
    and (below is None or value < below)
  ):
    return
  allowed = 'a whole number' if kind is int else 'a number'
  if isinstance(value, numbers.Real) and abs(value) > _LARGEST:
    if value > 0 and most is None and below is None:
      most = _LARGEST
    if value < 0 and least is None and above is None:
      least = -_LARGEST
  bounds = (
    (least, 'at least'),
    (above, 'above'),
    (most, 'at most'),
    (below, 'below'),
  )
  limits = [
    f'{word} {bound:,}' if abs(bound) < 1e15 else f'{word} {bound:.4g}'
    for bound, word in bounds
    if bound is not None
  ]
  if limits:
    allowed += ' ' + ' and '.join(limits)
  if optional:
    allowed += ', or None'
  raise ValueError(f'{name} is {value!r}; it must be {allowed}.')


def check_flag(name: str, value: object) -> None:
  """Refuses what is neither True nor False."""
  if not isinstance(value, bool):
    raise ValueError(f'{name} is {value!r}; it must be True or False.')


def check_mapping(name: str, value: object) -> None:
  """Refuses what is not a mapping of names to values."""
  if not isinstance(value, Mapping):
    raise ValueError(
      f'{name} is {value!r}; it must be a mapping of names to values.'
    )


def check_options(
  what: str, function: Callable, options: Mapping[str, Any] | Iterable[str]
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
    if option in known:
      continue
    parameter = inspect.signature(function).parameters.get(option)
    if parameter is not None and parameter.default is not parameter.empty:
      raise ValueError(
        f'{what} takes {option!r} by position; options are keyword-only: put a '
        '* before it.'
      )
    raise unknown_option(what, option, known)


def check_required(
  what: str, function: Callable, options: Mapping[str, Any]
) -> None:
  """Refuses to go without an option that has no default.

  Args:
    what: what takes the options, as in a sentence.
    function: whose keyword-only arguments are the options.
    options: those given.

  Raises:
    ValueError: for the first that is missing.
  """
  for name, parameter in inspect.signature(function).parameters.items():
    is_option = parameter.kind is parameter.KEYWORD_ONLY
    is_needed = is_option and parameter.default is parameter.empty
    if is_needed and name not in options:
      raise ValueError(f'{what} needs the option {name!r}.')


def made_of(
  name: str, options: Mapping[str, Any] | None, make: Callable[..., _T]
) -> _T:
  """Calls a function with options as keywords, once they are known to fit.

  Args:
    name: of the options, for messages.
    options: keywords. If None, there are none.
    make: takes them.

  Returns:
    What the function returns.

  Raises:
    ValueError: an option that the function does not have.
  """
  options = {} if options is None else options
  check_mapping(name, options)
  known = inspect.signature(make).parameters
  for option in options:
    if option not in known:
      raise unknown_option(name, option, known)
  return make(**options)


def check_options_of(
  kind: str,
  name: str,
  options: Mapping[str, object],
  table: Mapping[str, Callable],
) -> None:
  """Raises ValueError for an option of another entry, or one that is missing.

  Args:
    kind: What the table holds, as in a sentence: `'schedule'`.
    name: Entry that was chosen.
    options: Given options.
    table: Functions by name, whose keywords are their options.
  """
  for option in options:
    if option not in options_of(table[name]):
      owners = ', '.join(
        owner
        for owner, function in table.items()
        if option in options_of(function)
      )
      raise ValueError(
        f'{kind} {name!r} has no option {option!r}; it is one of: {owners}.'
      )
  parameters = inspect.signature(table[name]).parameters
  for option in options_of(table[name]):
    is_needed = parameters[option].default is inspect.Parameter.empty
    if is_needed and option not in options:
      raise ValueError(f'{kind} {name!r} needs the option {option!r}.')


def options_of(function: Callable) -> list[str]:
  """The names of a function's keyword-only arguments."""
  return [
    name
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
  ]


def in_one_line(error: BaseException) -> str:
  """What an error says, without line breaks and not without end."""
  text = ' '.join(str(error).split())
  return text if len(text) <= 300 else text[:300] + ' ...'


def clause(error: BaseException) -> str:
  """Returns what an error says, for the middle or the end of a sentence."""
  return in_one_line(error).rstrip('.')


def _closest(name, choices):
  """What was perhaps meant, and all that there is, as text."""
  choices = sorted(choices)
  by_lower = {choice.lower(): choice for choice in choices}
  close = difflib.get_close_matches(
    str(name).lower(), by_lower, n=1, cutoff=0.6
  )
  meant = f' Did you mean {by_lower[close[0]]!r}?' if close else ''
  return meant, ', '.join(choices) or 'none'

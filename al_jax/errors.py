"""Checks of user input; messages give the value and the allowed values."""

import contextlib
import difflib
import inspect
import numbers
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

_T = TypeVar('_T')

# Largest int32, the limit of every count on a device.
MOST_COUNTED = 2**31 - 1
# Largest float32, the limit of every number on a device.
_LARGEST = float(np.finfo(np.float32).max)
# Extra of al-jax -> module -> name of the module's package on PyPI.
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
  """A part breaks its contract, so that the run cannot continue."""


class MissingPackageError(ModuleNotFoundError):
  """A package of an extra is not installed; the message names both."""


@contextlib.contextmanager
def needs(what: str) -> Iterator[None]:
  """Names the extra to install if an import inside lacks a package.

  Use it as a context, or as a decorator of a function that imports. If several
  are nested, the message names the outermost feature.

  Args:
    what: name of the requested feature, as the subject of a sentence.

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
  """Adds the name of a mapping of options to errors of a function.

  With `'makers'`, `latent is 0; ...` becomes `makers.latent is 0; ...`. A
  message that does not begin with an option is prefixed with `makers: `. A
  message that begins with the mapping's name stays unchanged.

  Args:
    name: name of the mapping of options.
    options: names of the options that the function knows.

  Yields:
    Nothing.

  Raises:
    ValueError: the function raised one; the message is prefixed.
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
  """Makes an error that lists the choices and names the closest one.

  Args:
    what: kind of the name, as in a sentence: `'strategy'`.
    name: the unknown name.
    choices: the known names.

  Returns:
    A ValueError to raise.
  """
  close, listed = _closest(name, choices)
  return ValueError(f'{what} {name!r} is not known.{close} Known: {listed}.')


def unknown_option(
  what: str, option: object, known: Iterable[str]
) -> ValueError:
  """Makes an error about an unknown option, see `unknown_name`."""
  close, listed = _closest(option, known)
  return ValueError(
    f'{what} has no option {option!r}.{close} It has: {listed}.'
  )


def check_name(what: str, name: object, choices: Iterable[str]) -> None:
  """Raises ValueError unless `name`, of any type, is one of the choices."""
  choices = list(choices)
  if not isinstance(name, str) or name not in choices:
    raise unknown_name(what, name, choices)


def check_free(who: str, name: str, extras: Iterable[str]) -> None:
  """Raises ValueError if a model already has an output of this name.

  Args:
    who: name of the part that adds the output, for the message.
    name: name of the output.
    extras: names of the model's own outputs.
  """
  if name in extras:
    raise ValueError(
      f'the model has an output {name!r} of its own, which {who} would '
      'replace: rename it.'
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
  """Raises ValueError unless a value is a number of a kind within bounds.

  Args:
    name: name of the argument.
    value: value of any type. Booleans, NaN, infinities and numbers beyond the
      range of float32 are rejected.
    kind: `int` for whole numbers only, `float` for any numbers.
    least: lower bound, included.
    above: lower bound, excluded.
    most: upper bound, included.
    below: upper bound, excluded.
    optional: whether None is allowed.

  Raises:
    ValueError: the message has the name, the value and the allowed range.
  """
  if optional and value is None:
    return
  of_kind = numbers.Integral if kind is int else numbers.Real
  if (
    isinstance(value, of_kind)
    # Python counts True as 1.
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
  """Raises ValueError unless a value is True or False."""
  if not isinstance(value, bool):
    raise ValueError(f'{name} is {value!r}; it must be True or False.')


def check_mapping(name: str, value: object) -> None:
  """Raises ValueError unless a value is a mapping."""
  if not isinstance(value, Mapping):
    raise ValueError(
      f'{name} is {value!r}; it must be a mapping of names to values.'
    )


def check_options(
  what: str, function: Callable, options: Mapping[str, Any] | Iterable[str]
) -> None:
  """Checks that a function has a keyword-only argument for each option.

  Args:
    what: name of the part with the options, for a sentence:
      `"strategy 'margin'"`.
    function: function whose keyword-only arguments are the options.
    options: names of the given options.

  Raises:
    ValueError: an option is unknown; the message names the closest known one.
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
  """Checks that all options without a default are given.

  Args:
    what: name of the part with the options, for a sentence.
    function: function whose keyword-only arguments are the options.
    options: the given options.

  Raises:
    ValueError: a required option is missing.
  """
  for name, parameter in inspect.signature(function).parameters.items():
    is_option = parameter.kind is parameter.KEYWORD_ONLY
    is_needed = is_option and parameter.default is parameter.empty
    if is_needed and name not in options:
      raise ValueError(f'{what} needs the option {name!r}.')


def made_of(
  name: str, options: Mapping[str, Any] | None, make: Callable[..., _T]
) -> _T:
  """Calls a function with options as keywords, after checking their names.

  Args:
    name: name of the options, for messages.
    options: keyword arguments. If None, there are none.
    make: function to call.

  Returns:
    The result of the function.

  Raises:
    ValueError: the function lacks an option.
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
  """Raises ValueError if an option belongs to another entry, or is missing.

  Args:
    kind: kind of the table's entries, as in a sentence: `'schedule'`.
    name: name of the chosen entry.
    options: the given options.
    table: functions by name; their keyword-only arguments are the options.
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
  """Lists the names of a function's keyword-only arguments."""
  return [
    name
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
  ]


def in_one_line(error: BaseException) -> str:
  """Returns an error's message on one line, cut to 300 characters."""
  text = ' '.join(str(error).split())
  return text if len(text) <= 300 else text[:300] + ' ...'


def clause(error: BaseException) -> str:
  """Returns an error's message without a full stop, for use in a sentence."""
  return in_one_line(error).rstrip('.')


def _closest(name, choices):
  """Returns a question about the closest choice, and all choices, as text."""
  choices = sorted(choices)
  by_lower = {choice.lower(): choice for choice in choices}
  close = difflib.get_close_matches(
    str(name).lower(), by_lower, n=1, cutoff=0.6
  )
  meant = f' Did you mean {by_lower[close[0]]!r}?' if close else ''
  return meant, ', '.join(choices) or 'none'

"""Parts by name: from a table of the library, or your own by a dotted path.

A dotted path is `my_module.my_thing`. The module is searched in the folders
given to `search_in`, by default the current one, then on `sys.path`.
"""

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from al_jax import errors

_DOTTED = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)+')
# Top-level modules without a digest.
_NOT_YOURS = ('__main__', 'al_jax', 'builtins', 'flax', 'jax')
_LONGEST_OPTION = 200
# Folders that are searched before `sys.path`; one list per process, like
# `sys.modules`.
_folders: list[str] = []
# Digests of the imported modules' files, by module name.
_digests: dict[str, str] = {}


def search_in(folders: Sequence[str | os.PathLike[str]]) -> None:
  """Sets the folders in which dotted paths are searched first.

  Args:
    folders: folders in search order. They replace those set before.
  """
  _folders[:] = [str(pathlib.Path(folder).absolute()) for folder in folders]


def searched() -> tuple[str, ...]:
  """Returns the folders in which dotted paths are searched first."""
  return tuple(_folders or [os.getcwd()])


def is_dotted(name: object) -> bool:
  """Returns whether a name is a dotted path."""
  return isinstance(name, str) and _DOTTED.fullmatch(name) is not None


def find(
  kind: str, name: object, table: Mapping[str, Callable[..., Any]]
) -> Callable[..., Any]:
  """Finds the function that makes a part, in a table or by a dotted path.

  Args:
    kind: kind of part, for messages: `'strategy'`.
    name: a key of the table, a dotted path, or a function, which is returned.
    table: the parts of the library by name.

  Returns:
    The function that makes the part.

  Raises:
    ValueError: the name is unknown, or its module cannot be imported.
  """
  if isinstance(name, str) and name in table:
    return table[name]
  if callable(name):
    return name
  if not is_dotted(name) or name.endswith('.py'):
    error = errors.unknown_name(kind, name, table)
    if isinstance(name, str) and re.search(r'\.py\b|[:/]', name):
      error = ValueError(f'{error} Name your own part my_module.my_thing.')
    raise error
  module_name, _, attribute = name.rpartition('.')
  module = _imported(kind, name, module_name)
  part = getattr(module, attribute, None)
  if not callable(part):
    names = [
      each
      for each, value in vars(module).items()
      if getattr(value, '__module__', None) == module_name and each[0] != '_'
    ]
    raise _no_function(kind, name, attribute, names)
  return part


def name_of(part: Any) -> str:
  """Returns the name of a part in records and messages.

  Args:
    part: a name; a mapping with a `name`, and options; a function; a tuple of
      functions, such as a Strategy; or another object.

  Returns:
    The name, or the dotted path of the outermost function that made the part.
    Known options follow in brackets: those of a mapping, the arguments of a
    `functools.partial`, the fields of a dataclass.
  """
  if isinstance(part, str):
    return part
  if isinstance(part, Mapping) and 'name' in part:
    given = (f'{of}={_spelled(part[of])}' for of in part if of != 'name')
    options = ', '.join(given)
    return name_of(part['name']) + (f'({options})' if options else '')
  if isinstance(part, functools.partial):
    named = (f'{name}={_spelled(of)}' for name, of in part.keywords.items())
    options = ', '.join([*map(_spelled, part.args), *named])
    return f'{name_of(part.func)}({options})'
  if isinstance(part, tuple) and any(map(callable, part)):
    return ', '.join(dict.fromkeys(map(name_of, filter(callable, part))))
  if dataclasses.is_dataclass(part) and not isinstance(part, type):
    return f'{name_of(type(part))}({_fields_of(part)})'
  owner = part if hasattr(part, '__qualname__') else type(part)
  inner = owner.__qualname__.partition('.<locals>')[0]
  return f'{owner.__module__}.{inner}'


def own_among(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """Describes the options that are objects rather than names.

  Args:
    given: options, possibly nested.

  Returns:
    Descriptions by place, such as `'learner.loss'`. `name` is the name, see
    `name_of`. `modules` has the SHA-256 of the files of the part's modules, by
    name, except `__main__`, which changes for other reasons. `options` has the
    values that the part's functions were made with, if they can be spelled.
  """
  found = {}
  for place, value in given.items():
    if callable(value) or hasattr(value, '_fields'):
      name = name_of(value)
      found[place] = {
        'name': name,
        'modules': _modules_in(name),
        'options': _made_with(value),
      }
    elif isinstance(value, Mapping | list | tuple):
      inner = value if isinstance(value, Mapping) else dict(enumerate(value))
      found |= {
        f'{place}.{below}': of for below, of in own_among(inner).items()
      }
  return found


def check_made(kind: str, name: str, made: Any, wanted: type) -> None:
  """Raises ValueError if a part's function returned another type.

  Args:
    kind: kind of part, for the message.
    name: name of the part.
    made: result of the part's function.
    wanted: required type of the result.
  """
  if not isinstance(made, wanted):
    raise ValueError(
      f'{kind} {name!r} returns {type(made).__name__}; it must return '
      f'{wanted.__module__}.{wanted.__name__}.'
    )


def digests(names: Iterable[object]) -> dict[str, str]:
  """Returns digests of the modules of your own parts.

  Args:
    names: names of parts; names without a dot are ignored.

  Returns:
    The SHA-256 of each module's own file, at the time of its import, by module
    name. Modules that it imports do not count.
  """
  modules = {name.rpartition('.')[0] for name in names if is_dotted(name)}
  return {name: _digests[name] for name in sorted(modules & set(_digests))}


def file_of(module_name: str) -> tuple[str, str]:
  """Finds the file of your own module, and imports it if necessary.

  Args:
    module_name: name of the module, as in `digests`.

  Returns:
    The path of the file, and its SHA-256 at the time of the import.

  Raises:
    ValueError: there is no such module, or it cannot be imported.
  """
  module = _imported('module', module_name, module_name)
  return getattr(module, '__file__', None) or '', _digests[module_name]


def _spelled(value: Any) -> str:
  """Spells an option without addresses in memory."""
  if isinstance(value, tuple | list) and not hasattr(value, '_fields'):
    return f'[{", ".join(map(_spelled, value))}]'
  if isinstance(value, Mapping):
    inner = (f'{name}: {_spelled(value[name])}' for name in value)
    return f'{{{", ".join(inner)}}}'
  if value is None or isinstance(value, str | int | float):
    return repr(value)
  if hasattr(value, '__array__') and hasattr(value, 'dtype'):
    content = np.ascontiguousarray(np.asarray(value))
    digest = hashlib.sha256(content.tobytes()).hexdigest()
    return f'{content.dtype}{list(content.shape)} {digest}'
  return name_of(value)


def _fields_of(part: Any) -> str:
  """Spells the fields of a dataclass that differ from their defaults."""
  return ', '.join(
    f'{field.name}={_spelled(getattr(part, field.name))}'
    for field in dataclasses.fields(part)
    # Flax adds these two fields.
    if field.name not in ('parent', 'name')
    and getattr(part, field.name) is not field.default
  )


def _made_with(part: Any) -> dict[str, str]:
  """Spells the values that the functions of a part were made with."""
  found = {}
  for function in part if isinstance(part, tuple) else [part]:
    function = inspect.unwrap(function) if callable(function) else function
    owner = getattr(function, '__self__', function)
    if dataclasses.is_dataclass(owner) and not isinstance(owner, type):
      # `name_of` already spells the fields of the part itself.
      if owner is not function:
        found[name_of(type(owner))] = _fields_of(owner)
    elif inspect.isfunction(function):
      found |= _kept_by(function)
    elif getattr(owner, '__dict__', None) and not isinstance(owner, type):
      found[name_of(type(owner))] = _shortened(_spelled(vars(owner)))
  return found


def _kept_by(function: FunctionType) -> dict[str, str]:
  """Spells a function's defaults and closure; for `__main__`, also its code.

  `__main__` has no digest of its file, because a notebook is edited often.
  """
  found = {}
  defaults = [function.__defaults__, function.__kwdefaults__]
  if any(defaults):
    found['defaults'] = _shortened(_spelled(defaults))
  if function.__module__ == '__main__':
    found['code'] = _digest_of_code(function.__code__)
  cells = function.__closure__ or ()
  for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
    with contextlib.suppress(ValueError):  # An empty cell.
      found[name] = _shortened(_spelled(cell.cell_contents))
  return found


def _digest_of_code(code: CodeType) -> str:
  """Returns the SHA-256 of a function's code, independent of its location."""

  def spelled(constant):
    if isinstance(constant, CodeType):
      return _digest_of_code(constant)
    # The order of a set of strings differs between processes.
    is_set = isinstance(constant, frozenset)
    return repr(sorted(map(repr, constant)) if is_set else constant)

  constants = [spelled(each) for each in code.co_consts]
  text = repr((code.co_code, code.co_names, constants))
  return hashlib.sha256(text.encode()).hexdigest()


def _shortened(text: str) -> str:
  """Replaces a long text, such as a list of numbers, by its SHA-256."""
  if len(text) <= _LONGEST_OPTION:
    return text
  return hashlib.sha256(text.encode()).hexdigest()


def _modules_in(name: str) -> dict[str, str]:
  """Returns the SHA-256 of each module's file that a name mentions."""
  found = {}
  for path in _DOTTED.finditer(name):
    module_name = path[0]
    while module_name and module_name not in sys.modules:
      module_name = module_name.rpartition('.')[0]
    if module_name and module_name.partition('.')[0] not in _NOT_YOURS:
      found[module_name] = _digest_of(sys.modules[module_name])
  return {
    module_name: digest for module_name, digest in found.items() if digest
  }


def _imported(kind: str, name: str, module_name: str) -> ModuleType:
  """Imports a module from the searched folders, or from `sys.path`."""
  top = module_name.partition('.')[0]
  try:
    if _is_ours(top):
      _import_top(top)
    module = importlib.import_module(module_name)
  except ModuleNotFoundError as error:
    if error.name is None or not f'{module_name}.'.startswith(f'{error.name}.'):
      raise _failed(kind, name, module_name, error) from error
    raise ValueError(
      f'{kind} {name!r}: there is no module {error.name!r} in '
      f'{", ".join(searched())}, or on sys.path.'
    ) from error
  except Exception as error:  # Importing runs arbitrary code.
    raise _failed(kind, name, module_name, error) from error
  if module_name not in _digests:
    _digests[module_name] = _digest_of(module)
  return module


def _is_ours(top: str) -> bool:
  """Returns whether a module is in a searched folder and not yet loaded."""
  spec = importlib.machinery.PathFinder.find_spec(top, searched())
  if spec is None:
    return False
  if spec.origin is None:
    # A folder without `__init__.py`. Python itself finds it on `sys.path`.
    _put_last(*(str(pathlib.Path(at).parent) for at in _locations(spec)))
    return False
  loaded = sys.modules.get(top)
  if loaded is None:
    return True
  origin = getattr(loaded, '__file__', None)
  if origin is None or not os.path.samefile(origin, spec.origin):
    raise ImportError(
      f'the name of {spec.origin} is taken by another module, '
      f'{origin or "a built-in one"}; rename your file'
    )
  return False


def _import_top(top: str) -> None:
  """Imports a module or package from the first folder that has it."""
  spec = importlib.machinery.PathFinder.find_spec(top, searched())
  folder = next(
    folder for folder in searched() if _is_below(spec.origin, folder)
  )
  _put_last(folder)
  module = importlib.util.module_from_spec(spec)
  sys.modules[top] = module
  try:
    spec.loader.exec_module(module)
  except BaseException:
    del sys.modules[top]
    raise


def _locations(spec: importlib.machinery.ModuleSpec) -> list[str]:
  return list(spec.submodule_search_locations or ())


def _put_last(*folders: str) -> None:
  """Appends folders to `sys.path`, so that they hide no other module."""
  sys.path.extend(folder for folder in folders if folder not in sys.path)


def _no_function(
  kind: str, name: str, attribute: str, names: Sequence[str]
) -> ValueError:
  """Makes an error that names the closest function of a module."""
  close = difflib.get_close_matches(attribute, names, n=1, cutoff=0.5)
  meant = f' Did you mean {close[0]!r}?' if close else ''
  return ValueError(
    f'{kind} {name!r}: the module has no function {attribute!r}.{meant} It '
    f'has: {", ".join(sorted(names)) or "none"}.'
  )


def _is_below(path: str, folder: str) -> bool:
  return pathlib.Path(path).is_relative_to(folder)


def _failed(
  kind: str, name: str, module_name: str, error: Exception
) -> ValueError:
  """Makes an error that says where importing a module failed."""
  where = ''
  if isinstance(error, SyntaxError):
    where = f' ({error.filename}, line {error.lineno})'
  for frame, line in traceback.walk_tb(error.__traceback__):
    if frame.f_globals.get('__name__') == module_name:
      where = f' ({frame.f_code.co_filename}, line {line})'
  return ValueError(
    f'{kind} {name!r}: importing {module_name} fails with '
    f'{type(error).__name__}: {errors.clause(error)}{where}.'
  )


def _digest_of(module: ModuleType) -> str:
  """Returns the SHA-256 of a module's file; empty if it has none."""
  path = getattr(module, '__file__', None)
  if path is None:
    return ''
  return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()

"""Interprets pickles of tensors without executing their code.

A pickle is a program. `pickletools` lists its instructions without running
them, and this module interprets the few that a state dict needs. A name in the
file can only select an entry from a table below.

`pickle.Unpickler` with a strict `find_class` is not safe enough: it hashes keys
that are tuples of any depth, which can crash the process, and it allocates as
much memory as an index in the file demands.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Iterable
from typing import BinaryIO, TypeVar

import ml_dtypes
import numpy as np

_T = TypeVar('_T')
_MOST_ARGUMENTS = 16
RESAVE = 'save model.state_dict() with torch.save, or its tensors as .npz'
_DTYPES = {
  'torch.bfloat16': np.dtype(ml_dtypes.bfloat16),
  'torch.bool': np.dtype('?'),
  'torch.float16': np.dtype('<f2'),
  'torch.float32': np.dtype('<f4'),
  'torch.float64': np.dtype('<f8'),
  'torch.int16': np.dtype('<i2'),
  'torch.int32': np.dtype('<i4'),
  'torch.int64': np.dtype('<i8'),
  'torch.int8': np.dtype('i1'),
  'torch.uint16': np.dtype('<u2'),
  'torch.uint32': np.dtype('<u4'),
  'torch.uint64': np.dtype('<u8'),
  'torch.uint8': np.dtype('u1'),
}
_ON_CPU = {
  'torch.BFloat16Storage': _DTYPES['torch.bfloat16'],
  'torch.BoolStorage': _DTYPES['torch.bool'],
  'torch.ByteStorage': _DTYPES['torch.uint8'],
  'torch.CharStorage': _DTYPES['torch.int8'],
  'torch.DoubleStorage': _DTYPES['torch.float64'],
  'torch.FloatStorage': _DTYPES['torch.float32'],
  'torch.HalfStorage': _DTYPES['torch.float16'],
  'torch.IntStorage': _DTYPES['torch.int32'],
  'torch.LongStorage': _DTYPES['torch.int64'],
  'torch.ShortStorage': _DTYPES['torch.int16'],
}
_STORAGES = {
  **_ON_CPU,
  **{f'torch.cuda.{name[6:]}': dtype for name, dtype in _ON_CPU.items()},
  'torch.storage.UntypedStorage': _DTYPES['torch.uint8'],
}


class RefusalError(Exception):
  """Raised for a file that is rejected; the message continues its path."""


@dataclasses.dataclass(frozen=True)
class _Global:
  """A name in the file that a table below contains."""

  name: str


@dataclasses.dataclass(frozen=True)
class Storage:
  """Bytes of the file, as the pickle declares them."""

  key: str
  dtype: np.dtype
  count: int


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A window into a storage, in elements; not yet checked."""

  storage: Storage
  dtype: np.dtype
  offset: int
  shape: tuple
  strides: tuple


class Pickle:
  """Interpreter of pickles that calls only the functions in `_FUNCTIONS`.

  Attributes:
    storages: storages that the pickles mention, by key.
  """

  def __init__(self):
    self.storages = {}

  def follow(self, file: BinaryIO) -> object:
    """Returns the object of the next pickle; the file is left after it."""
    self._stack, self._below, self._memo = [], [], {}
    for instruction, value, _ in pickletools.genops(file):
      self._step(instruction.name, value)
    (result,) = self._stack
    return result

  def _step(self, name, value):
    stack = self._stack
    match name:
      case 'PROTO' | 'FRAME' | 'STOP':
        pass
      case 'NONE':
        stack.append(None)
      case 'NEWTRUE' | 'NEWFALSE':
        stack.append(name == 'NEWTRUE')
      case 'EMPTY_DICT' | 'EMPTY_LIST' | 'EMPTY_TUPLE':
        stack.append({'DICT': {}, 'LIST': [], 'TUPLE': ()}[name[6:]])
      case 'MARK':
        self._below.append(stack)
        self._stack = []
      case 'TUPLE':
        self._marked().append(tuple(stack))
      case 'LIST':
        self._marked().append(stack)
      case 'DICT':
        self._marked().append(_put({}, _pairs(stack)))
      case 'TUPLE1' | 'TUPLE2' | 'TUPLE3':
        items = [stack.pop() for _ in range(int(name[5:]))]
        stack.append(tuple(reversed(items)))
      case 'APPEND':
        item = stack.pop()
        _extend(stack[-1], [item])
      case 'APPENDS':
        _extend(self._marked()[-1], stack)
      case 'SETITEM':
        item, key = stack.pop(), stack.pop()
        _put(stack[-1], [(key, item)])
      case 'SETITEMS':
        _put(self._marked()[-1], _pairs(stack))
      case 'GET' | 'BINGET' | 'LONG_BINGET':
        stack.append(self._memo[value])
      case 'PUT' | 'BINPUT' | 'LONG_BINPUT':
        self._memo[value] = stack[-1]
      case 'MEMOIZE':
        self._memo[len(self._memo)] = stack[-1]
      case 'BUILD':
        # Drop attributes, such as the versions of the modules.
        stack.pop()
      case _ if name in _CONSTANTS:
        stack.append(value)
      case _:
        self._name_or_call(name, value)

  def _name_or_call(self, name, value):
    stack = self._stack
    match name:
      case 'GLOBAL' | 'INST':
        stack.append(_global(value.replace(' ', '.')))
        if name == 'INST':
          raise ValueError('INST is not an instruction of a state dict')
      case 'STACK_GLOBAL':
        last, module = stack.pop(), stack.pop()
        stack.append(_global(f'{checked(module, str)}.{checked(last, str)}'))
      case 'REDUCE':
        arguments, function = checked(stack.pop(), tuple), stack.pop()
        if len(arguments) > _MOST_ARGUMENTS:
          raise ValueError(f'a call has {len(arguments)} arguments')
        stack.append(_FUNCTIONS[checked(function, _Global).name](*arguments))
      case 'BINPERSID':
        storage = _storage(*checked(stack.pop(), tuple))
        self.storages[storage.key] = storage
        stack.append(storage)
      case _:
        raise ValueError(f'{name} is not an instruction of a state dict')

  def _marked(self):
    """Restores and returns the stack below the last mark."""
    self._stack = self._below.pop()
    return self._stack


_CONSTANTS = frozenset(
  (
    *('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4'),
    *('FLOAT', 'BINFLOAT', 'STRING', 'BINSTRING', 'SHORT_BINSTRING'),
    *('UNICODE', 'SHORT_BINUNICODE', 'BINUNICODE', 'BINUNICODE8'),
    *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8'),
  )
)


def _global(name: str) -> _Global:
  if name not in _FUNCTIONS and name not in _STORAGES and name not in _DTYPES:
    raise RefusalError(
      f'asks for {name[:200]!r}, and only tensors of numbers are read; {RESAVE}'
    )
  return _Global(name)


def checked(value: object, kind: type[_T]) -> _T:
  """Returns a value of a given type; raises TypeError for any other."""
  # Not isinstance, which would accept True as a size.
  if type(value) is not kind:
    raise TypeError(f'{type(value).__name__} instead of {kind.__name__}')
  return value


def _pairs(items: list) -> Iterable:
  return zip(items[::2], items[1::2], strict=True)


def _extend(target, items):
  checked(target, list).extend(items)


def _put(target, pairs):
  """Sets entries of a dict whose keys cost little to hash."""
  checked(target, dict)
  for key, value in pairs:
    if type(key) not in (str, int, float, bool, type(None)):
      raise TypeError(f'a key is a {type(key).__name__}')
    target[key] = value
  return target


def _storage(kind, named, key, _, count, view=None):
  if kind != 'storage' or view is not None or checked(count, int) < 0:
    raise ValueError('a storage is not described as torch.save does')
  dtype = _STORAGES[checked(named, _Global).name]
  return Storage(checked(key, str), dtype, count)


def _tensor(
  storage, offset, shape, strides, grad=None, hooks=None, metadata=None
):
  del grad, hooks
  if metadata:
    raise RefusalError(f'has a tensor that is negated lazily; {RESAVE}')
  dtype = checked(storage, Storage).dtype
  return Tensor(storage, dtype, offset, shape, strides)


def _tensor_of_type(storage, offset, shape, strides, _, hooks, dtype, *rest):
  tensor = _tensor(storage, offset, shape, strides, None, hooks, *rest)
  named = checked(dtype, _Global).name
  return dataclasses.replace(tensor, dtype=_DTYPES[named])


def _ordered(pairs=None):
  """Makes an OrderedDict, from a list of pairs if Python 2 wrote the file."""
  if pairs is None:
    return {}
  mapping = _put({}, checked(pairs, list))
  # Otherwise a list in the memo could be copied without end.
  pairs.clear()
  return mapping


def _first(value, *_):
  return value


_FUNCTIONS: dict[str, Callable] = {
  'collections.OrderedDict': _ordered,
  'torch.Size': _first,
  'torch._utils._rebuild_parameter': _first,
  'torch._utils._rebuild_parameter_with_state': _first,
  'torch._utils._rebuild_tensor': _tensor,
  'torch._utils._rebuild_tensor_v2': _tensor,
  'torch._utils._rebuild_tensor_v3': _tensor_of_type,
}

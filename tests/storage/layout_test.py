import pathlib
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.storage import _layout


class Pair(NamedTuple):
  first: object
  second: object


@flax.struct.dataclass
class Struct:
  weights: object
  nothing: object


def state():
  """One leaf of every kind."""
  return {
    'pair': Pair(jnp.arange(3.0), jnp.ones((2, 2), jnp.bfloat16)),
    'struct': Struct(jnp.array([True, False]), None),
    'key': jax.random.key(3),
    'keys': jax.random.split(jax.random.key(3, impl='rbg'), 4),
    'no_keys': jax.random.split(jax.random.key(3), 2)[:0],
    'empty': jnp.zeros((0, 3), jnp.int8),
    'weak': jnp.full((2, 2), 1.5),
    'a/b%c': np.arange(4, dtype=np.int64) * 2**40,
    'python': [3, 2.5, True],
  }


def to_host(tree):
  pairs = [
    _layout.to_host(path, leaf)
    for path, leaf in zip(*_layout.flatten(tree), strict=True)
  ]
  layout = [entry for entry, _ in pairs]
  return layout, {entry.path: array for entry, array in pairs if array.size}


def assert_same(found, expected):
  """Same structure, kinds, dtypes and values."""
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for one, other in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    assert type(one) is type(other)
    if isinstance(one, jax.Array):
      assert one.aval == other.aval  # shape, dtype and weak type
      if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
        one, other = jax.random.key_data(one), jax.random.key_data(other)
    np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize('as_template', [lambda tree: tree, jax.eval_shape])
def test_every_kind_of_leaf_comes_back_as_it_was(as_template):
  template = as_template(state) if as_template is jax.eval_shape else state()
  layout, arrays = to_host(state())
  _layout.check_same(_layout.signatures(template), layout, pathlib.Path('5'))
  found = _layout.unflatten(template, layout, arrays)
  assert_same(found, state())


def test_arrays_go_where_the_template_says():
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[-1])
  template = {'x': jax.ShapeDtypeStruct((3,), jnp.float32, sharding=sharding)}
  found = _layout.unflatten(template, *to_host({'x': jnp.ones(3)}))
  assert found['x'].committed
  assert found['x'].sharding == sharding


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'key': jnp.zeros(2)}, r"state\['key'\] is key<fry>\[2\] there and float"),
    ({'empty': jnp.zeros((1, 3), jnp.int8)}, r'int8\[0, 3\] there and int8\[1'),
    ({'more': 1}, r"state\['more'\] is absent there and int32\[\] here"),
    ({'pair': ()}, r"state\['pair'\].first is float32\[3\] there and absent"),
    ({'pair': 0, 'struct': 0, 'python': 0}, '6 more'),
  ],
)
def test_a_template_of_another_state_is_told_by_what_differs(change, message):
  layout, _ = to_host(state())
  wanted = _layout.signatures({**state(), **change})
  with pytest.raises(_layout.TemplateError, match=message):
    _layout.check_same(wanted, layout, pathlib.Path('5'))


@pytest.mark.parametrize(
  'change',
  [
    lambda array: array + 1,
    lambda array: array.astype(np.float64),
    lambda array: array.reshape(1, -1),
  ],
)
def test_the_digest_tells_values_dtypes_and_shapes_apart(change):
  array = np.zeros(4, np.int64)
  assert _layout.digest({'x': array}) != _layout.digest({'x': change(array)})


def donated():
  array = jnp.ones(3)
  array.delete()
  return array


@pytest.mark.parametrize(
  ('leaf', 'message'),
  [
    ('text', 'state.x is a str'),
    (1j, 'state.x is a complex'),
    (np.array(['text']), 'state.x is a NumPy array of <U4'),
    (np.array([None]), 'state.x is a NumPy array of object'),
    (2**63, 'does not fit 64 bits'),
    (donated(), 'donated'),
  ],
)
def test_what_cannot_be_stored_is_named(leaf, message):
  with pytest.raises((TypeError, ValueError), match=message):
    _layout.check_storable('state.x', leaf)


def test_bytes_are_packed_in_the_order_of_the_layout():
  paths, leaves = _layout.flatten(state())
  layout, arrays = [], {}
  for path, leaf in zip(paths, leaves, strict=True):
    entry, array = _layout.to_host(path, leaf)
    layout.append(entry)
    if array.size:
      arrays[path] = array
  packed = _layout.pack(arrays, layout)
  assert packed.dtype == np.uint8
  again = _layout.unpack(packed, layout)
  assert _layout.digest(again) == _layout.digest(arrays)
  with pytest.raises(ValueError, match='bytes were saved'):
    _layout.unpack(np.append(packed, np.uint8(0)), layout)
  with pytest.raises(ValueError, match='broadcast'):
    _layout.unpack(packed[:-3], layout)

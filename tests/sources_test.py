import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import sources

INDEX = np.array([3, -1, 0, 6, 3, -1], np.int32)


def inputs_of(kind):
  rng = np.random.default_rng(0)
  # No zero anywhere: a row of zeros can only be padding.
  image = rng.integers(1, 256, (7, 4, 4, 3)).astype(np.uint8)
  table = rng.normal(5, 1, (7, 9)).astype(np.float32)
  kinds = {'uint8': image, 'float32': table}
  return {**kinds, 'named': {'image': image, 'table': table}}[kind]


@pytest.mark.parametrize('kind', ['uint8', 'float32', 'named'])
def test_rows_are_the_same_from_the_device_and_from_the_host(kind):
  inputs = inputs_of(kind)
  on_host = sources.gather_on_host(inputs, INDEX)
  placed = sources.place(inputs, 'device')
  on_device = jax.jit(sources.gather)(placed, INDEX)
  real = INDEX >= 0
  for leaf, host, device in zip(
    *map(jax.tree.leaves, (inputs, on_host, on_device)), strict=True
  ):
    assert leaf.dtype == host.dtype == device.dtype
    np.testing.assert_array_equal(host, device)
    np.testing.assert_array_equal(host[real], leaf[INDEX[real]])
    # Padding is zeros: -1 is not the last row, nor any other.
    assert not host[~real].any()


def test_a_batch_of_padding_is_all_zeros():
  inputs = inputs_of('float32')
  padding = np.full(3, -1, np.int32)
  for rows in (
    sources.gather(jnp.asarray(inputs), padding),
    sources.gather_on_host(inputs, padding),
  ):
    np.testing.assert_array_equal(rows, np.zeros((3, 9)))


def test_rows_of_a_mapped_file_are_copied_and_the_file_is_left_alone(tmp_path):
  inputs = inputs_of('uint8')
  np.save(tmp_path / 'inputs.npy', inputs)
  mapped = np.load(tmp_path / 'inputs.npy', mmap_mode='r')
  assert sources.place(mapped, 'host') is mapped
  rows = sources.gather_on_host(mapped, INDEX)
  assert type(rows) is np.ndarray
  rows[:] = 0
  np.testing.assert_array_equal(np.load(tmp_path / 'inputs.npy'), inputs)


def test_size_and_length_are_of_all_modalities():
  inputs = inputs_of('named')
  assert sources.num_bytes(inputs) == 7 * 4 * 4 * 3 + 7 * 9 * 4
  assert sources.length(inputs) == 7


def test_what_is_small_goes_to_the_device_and_what_is_huge_does_not():
  small = sources.place(inputs_of('named'))
  assert sources.is_on_device(small)
  # Four terabytes, of which one number is in memory.
  huge = np.broadcast_to(np.float32(1), (2**30, 2**10))
  assert sources.place(huge) is huge
  assert not sources.is_on_device(huge)


def test_what_is_where_it_is_needed_stays_there():
  inputs = sources.place(inputs_of('named'), 'device')
  again = sources.on_first(inputs)
  for before, after in zip(*map(jax.tree.leaves, (inputs, again)), strict=True):
    assert after is before


def test_a_source_is_on_the_device_if_all_of_it_is():
  inputs = inputs_of('named')
  mixed = {**inputs, 'table': jnp.asarray(inputs['table'])}
  assert not sources.is_on_device(mixed)


def test_an_unknown_placement_names_the_closest():
  with pytest.raises(ValueError, match="'devise' is not known"):
    sources.place(np.zeros(3), 'devise')


class Tensor:
  """An array of another framework, on a device, with a gradient."""

  def __init__(self, values, *, is_here=False):
    self.values, self.is_here, self.dtype = values, is_here, 'float32'

  def detach(self):
    return Tensor(self.values)

  def cpu(self):
    return Tensor(self.values, is_here=True)

  def __array__(self, dtype=None, copy=None):
    if not self.is_here:
      raise TypeError('it is on the device')
    return self.values


class OnlyDlpack:
  def __init__(self, values):
    self.__dlpack__ = values.__dlpack__
    self.__dlpack_device__ = values.__dlpack_device__


def test_arrays_of_any_framework_are_read():
  values = np.arange(6, dtype=np.float32).reshape(3, 2)
  foreign = (
    values.tolist(),
    jnp.asarray(values),
    Tensor(values),
    OnlyDlpack(values),
    jnp.asarray(values, jnp.bfloat16),
  )
  for each in foreign:
    np.testing.assert_array_equal(sources.on_host('x', each), values)
  assert sources.on_host('x', foreign[-1]).dtype == np.float32


class Negated:
  """A tensor of PyTorch whose sign is a bit that DLPack does not carry."""

  def __init__(self, values, is_negative=True):
    self._values, self._is_negative = values, is_negative

  def resolve_conj(self):
    return self

  def resolve_neg(self):
    sign = -1 if self._is_negative else 1
    return Negated(sign * self._values, is_negative=False)

  def __dlpack__(self, **options):
    return self._values.__dlpack__(**options)

  def __dlpack_device__(self):
    return self._values.__dlpack_device__()


def test_a_sign_that_is_kept_apart_is_not_lost():
  values = np.arange(3, dtype=np.float32)
  np.testing.assert_array_equal(
    sources.read_array('x', Negated(values)), -values
  )


def test_a_sign_that_pytorch_keeps_apart_is_not_lost():
  torch = pytest.importorskip('torch')
  found = sources.read_array('x', torch.tensor([1 + 2j, -3j]).conj().imag)
  np.testing.assert_array_equal(found, np.array([-2, 3], np.float32))


@pytest.mark.parametrize('value', [object(), 3.0, [[1], [1, 2]]])
def test_what_is_no_array_is_named(value):
  with pytest.raises(ValueError, match=r'^x (is a|cannot be read)'):
    sources.on_host('x', value)

import numpy as np
import pytest

from al_jax.data.sources.tfds import crc32c


def _reference(string):
  register = 0xFFFFFFFF
  for byte in string:
    register ^= byte
    for _ in range(8):
      register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
  return register ^ 0xFFFFFFFF


def test_published_values():
  # RFC 3720, appendix B.4, and the usual check value.
  strings = [b'123456789', bytes(32), b'\xff' * 32, bytes(range(32))]
  np.testing.assert_array_equal(
    crc32c.crc32c(strings), [0xE3069283, 0x8A9136AA, 0x62A8AB43, 0x46DD794E]
  )


@pytest.mark.parametrize('max_batch_bytes', [1, 2_000, 1 << 24])
def test_any_lengths_in_any_order_agree_with_the_definition(
  monkeypatch, rng, max_batch_bytes
):
  monkeypatch.setattr(crc32c, '_MAX_BATCH_BYTES', max_batch_bytes)
  lengths = [0, 1, 3, 4, 5, 251, 252, 253, 256, 1_000, 2, 508, 509]
  strings = [rng.bytes(length) for length in lengths]
  np.testing.assert_array_equal(
    crc32c.crc32c(strings), [_reference(string) for string in strings]
  )


def test_no_strings_give_no_sums():
  assert crc32c.crc32c([]).shape == (0,)

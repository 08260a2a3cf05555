"""CRC-32C (Castagnoli) of many byte strings at once, in NumPy.

TFRecord files carry this sum, and Python's standard library has only the other
polynomial. A sum is sequential in the bytes of a string but linear, so strings
are cut into chunks, all chunks are summed side by side, and the sums joined.
"""

from collections.abc import Sequence

import numpy as np

_POLYNOMIAL = 0x82F63B78  # bits reversed
_CHUNK = 256  # bytes; every chunk costs one column, every byte of it one step
# Strings summed in one go, padding included: keeps the matrix in 16 MiB.
_MAX_BATCH_BYTES = 1 << 24
# Four bytes that take a register of zeros to all ones, which is how a CRC-32C
# begins. Zeros before them change nothing, so strings can be padded in front.
_START = np.frombuffer(b'Td\x1fd', np.uint8)


def _make_table() -> np.ndarray:
  """uint32[256]: what a byte does to a register of zeros."""
  table = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    table = (table >> 1) ^ np.where(table & 1, _POLYNOMIAL, 0).astype(np.uint32)
  return table


_TABLE = _make_table()


def _step(register: np.ndarray, byte: np.ndarray | int) -> np.ndarray:
  """Registers after one more byte each."""
  return _TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)


def _make_skip() -> np.ndarray:
  """uint32[4, 256]: byte k of a register, after a chunk of zeros."""
  register = np.arange(256, dtype=np.uint32) << np.array(
    [[0], [8], [16], [24]], np.uint32
  )
  for _ in range(_CHUNK):
    register = _step(register, 0)
  return register


_SKIP = _make_skip()


def _skip_chunk(register: np.ndarray) -> np.ndarray:
  """Registers after a whole chunk of zeros each."""
  return (
    _SKIP[0][register & 0xFF]
    ^ _SKIP[1][register >> 8 & 0xFF]
    ^ _SKIP[2][register >> 16 & 0xFF]
    ^ _SKIP[3][register >> 24]
  )


def _crc32c_padded(strings: Sequence[bytes | memoryview]) -> np.ndarray:
  """Sums of strings of similar length, each padded in front to the longest."""
  longest = max(map(len, strings)) + len(_START)
  num_chunks = -(-longest // _CHUNK)
  padded = np.zeros((len(strings), num_chunks * _CHUNK), np.uint8)
  for row, string in zip(padded, strings, strict=True):
    begin = len(row) - len(string)
    row[begin - len(_START) : begin] = _START
    row[begin:] = np.frombuffer(string, np.uint8)
  # One row per position in a chunk: what a step reads lies side by side.
  columns = np.ascontiguousarray(padded.reshape(-1, _CHUNK).T)
  chunk_sums = np.zeros(columns.shape[1], np.uint32)
  for byte in columns:
    chunk_sums = _step(chunk_sums, byte)
  register = np.zeros(len(strings), np.uint32)
  for chunk_sum in chunk_sums.reshape(-1, num_chunks).T:
    register = _skip_chunk(register) ^ chunk_sum
  return ~register


def crc32c(strings: Sequence[bytes | memoryview]) -> np.ndarray:
  """CRC-32C of each string.

  Args:
    strings: byte strings of any lengths, also empty.

  Returns:
    uint32, one for each string.
  """
  sums = np.empty(len(strings), np.uint32)
  # Neighbours of similar length waste little on padding.
  order = np.argsort([len(string) for string in strings], kind='stable')[::-1]
  begin = 0
  while begin < len(order):
    longest = len(strings[order[begin]]) + len(_START) + _CHUNK
    batch = order[begin : begin + max(1, _MAX_BATCH_BYTES // longest)]
    sums[batch] = _crc32c_padded([strings[i] for i in batch])
    begin += len(batch)
  return sums

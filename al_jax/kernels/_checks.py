"""Argument checks of public kernels, and casts that kernels share.

Checks run before anything is compiled and read shapes and types only (`logits`
also reads a few rows). They raise an error whose message names the argument.
"""

import operator
from collections.abc import Callable
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

# Number of rows read to distinguish probabilities from logits.
_ROWS_LOOKED_AT = 64
# Shapes of `jax.random.PRNGKey`: threefry's and rbg's.
_RAW_KEYS = ((2,), (4,))


def count(name: str, number: SupportsIndex, *, at_least: int = 1) -> int:
  """Returns a static number as an int.

  Args:
    name: Name of the argument, for the message.
    number: Integer of any type.
    at_least: Smallest allowed value.

  Returns:
    The number.

  Raises:
    TypeError: If the number is traced or not an integer.
    ValueError: If the number is below `at_least`.
  """
  static(name, number)
  try:
    number = operator.index(number)
  except TypeError as error:
    raise TypeError(f'{name} must be an integer; got {number!r}.') from error
  if number < at_least:
    raise ValueError(f'{name} is {number}; it must be at least {at_least}.')
  return number


def static(name: str, value: Any) -> None:
  """Raises TypeError if a value is traced.

  Args:
    name: Name of the argument, for the message.
    value: Value of a static argument.

  Raises:
    TypeError: If the value is traced.
  """
  if isinstance(value, jax.core.Tracer):
    raise TypeError(
      f'{name} must be a plain number; it is traced. Make it static: '
      f'jax.jit(..., static_argnames={name!r}).'
    )


def number(
  name: str,
  value: float | jax.Array,
  allowed: str,
  holds: Callable[[float], bool],
) -> None:
  """Raises ValueError unless a plain number is allowed; accepts any JAX array.

  Args:
    name: Name of the argument, for the message.
    value: Number, maybe traced.
    allowed: Text that follows 'must be': the allowed numbers.
    holds: Function that returns whether a number is allowed.

  Raises:
    ValueError: If the value is not allowed or not a number.
  """
  if isinstance(value, jax.Array):
    return
  is_number = isinstance(value, float | int | np.number | np.ndarray)
  if not is_number or np.ndim(value) or not holds(value):
    raise ValueError(f'{name} is {value!r}; it must be {allowed}.')


def array(name: str, values: Any, wanted: str) -> jax.Array:
  """Converts values to a JAX array.

  Args:
    name: Name of the argument, for the message.
    values: Array of any kind, or nested lists.
    wanted: Text that follows 'must be': the type and shape.

  Returns:
    The array.

  Raises:
    ValueError: If the values are not an array, such as text or None.
  """
  try:
    return jnp.asarray(values)
  except (TypeError, ValueError) as error:
    raise ValueError(f'{name} must be {wanted}; got {kind(values)}.') from error


def key(value: jax.Array) -> jax.Array:
  """Returns a random key, after checking that it is a single key.

  Args:
    value: Typed key, or a key from `jax.random.PRNGKey`.

  Returns:
    The key.

  Raises:
    TypeError: If the value is anything else, such as a seed.
  """
  wanted = 'key must be a single random key, such as jax.random.key(0); got'
  if not isinstance(value, jax.Array | np.ndarray):
    raise TypeError(f'{wanted} {value!r}.')
  if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
    is_single = value.ndim == 0
  else:
    is_single = value.shape in _RAW_KEYS and value.dtype == jnp.uint32
  if not is_single:
    raise TypeError(f'{wanted} {described(value)}.')
  return value


def floats(name: str, values: jax.Array, axes: str) -> jax.Array:
  """Returns an array, after checking its type and its number of axes.

  Args:
    name: Name of the argument, for the message.
    values: Array.
    axes: Letters of the axes, such as 'N, D'.

  Returns:
    The values, not cast.

  Raises:
    ValueError: If the type is not float or the number of axes differs.
  """
  values = array(name, values, f'float [{axes}]')
  is_float = jnp.issubdtype(values.dtype, jnp.floating)
  if not is_float or values.ndim != len(axes.split(',')):
    raise ValueError(f'{name} must be float [{axes}]; got {described(values)}.')
  return values


def per_point(
  name: str, values: jax.Array, num_points: int, of: str
) -> jax.Array:
  """Returns float [N], after checking that N matches another argument.

  Args:
    name: Name of the argument, for the message.
    values: Array.
    num_points: Number of points, N.
    of: Name of the argument that has N points.

  Returns:
    The values, not cast.

  Raises:
    ValueError: If the type is not float or the shape is not [N].
  """
  values = floats(name, values, 'N')
  if len(values) != num_points:
    raise ValueError(
      f'{name} must be float [N]; got {described(values)}, while {of} has '
      f'N = {num_points}.'
    )
  return values


def mask(
  name: str, values: jax.Array | None, num_points: int, *, hint: str = ''
) -> jax.Array | None:
  """Returns a mask, after checking that it is bool[N] or None.

  Args:
    name: Name of the argument, for the message.
    values: bool[N], or None.
    num_points: Number of points, N.
    hint: Sentence added to the message if only the length is wrong.

  Returns:
    The mask as an array, or None.

  Raises:
    ValueError: If the type is not bool or the shape is not [N].
  """
  if values is None:
    return None
  values = array(name, values, 'a bool mask of shape [N]')
  wrong = f'{name} must be a bool mask of shape [N]; got {described(values)}'
  if values.dtype != jnp.bool_ or values.ndim != 1:
    raise ValueError(
      f'{wrong}. From indices: jnp.zeros(N, bool).at[ids].set(True), with '
      f'N = {num_points}.'
    )
  if len(values) != num_points:
    raise ValueError(f'{wrong}, while N is {num_points}.{hint and " " + hint}')
  return values


def logits(
  name: str,
  values: jax.Array,
  axes: str = '..., C',
  *,
  refuse_probabilities: bool = True,
) -> jax.Array:
  """Returns logits, after checking their shape and that they are logits.

  Values whose rows are in [0, 1] and sum to 1 count as probabilities. Uniform
  rows do not, since they mean the same as logits. The values of traced arrays
  are not checked.

  Args:
    name: Name of the argument, for the message.
    values: Array.
    axes: Letters of the axes; '...' stands for any number of axes.
    refuse_probabilities: False for kernels that only rank the classes.

  Returns:
    The values, not cast.

  Raises:
    ValueError: If the values are probabilities or not floats, the number of
      axes differs, or there is no class or no sample.
  """
  values = array(name, values, f'float [{axes}]')
  letters = axes.split(', ')
  is_open = '...' in letters
  least = len(letters) - is_open
  fits = values.ndim >= least if is_open else values.ndim == least
  fits = fits and jnp.issubdtype(values.dtype, jnp.floating)
  needed = [letter for letter in ('S', 'C') if letter in letters]
  for letter in needed:
    fits = fits and values.shape[0 if letter == 'S' else -1] >= 1
  if not fits:
    needs = ' and '.join(f'{letter} >= 1' for letter in needed)
    raise ValueError(
      f'{name} must be float [{axes}] with {needs}; got {described(values)}.'
    )
  if refuse_probabilities and _are_probabilities(values):
    raise ValueError(
      f'{name} look like probabilities: every row is in [0, 1] and sums to 1. '
      f'Pass log-probabilities: jnp.log({name}).'
    )
  return values


def kind(value: Any) -> str:
  """Describes an array by type and shape, anything else by its type's name."""
  is_array = isinstance(value, jax.Array | np.ndarray)
  return described(value) if is_array else type(value).__name__


def described(values: jax.Array) -> str:
  """Describes type and shape, such as 'int32[60]'."""
  return f'{values.dtype}[{", ".join(map(str, values.shape))}]'


def at_least_float32(values: jax.Array) -> jax.Array:
  """Casts floats that are narrower than float32."""
  return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def among(pickable: jax.Array, eligible: jax.Array | None) -> jax.Array:
  """Restricts `pickable`, bool[N], to a checked `eligible`, if given."""
  return pickable if eligible is None else pickable & eligible


def _are_probabilities(values):
  """Returns whether the first rows are probabilities, not all of them uniform.

  Traced arrays count as logits.
  """
  if isinstance(values, jax.core.Tracer) or not values.is_fully_addressable:
    return False
  num_classes = values.shape[-1]
  some = (0,) * (values.ndim - 2) + (slice(_ROWS_LOOKED_AT),)
  if any(device.platform != 'cpu' for device in values.devices()):
    # Copies only these rows from the accelerator.
    rows = np.asarray(values[some[: values.ndim - 1]])
  else:
    rows = np.asarray(values)[some[: values.ndim - 1]]
  rows = rows.reshape(-1, num_classes).astype(np.float64)
  if not len(rows) or not (rows >= 0).all() or not (rows <= 1.001).all():
    return False
  are_normalised = (np.abs(rows.sum(axis=1) - 1) < 1e-3).all()
  return bool(are_normalised and (np.abs(rows - 1 / num_classes) > 1e-3).any())

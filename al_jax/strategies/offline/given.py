"""Reads a user's arrays and checks them against each other."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import sources
from al_jax.strategies.offline import summary as summary_lib

FORMS = {
  'embeddings': '[N, D]',
  'logits': '[N, C]',
  'samples': '[S, N, C]',
}
_FLOAT32_BYTES = 4


class Given(NamedTuple):
  """Arrays whose shapes agree.

  Attributes:
    arrays: given arrays by the names in `FORMS`; float32, or unconverted if
      they stay on the host.
    summaries: summaries of arrays that stay on the host, by name. If None, the
      arrays are on the device.
    names: [N], ids of the examples. If None, examples are named by position.
    labeled: bool[N].
    origin: array from which N was read, for messages.
  """

  arrays: Mapping[str, np.ndarray | jax.Array]
  summaries: Mapping[str, summary_lib.Summary] | None
  names: np.ndarray | None
  labeled: np.ndarray
  origin: str


def read(
  arrays: Mapping[str, Any], labeled: Any, ids: Any, placement: str = 'auto'
) -> Given:
  """Reads and checks a user's arrays.

  Args:
    arrays: arrays by the names in `FORMS`, or None for those not given.
    labeled: bool[N], or a list of ids, or None.
    ids: [N], or None.
    placement: see `sources.place`.

  Returns:
    The Given.

  Raises:
    ValueError: If an array has the wrong type or shape, or two disagree.
  """
  found = {
    name: _numbers(name, value)
    for name, value in arrays.items()
    if value is not None
  }
  summaries = None
  if not _stay_on_host(found, placement):
    found = {name: _finite(name, array) for name, array in found.items()}
  else:
    summaries = {name: _summary(name, array) for name, array in found.items()}
  names = None if ids is None else _names(ids)
  some = None if labeled is None else _some(labeled)
  size, origin = _common_size(found, names, some)
  _check_classes(found)
  for name in {'logits', 'samples'} & set(found):
    if summaries is None:
      _check_logits(name, found[name])
    else:
      _check_logits_on_host(name, summaries[name])
  return Given(
    found, summaries, names, _mask_of(some, names, size, origin), origin
  )


def _stay_on_host(arrays, placement):
  size = sum(_FLOAT32_BYTES * array.size for array in arrays.values())
  if sources.is_placed_on_device(size, placement):
    return False
  # An array that is in memory already fits there.
  is_any_mapped = any(map(sources.is_mapped, arrays.values()))
  is_on_host = all(isinstance(each, np.ndarray) for each in arrays.values())
  return is_on_host and (is_any_mapped or placement == 'host')


def _numbers(name, value):
  """Reads an array, which must have numbers and the shape of its name."""
  array, form = sources.read_array(name, value), FORMS[name]
  is_number = jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(
    array.dtype, jnp.floating
  )
  if not is_number:
    raise ValueError(
      f'{name} are {array.dtype}; they must be numbers of shape {form}.'
    )
  if array.ndim != len(form.split(',')) or 0 in array.shape:
    hint = '; samples are [S, N, C]' if name == 'logits' else ''
    raise ValueError(
      f'{name} are {array.shape}; they must be {form}{hint}, with no axis of 0.'
    )
  return array


def by_row(name: str, array: np.ndarray) -> np.ndarray:
  """Returns a view whose first axis is N."""
  return np.moveaxis(array, 1, 0) if name == 'samples' else array


def _summary(name, array):
  """Summarises an array on the host, which must be finite as float32."""
  found = summary_lib.of(by_row(name, array))
  if not found.is_finite:
    place = summary_lib.first_not_finite(by_row(name, array))
    if name == 'samples':
      place = place[1], place[0], *place[2:]
    raise _is_not_finite(name, array, place)
  return found


def _finite(name, array):
  """Returns the array as float32, which must be finite."""
  with np.errstate(over='ignore', invalid='ignore'):
    cast = array.astype(jnp.float32, copy=False)
    view, xp = sources.viewed(cast)
    # Unlike isfinite, min and max need no memory; both propagate NaN.
    if np.isfinite(xp.min(view)) and np.isfinite(xp.max(view)):
      return cast
  place = np.unravel_index(np.argmin(np.isfinite(np.asarray(cast))), cast.shape)
  raise _is_not_finite(name, np.asarray(array), place)


def _is_not_finite(name, array, place):
  return ValueError(
    f'{name}[{", ".join(map(str, place))}] is {array[place]}; '
    'it must be a finite number of float32.'
  )


def _on_host(name, value):
  """Converts ids or a mask to NumPy; str and bytes become NumPy's text."""
  # An accelerator would round 64 bits to 32.
  value = value.cpu() if hasattr(value, 'cpu') else value
  # NumPy drops a NUL at the end of text.
  listed = isinstance(value, list | tuple | set)
  _check_no_nul(name, value if listed else ())
  array = np.asarray(sources.read_array(name, value))
  if array.dtype == object:
    _check_no_nul(name, array.flat)
    if all(isinstance(each, str) for each in array.flat):
      return array.astype(str)
  if array.dtype.kind == 'S':
    try:
      array = np.char.decode(array, 'utf-8')
    except UnicodeDecodeError as error:
      raise ValueError(
        f'{name} has {error.object!r}, which is not valid UTF-8.'
      ) from error
  if array.dtype.kind == 'U':
    _check_no_nul(name, array[np.char.find(array, '\0') >= 0])
  return array


def _check_no_nul(name, values):
  for value in values:
    if isinstance(value, str) and '\0' in value:
      raise ValueError(f'{name} has {str(value)!r}; text must have no NUL.')


def _names(ids):
  """Reads unique ids [N]: whole numbers or text."""
  names = _on_host('ids', ids)
  became_text = names.dtype.kind == 'U' and isinstance(ids, list | tuple)
  mixed = became_text and not all(isinstance(name, str) for name in ids)
  if names.ndim != 1 or names.dtype.kind not in 'iuU' or mixed:
    found = 'numbers and text' if mixed else f'{names.dtype} {names.shape}'
    raise ValueError(
      f'ids are {found}; they must be [N], all whole numbers or all text.'
    )
  _check_distinct('ids', names, 'they must differ')
  return names


def _check_distinct(name, values, allowed):
  _, first, count = np.unique(values, return_index=True, return_counts=True)
  if (count > 1).any():
    repeated = values[first[count > 1].min()].item()
    raise ValueError(f'{name} has {repeated!r} twice; {allowed}.')


def _some(labeled):
  """Reads a mask, or the ids of some examples."""
  found = _on_host('labeled', labeled)
  # An empty list has no type; an empty mask has the wrong size.
  if not found.size and found.dtype != bool:
    return np.zeros(0, np.int64)
  if found.ndim != 1 or found.dtype.kind not in 'biuU':
    raise ValueError(
      f'labeled are {found.dtype} {found.shape}; they must be a mask bool[N], '
      'or a list of ids.'
    )
  return found


def _common_size(arrays, names, labeled):
  """Returns N, on which all inputs must agree, and where it was read."""
  shapes = {name: array.shape for name, array in arrays.items()}
  if names is not None:
    shapes['ids'] = names.shape
  if labeled is not None and labeled.dtype == bool:
    shapes['labeled'] = labeled.shape
  if not shapes:
    raise ValueError(
      'nothing is given: pass embeddings [N, D], logits [N, C] or samples '
      '[S, N, C]; for random draws, ids [N].'
    )
  if set(shapes) == {'samples'} and shapes['samples'][0] > shapes['samples'][1]:
    # N comes from the samples alone, and their axes are often swapped.
    s, n, c = shapes['samples']
    raise ValueError(
      f'samples are {(s, n, c)}, which is [S, N, C] with more samples than '
      f'examples. If they are [N, S, C], pass np.swapaxes(samples, 0, 1); if N '
      f'is {n}, say so with ids=range({n}).'
    )
  # Trust samples last: their axes are the most often swapped.
  first, *others = sorted(shapes, key=lambda name: name == 'samples')
  size = shapes[first][1 if first == 'samples' else 0]
  for name in others:
    if shapes[name][1 if name == 'samples' else 0] == size:
      continue
    turned = ''
    if name == 'samples' and shapes[name][0] == size:
      turned = ', which np.swapaxes(samples, 0, 1) has'
    raise ValueError(
      f'{name} are {shapes[name]}; {first} say N is {size}: pass '
      f'{FORMS.get(name, "[N]")}{turned}.'
    )
  return size, f'{first} {shapes[first]} are {FORMS.get(first, "[N]")}'


def _check_classes(arrays):
  """Checks that C is 2 or more, and the same in logits and samples."""
  classes = {
    name: arrays[name].shape[-1]
    for name in ('logits', 'samples')
    if name in arrays
  }
  for name, number in classes.items():
    if number < 2:
      raise ValueError(
        f'{name} are {arrays[name].shape}; C must be at least 2: the logits of '
        'a sigmoid z are [0, z].'
      )
  if len(set(classes.values())) > 1:
    swapped = ''
    if (
      arrays.get('embeddings', arrays['logits']).shape[-1]
      == (classes['samples'])
    ):
      swapped = ' Are embeddings and logits swapped?'
    raise ValueError(
      f'logits have {classes["logits"]} classes and samples '
      f'{classes["samples"]}; they must have the same.{swapped}'
    )


def _check_logits(name, array):
  """Rejects probabilities, unless uniform: those mean the same as logits."""
  view, xp = sources.viewed(array)
  tolerance = summary_lib.TOLERANCE
  if xp.min(view) < 0 or xp.max(view) > 1 + tolerance:
    return
  sums_to_1 = xp.all(xp.abs(xp.sum(view, axis=-1) - 1) < tolerance)
  if sums_to_1 and xp.any(xp.abs(view - 1 / view.shape[-1]) > tolerance):
    raise _are_probabilities(name)


def _check_logits_on_host(name, summary):
  inside = summary.lowest >= 0 and summary.highest <= 1 + summary_lib.TOLERANCE
  if inside and summary.sums_to_1 and not summary.uniform:
    raise _are_probabilities(name)


def _are_probabilities(name):
  return ValueError(
    f'every row of {name} sums to 1: pass logits, not probabilities p '
    '(np.log(np.maximum(p, 1e-30)) are logits).'
  )


def _is_whole(text):
  return text.strip().removeprefix('-').isdecimal()


def _mask_of(labeled, names, size, origin):
  """Makes a mask bool[N] of a mask or of ids."""
  if labeled is None or not labeled.size:
    return np.zeros(size, bool)
  if labeled.dtype == bool:
    return labeled
  if len(labeled) == size > 2 and np.isin(labeled, (0, 1)).all():
    raise ValueError(
      f'labeled has {size} numbers, all 0 or 1; a mask must be bool[N]: pass '
      'labeled.astype(bool).'
    )
  mask = np.zeros(size, bool)
  if names is None:
    allowed = f'a mask bool[N], or distinct positions from 0 to {size - 1}'
    if labeled.dtype.kind not in 'iu':
      text = [each for each in labeled.tolist() if not _is_whole(each)]
      raise ValueError(
        f'labeled has {(text or labeled.tolist())[0]!r}, and no ids are given; '
        f'it must be {allowed}.'
      )
    _check_distinct('labeled', labeled, f'it must be {allowed}')
    wrong = (labeled < 0) | (labeled >= size)
    if wrong.any():
      raise ValueError(
        f'labeled has {labeled[wrong][0]}; it must be {allowed} ({origin}).'
      )
    mask[labeled] = True
    return mask
  _check_distinct('labeled', labeled, 'it must be a mask bool[N], or ids')
  # NumPy would compare numbers with text as text.
  are_alike = (labeled.dtype.kind in 'iu') == (names.dtype.kind in 'iu')
  known = np.isin(labeled, names) if are_alike else np.zeros(len(labeled), bool)
  if not known.all():
    raise ValueError(
      f'labeled has {labeled[~known][0].item()!r}, which is not among the ids; '
      'where ids are given, it must be a mask bool[N], or some of them.'
    )
  return np.isin(names, labeled)

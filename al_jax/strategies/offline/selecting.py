"""The front door to strategies without a learner: `al_jax.select`."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import errors, parts, strategies, xla
from al_jax.interfaces import Strategy
from al_jax.strategies import needs
from al_jax.strategies.offline import choosing, given, measuring, spread

_ARGUMENTS = (
  *('embeddings', 'logits', 'samples', 'labeled', 'ids', 'seed', 'options'),
  'placement',
)
# Arrays that meet a need; any one of them is enough.
_MET_BY = {
  needs.CLASSES: ('logits', 'samples'),
  needs.EMBEDDING: ('embeddings',),
  needs.DROPOUT: ('samples',),
}
# Errors that are clear already, or that a smaller pool avoids.
_NOT_OF_YOURS = ValueError, MemoryError, jax.errors.JaxRuntimeError


class Selected(NamedTuple):
  """Queries, in order of choice.

  Attributes:
    ids: [K], the given ids; if none were given, pool indices, int64.
    values: float[K], the score of each query when it was chosen, or its
      distance to earlier queries, which may be infinite for the first query.
      Strategies that score examples independently choose the largest first.
  """

  ids: np.ndarray
  values: np.ndarray


class _Asking(NamedTuple):
  """A strategy that is ready to select.

  Attributes:
    called: name for messages.
    strategy: the strategy itself.
    program: see `choosing.choose`.
  """

  called: str
  strategy: Strategy
  program: Callable | None = None


def select(
  strategy: str | Strategy | Callable[..., Strategy],
  k: int,
  *,
  embeddings: Any = None,
  logits: Any = None,
  samples: Any = None,
  labeled: Any = None,
  ids: Any = None,
  seed: int = 0,
  options: Mapping[str, Any] | None = None,
  placement: str = 'auto',
  **unknown: Any,
) -> Selected:
  """Selects k examples to label, given a model's outputs on the pool.

  Arrays may be lists, or come from NumPy, JAX, PyTorch or any framework with
  DLPack; float32 arrays are not copied. All arrays are checked, even those that
  the strategy does not need.

  The first call compiles; later calls of a library strategy with the same
  options, k and shapes do not. So keep labeled rows in the arrays and pass
  `labeled`: a pool that shrinks compiles at every size. A new Strategy object
  compiles again, and a function of your own is called each time.

  >>> import numpy as np
  >>> import al_jax
  >>> logits = np.array([[4.0, 0.0], [0.1, 0.0], [2.0, 0.0]])
  >>> picks = al_jax.select('margin', 2, logits=logits, ids=['a', 'b', 'c'])
  >>> picks.ids.tolist()
  ['b', 'c']

  Args:
    strategy: name in `strategies.STRATEGIES`; a dotted path to a function of
      your own that returns a Strategy; that function; or a Strategy, for
      example from `strategies.chain` or `strategies.subset`. Build a Strategy
      once and reuse it.
    k: number of queries, at most the number of unlabeled examples.
    embeddings: [N, D], the input of the last layer, or any features.
    logits: [N, C], before the softmax, or log-probabilities. If None, the log
      of the samples' mean probabilities.
    samples: [S, N, C], logits of S dropout samples, or of an ensemble of S
      networks.
    labeled: examples that have a label and are not selected: a mask bool[N], or
      a list of ids. If None, no example has a label.
    ids: [N], names of the examples: whole numbers or text; bytes are decoded as
      UTF-8. If None, examples are named by position.
    seed: seed of every random choice, from 0 to 2**32 - 1.
    options: options of the strategy, by name.
    placement: `'device'`, all arrays in the device's memory; `'host'`, NumPy
      arrays stay on the host and are read in parts; or `'auto'`, in parts if
      any is memory-mapped and they take more than 40% of the device's memory
      (4 GiB on a CPU). Arrays that are read in parts may exceed memory.
    **unknown: no other argument is allowed; the error for a misspelt name
      suggests the closest one.

  Returns:
    The Selected.

  Raises:
    ValueError: If an array has the wrong form, two arrays disagree, or an array
      that the strategy needs is missing; if float32 cannot tell the embeddings'
      distances apart; if a name or option is unknown; if a strategy of your own
      raises, with its error as the cause.
    ContractError: If a strategy of your own makes picks that are not allowed.
  """
  for name in unknown:
    raise errors.unknown_option('al_jax.select', name, _ARGUMENTS)
  errors.check_number('k', k, int, least=1)
  errors.check_number('seed', seed, int, least=0, most=2**32 - 1)
  arrays = {'embeddings': embeddings, 'logits': logits, 'samples': samples}
  found = given.read(arrays, labeled, ids, placement)
  asking = _asking(strategy, options, found.arrays)
  _check_needs(asking, found)
  _check_count(k, found)
  indices, values = _chosen(asking, found, int(k), int(seed))
  return Selected(
    indices if found.names is None else found.names[indices], values
  )


def _check_count(k, found):
  size, labeled = len(found.labeled), np.count_nonzero(found.labeled)
  if size == labeled:
    raise ValueError(
      f'all {size} examples are labeled ({found.origin}); nothing is left to '
      'select.'
    )
  if k > size - labeled:
    raise ValueError(
      f'k is {k}; it must be at most {size - labeled}, the number of unlabeled '
      f'examples: N is {size} ({found.origin}), and {labeled} are labeled.'
    )


def _chosen(asking, found, k, seed):
  """Returns the picks; errors name the strategy."""
  inputs = asking.strategy, found.arrays, found.labeled, k, seed
  try:
    if found.summaries is not None:
      return choosing.choose(*inputs, in_parts=True)
    try:
      return choosing.choose(*inputs, program=asking.program)
    except (
      jax.errors.ConcretizationTypeError,
      jax.errors.TracerArrayConversionError,
    ):
      # The select makes decisions on the host and cannot be compiled.
      return choosing.choose(*inputs)
  except choosing.NotFiniteError as error:
    (index,) = error.args
    name = index if found.names is None else found.names[index]
    absent = [each for each in given.FORMS if each not in found.arrays]
    hint = (
      f' Perhaps it reads {" or ".join(absent)}, not given.' if absent else ''
    )
    raise ValueError(
      f'strategy {asking.called} measures a number that is not finite for '
      f'example {name}.{hint}'
    ) from error
  except errors.ContractError as error:
    raise errors.ContractError(f'strategy {asking.called} {error}.') from error
  except measuring.TooLargeError as error:
    (size,) = error.args
    raise ValueError(
      f'strategy {asking.called} needs {size / 1e6:,.1f} MB of memory for its '
      'measurements, and its arrays are read in parts; '
      "if the memory is there, pass placement='device'."
    ) from error
  except measuring.LacksError as error:
    raise ValueError(_lacks(asking, str(error))) from error
  except _NOT_OF_YOURS:
    raise
  except Exception as error:  # A user's strategy may raise anything.
    if asking.program is not None:
      raise
    raise ValueError(
      f'strategy {asking.called} raises {type(error).__name__}: '
      f'{errors.clause(error)}.'
    ) from error


def _lacks(asking, output):
  return (
    f'strategy {asking.called} needs the output {output} of a model; select '
    f'takes only {", ".join(given.FORMS)}.'
  )


def _asking(strategy, options, arrays):
  """Builds a strategy by name, or wraps one of the user's."""
  if isinstance(strategy, Strategy):
    if options:
      raise ValueError(
        f'options are {dict(options)}; a Strategy has been given its own.'
      )
    return _Asking('of yours', strategy)
  options = {} if options is None else options
  errors.check_mapping('options', options)
  name, preset = _of_library(strategy)
  if name is not None:
    options = {**preset, **options}
    options = _with_samples(strategies.STRATEGIES[name], options, arrays)
    return _built(name, _Options(_frozen(options), options))
  _refuse_unknown(strategy)
  make = parts.find('strategy', strategy, strategies.STRATEGIES)
  options = _with_samples(make, dict(options), arrays)
  # A user's function may depend on more than its options: do not cache.
  made = strategies.build(strategy, options)
  return _Asking(repr(parts.name_of(strategy)), made)


def _refuse_unknown(strategy):
  """Raises for an unknown name, with advice if it is a system's."""
  if not isinstance(strategy, str) or strategy in strategies.STRATEGIES:
    return
  if '.' in strategy:
    return  # A dotted path is checked when it is imported.
  name = strategy.rpartition('+')[2]
  if name in strategies.PUBLISHED:
    name, options = strategies.PUBLISHED[name]
    raise ValueError(
      f'{strategy!r} is a system; select takes its strategy, {name!r}, with '
      f'options={options}.'
    )
  if name != strategy and name in strategies.STRATEGIES:
    raise ValueError(
      f'{strategy!r} is a system, and select trains nothing: pass its '
      f'strategy, {name!r}.'
    )
  known = strategies.without(needs.ANSWERS)
  error = errors.unknown_name('strategy', strategy, known)
  raise ValueError(
    f'{error} select trains nothing: systems with a learner of their own are '
    'for al-jax run.'
  )


def _of_library(strategy):
  """Finds a library strategy's name, and the options bound to it."""
  preset = {}
  for name, make in strategies.STRATEGIES.items():
    if strategy is make or (isinstance(strategy, str) and strategy == name):
      return name, preset
  if isinstance(strategy, functools.partial) and not strategy.args:
    name, preset = _of_library(strategy.func)
    return name, {**preset, **strategy.keywords}
  return None, preset


def _with_samples(make, options, arrays):
  """Adds the number of samples to the options, for strategies that take it."""
  try:
    number = inspect.signature(make).parameters.get('num_samples')
  except ValueError as error:
    raise ValueError(
      f'strategy is {make!r}; it must be a name, a Strategy, or a function of '
      'keywords that returns one.'
    ) from error
  if number is None:
    return options
  if 'samples' not in arrays:
    # The smallest valid number; the lack of samples is reported later.
    return {'num_samples': 2, **options} if number.default else options
  num_samples = len(arrays['samples'])
  # The default 0 means one pass without samples: keep it.
  if number.default != 0:
    if num_samples < 2 and make in strategies.STRATEGIES.values():
      raise ValueError(
        f'samples [S, N, C] are {arrays["samples"].shape}: one sample, and the '
        'strategy compares two or more.'
      )
    options.setdefault('num_samples', num_samples)
  if options.get('num_samples', 0) not in (0, num_samples):
    raise ValueError(
      f'num_samples is {options["num_samples"]}; samples are '
      f'{arrays["samples"].shape}, and S is {num_samples}.'
    )
  return options


@dataclasses.dataclass(frozen=True)
class _Options:
  """Options as a cache key."""

  frozen: Any
  given: Mapping[str, Any] = dataclasses.field(compare=False)


def _frozen(value):
  """Makes options hashable; a value that is not gets a key of its own."""
  if isinstance(value, Mapping):
    return tuple(
      (name, _frozen(value[name])) for name in sorted(value, key=str)
    )
  if isinstance(value, list | tuple):
    return tuple(map(_frozen, value))
  try:
    hash(value)
  except TypeError:
    return object()
  return type(value), value


@functools.lru_cache(maxsize=256)
def _built(name, options):
  """Builds a library strategy and its compiled program, cached."""
  made = strategies.build(name, options.given)
  program = xla.compiled_briefly(functools.partial(choosing.stage, made))
  return _Asking(repr(name), made, program)


def _check_needs(asking, found):
  arrays = found.arrays
  needed = needs.of(asking.strategy)
  if needs.ANSWERS in needed:
    raise ValueError(
      f'strategy {asking.called} needs the answers to earlier queries: '
      f'{needed[needs.ANSWERS]}. Use it in a run: al-jax run.'
    )
  for need, reason in needed.items():
    if need.startswith(needs.EXTRAS):
      raise ValueError(_lacks(asking, repr(need.removeprefix(needs.EXTRAS))))
    if set(_MET_BY[need]).isdisjoint(arrays):
      wanted = ' or '.join(
        f'{each} {given.FORMS[each]}' for each in _MET_BY[need]
      )
      why = f': {reason}' if reason else ''
      raise ValueError(
        f'strategy {asking.called} needs {wanted}{why}; given are '
        f'{", ".join(arrays) or "none"}.'
      )
  if needs.EMBEDDING not in needed:
    return
  if found.summaries is None:
    spread.check(arrays['embeddings'])
  else:
    spread.check_on_host(found.summaries['embeddings'])

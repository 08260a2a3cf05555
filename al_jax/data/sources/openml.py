"""OpenML's tables, fetched and cached by scikit-learn."""

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import sklearn.datasets

from al_jax import errors
from al_jax.data import splits
from al_jax.data.dataset import RawData
from al_jax.data.sources import tables

_DESCRIPTION_URL = 'https://www.openml.org/api/v1/json/data/'
# How long a connection may stay silent: before anything was heard of it, and
# in the midst of a download.
_REACH_SECONDS = 5.0
_SILENCE_SECONDS = 30.0


def read(
  location: str,
  *,
  version: int | None = None,
  data_home: str | None = None,
  target: str | None = None,
  test_fraction: float = 0.1,
  split_seed: int = 0,
  max_train: int | None = 50_000,
) -> RawData:
  """Reads a classification set of OpenML.

  Nominal features are encoded as ordinals, in the order in which the set
  declares their values; nothing is scaled. pandas is not needed.

  Args:
    location: the id of a data set, `'6'`, or its name, `'letter'`.
    version: of a name; None: the oldest active one.
    data_home: scikit-learn's folder of data; None: its default, which the
      environment variable SCIKIT_LEARN_DATA sets.
    target: the column of labels; None: the set's default target.
    test_fraction: the part held out (see `splits.SplitProtocol`).
    split_seed: the seed of the shuffle.
    max_train: the most examples to train on; None: all.

  Returns:
    RawData; ids are row numbers.

  Raises:
    ConnectionError: not in the cache, and OpenML cannot be reached.
    ValueError: no such set or column, or its target is no class.
  """
  protocol = splits.SplitProtocol(test_fraction, split_seed, max_train)
  protocol.check()
  is_name = not location.isdigit()
  is_wrong = not location or ' ' in location or _is_no_id(location)
  if is_wrong or (version is not None and not is_name):
    raise ValueError(
      f'openml:{location} with version={version}: give an id (6), or a name '
      '(letter) with or without a version.'
    )
  bunch = _fetch(location, version, data_home, target or 'default-target')
  _check_target(location, bunch)
  inputs = (
    bunch.data.toarray() if hasattr(bunch.data, 'toarray') else bunch.data
  )
  return splits.assemble(
    bunch.details['name'],
    {
      'train': splits.Part(
        tables.as_float32(inputs, f'openml:{location}'), bunch.target
      )
    },
    protocol,
    is_image=False,
  )


def _is_no_id(location: str) -> bool:
  """A number that is no id: 0, -1, 2.5."""
  try:
    return float(location) < 1 or not location.isdigit()
  except ValueError:
    return False


def _fetch(
  location: str,
  version: int | None,
  data_home: str | None,
  target: str | list[str],
):
  """scikit-learn's Bunch of the set, from its cache or from OpenML."""
  if location.isdigit():
    which = {'data_id': int(location)}
  else:
    which = {'name': location, 'version': version or 'active'}
  cache = Path(sklearn.datasets.get_data_home(data_home)) / 'openml'
  if not _is_cached(cache, location):
    _check_reachable(location, cache)
  try:
    with _silence_limit(_SILENCE_SECONDS):
      return sklearn.datasets.fetch_openml(
        **which,
        data_home=data_home,
        target_column=target,
        as_frame=False,
        parser='liac-arff',
        n_retries=1,
        delay=0.1,
      )
  except KeyError as error:
    if 'target_column' not in str(error):
      raise
    columns = _fetch(location, version, data_home, []).feature_names
    raise errors.unknown_name(
      f'target: the column of openml:{location}', target, columns
    ) from error
  except (OSError, http.client.HTTPException) as error:
    raise _unreachable(location, cache, error) from error
  except ValueError as error:
    raise ValueError(
      f'openml:{location}: {error} (If as_frame is the advice: save the '
      "table as .csv; 'file:PATH' reads it, and its option features leaves "
      'columns of text out.)'
    ) from error


def _check_target(location: str, bunch) -> None:
  """Raises unless the set has exactly one target."""
  if len(bunch.target_names) != 1:
    raise ValueError(
      f'openml:{location} has {len(bunch.target_names)} targets by default '
      f'({", ".join(bunch.target_names) or "none"}). The option target names '
      f'one column; features are {", ".join(bunch.feature_names)}.'
    )


def _is_cached(cache: Path, location: str) -> bool:
  """Whether scikit-learn has fetched the description of this set before."""
  names = (f'data/{location}.gz', f'data_name/{location.lower()}')
  return any(any(cache.glob(f'openml.org/**/{name}')) for name in names)


def _check_reachable(location: str, cache: Path) -> None:
  """Raises within seconds if OpenML does not answer.

  fetch_openml tries each of its first requests four times, and the look-up of
  a host name knows no time limit: hence one request, in a thread of its own.
  """
  failures = [TimeoutError(f'no answer in {_REACH_SECONDS:g} s')]

  def knock():
    try:
      urllib.request.urlopen(
        _DESCRIPTION_URL + urllib.parse.quote(location), timeout=_REACH_SECONDS
      ).close()
    except urllib.error.HTTPError:
      pass  # It answers; what it has to say, fetch_openml will hear.
    except (OSError, http.client.HTTPException) as error:
      failures[0] = error
      return
    failures.clear()

  thread = threading.Thread(target=knock, daemon=True)
  thread.start()
  thread.join(2 * _REACH_SECONDS)
  if failures:
    raise _unreachable(location, cache, failures[0])


def _unreachable(
  location: str, cache: Path, reason: Exception
) -> ConnectionError:
  """The error for a set that is neither here nor to be had."""
  return ConnectionError(
    f'openml:{location} is not in the cache {cache} and OpenML cannot be '
    f'reached ({reason}). With a network, loading it once fills the cache, '
    'and the folder can be copied (option data_home, or the environment '
    'variable SCIKIT_LEARN_DATA). A copy of the table as .csv, .npz or '
    ".parquet is read by 'file:PATH'."
  )


@contextlib.contextmanager
def _silence_limit(seconds: float) -> Iterator[None]:
  """Ends connections that stay silent: fetch_openml sets no limit."""
  before = socket.getdefaulttimeout()
  socket.setdefaulttimeout(seconds)
  try:
    yield
  finally:
    socket.setdefaulttimeout(before)

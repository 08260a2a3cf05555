"""Reads OpenML's tables, fetched and cached by scikit-learn."""

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
# Time limits for a first answer, and for silence during a download.
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
  """Reads a classification set from OpenML.

  Nominal features become ordinals, in the order in which the set declares their
  values; nothing is scaled. pandas is not needed.

  Args:
    location: id of a data set, `'6'`, or its name, `'letter'`.
    version: version of a named set. If None, the oldest active one.
    data_home: scikit-learn's data folder. If None, its default, which the
      environment variable SCIKIT_LEARN_DATA sets.
    target: column of labels. If None, the set's default target.
    test_fraction: share to hold out (see `splits.SplitProtocol`).
    split_seed: seed of the shuffle.
    max_train: maximum number of training examples. If None, all that are left.

  Returns:
    RawData; ids are row numbers.

  Raises:
    ConnectionError: If the set is not cached and OpenML cannot be reached.
    ValueError: If the set or column does not exist, or the target is not a
      class.
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
  """Returns whether a location is a number but not an id: 0, -1, 2.5."""
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
  """Returns scikit-learn's Bunch of the set, from its cache or OpenML."""
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
      f'openml:{location}: {error} (If the advice is to set as_frame, save the '
      "table as .csv instead: 'file:PATH' reads it, and its option features "
      'leaves columns of text out.)'
    ) from error


def _check_target(location: str, bunch) -> None:
  """Raises ValueError unless the set has exactly one target."""
  if len(bunch.target_names) != 1:
    raise ValueError(
      f'openml:{location} has {len(bunch.target_names)} targets by default '
      f'({", ".join(bunch.target_names) or "none"}). The option target names '
      f'one column; features are {", ".join(bunch.feature_names)}.'
    )


def _is_cached(cache: Path, location: str) -> bool:
  """Returns whether scikit-learn has cached the description of the set."""
  names = (f'data/{location}.gz', f'data_name/{location.lower()}')
  return any(any(cache.glob(f'openml.org/**/{name}')) for name in names)


def _check_reachable(location: str, cache: Path) -> None:
  """Raises ConnectionError within seconds if OpenML does not answer.

  fetch_openml tries each of its first requests four times, and looking up a
  host name has no time limit. So this sends one request in a separate thread.
  """
  failures = [TimeoutError(f'no answer in {_REACH_SECONDS:g} s')]

  def knock():
    try:
      urllib.request.urlopen(
        _DESCRIPTION_URL + urllib.parse.quote(location), timeout=_REACH_SECONDS
      ).close()
    except urllib.error.HTTPError:
      pass  # OpenML answers; fetch_openml will report the error.
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
  """Makes the error for a set that is not cached and cannot be fetched."""
  return ConnectionError(
    f'openml:{location} is not in the cache {cache} and OpenML cannot be '
    f'reached ({reason}). With a network, loading it once fills the cache, '
    'and the folder can be copied (option data_home, or the environment '
    'variable SCIKIT_LEARN_DATA). A copy of the table as .csv, .npz or '
    ".parquet is read by 'file:PATH'."
  )


@contextlib.contextmanager
def _silence_limit(seconds: float) -> Iterator[None]:
  """Limits the silence of connections, since fetch_openml does not."""
  before = socket.getdefaulttimeout()
  socket.setdefaulttimeout(seconds)
  try:
    yield
  finally:
    socket.setdefaulttimeout(before)

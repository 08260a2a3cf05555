"""Finds a TFDS set on disk, and prepares it if it is absent.

A TFDS set is `data_dir/NAME[/CONFIG]/VERSION/` with a `dataset_info.json`. We
search the disk before calling TFDS: without a network, `tfds.data_source` of an
absent set hangs for three minutes.
"""

import difflib
import importlib.util
import os
import pathlib
import re
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from absl import logging

_DATA_DIR_VARIABLE = 'TFDS_DATA_DIR'
_DEFAULT_DATA_DIR = '~/tensorflow_datasets'
_INFO_FILE = 'dataset_info.json'
_VERSION = r'\d+\.\d+\.\d+'
_PROBE_SECONDS = 5.0
_PORTS = {'ftp': 21, 'http': 80, 'https': 443}

# The same sets at OpenML, which needs no TensorFlow.
_OPENML_IDS = {
  'cifar10': 40927,
  'cifar100': 41983,
  'fashion_mnist': 40996,
  'kmnist': 41982,
  'mnist': 554,
  'svhn_cropped': 41081,
  'titanic': 40945,
}


class Wanted(NamedTuple):
  """A parsed `NAME[/CONFIG][:VERSION]`, and the folder to search.

  Attributes:
    name: TFDS name of the set, with its configuration: `'emnist/letters'`.
    version: version such as `'3.0.1'`. If None, the newest one on disk.
    data_dir: folder of all TFDS sets.
  """

  name: str
  version: str | None
  data_dir: pathlib.Path


def locate(location: str, *, data_dir: str | None = None) -> pathlib.Path:
  """Returns the folder of a set, which is prepared first if it is absent.

  Args:
    location: `NAME[/CONFIG][:VERSION]`.
    data_dir: folder of all TFDS sets. If None, the environment variable
      TFDS_DATA_DIR, or else `~/tensorflow_datasets`.

  Returns:
    A folder with a `dataset_info.json`.

  Raises:
    FileNotFoundError: If the set is absent and TensorFlow, which could prepare
      it, is not installed; the message says how to get the set.
    ConnectionError: If the set is absent and its hosts do not answer.
    RuntimeError: If TFDS fails to prepare the set.
    ValueError: If TFDS has no set of that name, or the disk has several
      configurations of it.
  """
  wanted = _parse(location, data_dir)
  found = _on_disk(wanted)
  if found is None:
    _check_name(wanted)
    if importlib.util.find_spec('tensorflow') is None:
      raise FileNotFoundError(
        f'{_absent(wanted)} Preparing it needs TensorFlow, which is not '
        "installed: install the extra 'prepare' (pip install "
        "'al-jax[prepare]') and load it again with a network"
        f'{_other_ways(wanted)}'
      )
    _prepare(wanted)
    found = _on_disk(wanted)
  if found is None:
    raise FileNotFoundError(f'TFDS reported no error. {_absent(wanted)}')
  return found


def _parse(location: str, data_dir: str | None) -> Wanted:
  pattern = rf'(\w+(?:/[\w.-]+)?)(?::({_VERSION}))?'
  match = re.fullmatch(pattern, location)
  if match is None:
    raise ValueError(
      f"'tfds:{location}' is not of the form tfds:NAME, tfds:NAME/CONFIG or "
      'tfds:NAME:VERSION, with a version like 3.0.1.'
    )
  folder = data_dir or os.environ.get(_DATA_DIR_VARIABLE) or _DEFAULT_DATA_DIR
  return Wanted(match[1], match[2], pathlib.Path(folder).expanduser())


def _versions(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the finished versions in a folder, oldest first."""
  found = [
    path.parent
    for path in folder.glob(f'*/{_INFO_FILE}')
    if re.fullmatch(_VERSION, path.parent.name)
  ]
  found.sort(key=lambda path: [int(part) for part in path.name.split('.')])
  return {path.name: path for path in found}


def _on_disk(wanted: Wanted) -> pathlib.Path | None:
  """Returns the folder of the wanted or newest version, or None."""
  folder = wanted.data_dir / wanted.name
  versions = _versions(folder)
  if not versions and '/' not in wanted.name:
    configs = sorted(
      {path.parents[1] for path in folder.glob(f'*/*/{_INFO_FILE}')}
    )
    if len(configs) > 1:
      choices = ', '.join(f'tfds:{wanted.name}/{c.name}' for c in configs)
      raise ValueError(
        f'tfds:{wanted.name} has several configurations in {folder}: choose '
        f'one of {choices}.'
      )
    versions = _versions(configs[0]) if configs else {}
  if wanted.version is None:
    return list(versions.values())[-1] if versions else None
  return versions.get(wanted.version)


def _absent(wanted: Wanted) -> str:
  """Makes a sentence on the missing set and the folder searched."""
  versions = list(_versions(wanted.data_dir / wanted.name))
  there = f' (there are versions {", ".join(versions)})' if versions else ''
  version = wanted.version or 'VERSION'
  return (
    f'The TFDS set {wanted.name!r} is not on disk: there is no '
    f'{wanted.name}/{version}/{_INFO_FILE} in {wanted.data_dir}{there}.'
  )


def _other_ways(wanted: Wanted) -> str:
  """Makes the end of a sentence, on other ways to get an absent set."""
  version = wanted.version or 'VERSION'
  number = _OPENML_IDS.get(wanted.name)
  openml = f" Or load the same set from OpenML: 'openml:{number}'."
  return (
    ', or copy a prepared folder from elsewhere to '
    f'{wanted.data_dir / wanted.name / version}, or look in another folder '
    f'with the option data_dir or the variable {_DATA_DIR_VARIABLE}.'
    + (openml if number else '')
  )


def _check_name(wanted: Wanted) -> None:
  """Raises ValueError if neither TFDS nor the disk has the name."""
  import tensorflow_datasets as tfds  # Takes half a second.

  name = wanted.name.split('/')[0]
  # By default, TFDS lists community sets too, which needs the network.
  registered = tfds.list_builders(with_community_datasets=False)
  if name in registered:
    return
  on_disk = {
    path.relative_to(wanted.data_dir).parts[0]
    for path in wanted.data_dir.glob(f'*/*/{_INFO_FILE}')
  }
  if name in on_disk:
    return
  close = difflib.get_close_matches(name, {*registered, *on_disk}, 3, 0.5)
  meant = f' Did you mean {" or ".join(map(repr, close))}?' if close else ''
  raise ValueError(
    f'TFDS set {name!r} is not known.{meant} In {wanted.data_dir}: '
    f'{", ".join(sorted(on_disk)) or "none"}; TFDS itself lists '
    f'{len(registered)} others.'
  )


def _prepare(wanted: Wanted) -> None:
  """Downloads a set and writes it as array_record."""
  import tensorflow_datasets as tfds

  name = wanted.name + (f':{wanted.version}' if wanted.version else '')
  try:
    builder = tfds.builder(
      name, data_dir=wanted.data_dir, file_format='array_record'
    )
  except Exception as error:  # any kind, for a bad version or configuration
    raise ValueError(
      f'{_absent(wanted)} TFDS cannot make it: {error}'
    ) from error
  silent = unreachable(_hosts(builder.url_infos or ()))
  if silent:
    raise ConnectionError(
      f'{_absent(wanted)} It cannot be downloaded: no answer from '
      f'{", ".join(silent)} within {_PROBE_SECONDS:g} s. Load it again with a '
      f'network{_other_ways(wanted)}'
    )
  logging.info('preparing %s in %s', name, wanted.data_dir)
  try:
    builder.download_and_prepare()
  except Exception as error:  # downloads and builders raise anything
    raise RuntimeError(
      f'{_absent(wanted)} TFDS could not prepare it: '
      f'{type(error).__name__}: {error}. Try again{_other_ways(wanted)}'
    ) from error


def _hosts(urls: Iterable[str]) -> list[str]:
  """Returns the distinct `host:port` of URLs."""
  hosts = set()
  for url in urls:
    address = urllib.parse.urlsplit(url)
    if address.hostname:
      port = address.port or _PORTS.get(address.scheme, 443)
      hosts.add(f'{address.hostname}:{port}')
  return sorted(hosts)


def unreachable(
  hosts: Sequence[str], *, seconds: float = _PROBE_SECONDS
) -> list[str]:
  """Returns the hosts that accept no connection.

  Args:
    hosts: hosts as `host:port`.
    seconds: time limit in seconds, for all hosts together.

  Returns:
    The hosts that did not answer. Behind a proxy, only the proxy is tried.
  """
  proxy = urllib.request.getproxies().get('https')
  hosts = _hosts([proxy]) if proxy and hosts else hosts
  answered: set[str] = set()
  # Daemon threads: looking up a name takes no timeout and must not delay the
  # end of the program.
  probes = [
    threading.Thread(target=_probe, args=(host, answered), daemon=True)
    for host in hosts
  ]
  deadline = time.monotonic() + seconds
  for probe in probes:
    probe.start()
  for probe in probes:
    probe.join(max(0.0, deadline - time.monotonic()))
  return [host for host in hosts if host not in answered]


def _probe(host: str, answered: set[str]) -> None:
  """Adds the host to `answered` if it accepts a connection."""
  address = urllib.parse.urlsplit(f'//{host}')
  try:
    where = (address.hostname, address.port)
    socket.create_connection(where, _PROBE_SECONDS).close()
  except (OSError, ValueError):  # ValueError: not a valid host name
    return
  answered.add(host)

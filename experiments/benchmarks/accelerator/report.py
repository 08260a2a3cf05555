"""The report of the accelerator benchmark: a page and a JSON file."""

import importlib.metadata
import json
import os
import pathlib
import platform
import sys
from collections.abc import Mapping

import jax

from experiments.benchmarks import table
from experiments.benchmarks.table import Row

_PACKAGES = (
  *('jax', 'jaxlib', 'numpy', 'scipy', 'flax', 'optax', 'orbax-checkpoint'),
  *('chex', 'scikit-learn', 'torch', 'ml-collections', 'tensorflow-datasets'),
)


def environment() -> dict[str, str]:
  """Returns the device, the host, and the versions of relevant packages."""
  device = jax.local_devices()[0]
  memory = (device.memory_stats() or {}).get('bytes_limit', 0)
  found = {
    'device': f'{jax.local_device_count()} x {device.device_kind} '
    f'({device.platform}), {memory / 1e9:.1f} GB for JAX',
    'host': f'{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, '
    f'{platform.machine()}',
    'python': platform.python_version(),
  }
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'not installed'
  return found


class Report:
  """A report in two files, which are rewritten with every row.

  A killed run leaves its measurements.

  Attributes:
    folder: folder of `gpu.md` and `gpu.json`.
  """

  def __init__(self, folder: pathlib.Path, found: Mapping[str, str]):
    """Writes a page without rows.

    Args:
      folder: folder of the files; created if missing.
      found: result of `environment`.
    """
    self.folder = folder
    self._environment = dict(found)
    self._sections: dict[str, list[Row]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    self._write()

  def add(self, section: str, row: Row) -> None:
    """Adds a row to a section."""
    self._sections.setdefault(section, []).append(row)
    self._write()

  def _write(self):
    command = ' '.join(['python', *sys.argv])
    lines = ['# On an accelerator', '', f'    {command}', '']
    lines += [f'- {name}: {at}' for name, at in self._environment.items()]
    for section, rows in self._sections.items():
      lines += ['', f'## {section}', '', f'    {table.HEADER}']
      lines += [f'    {line(row)}' for row in rows]
    text = '\n'.join(lines) + '\n'
    (self.folder / 'gpu.md').write_text(text, encoding='utf-8')
    content = {
      'command': command,
      'environment': self._environment,
      'sections': {
        section: [row._asdict() for row in rows]
        for section, rows in self._sections.items()
      },
    }
    text = json.dumps(content, indent=1)
    (self.folder / 'gpu.json').write_text(text, encoding='utf-8')


def line(row: Row) -> str:
  """Returns a row as a line; a row without a name becomes its note."""
  return table.line(row) if row.what else row.note

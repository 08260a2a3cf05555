"""Deep active learning in JAX.

The names below are imported when they are first used, so that
`import al_jax.kernels` takes no longer than its kernels do.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from al_jax import kernels, labelling, strategies, tasks, testing
  from al_jax.data import Dataset, load
  from al_jax.exporting.export import export
  from al_jax.exporting.model import load_model
  from al_jax.loop.protocol import Protocol
  from al_jax.oracle import SimulatedOracle
  from al_jax.runner.direct import run
  from al_jax.strategies.offline import Selected, select
  from al_jax.systems import build

__version__ = '0.1.0'

__all__ = [
  'Dataset',
  'Protocol',
  'Selected',
  'SimulatedOracle',
  '__version__',
  'build',
  'export',
  'kernels',
  'labelling',
  'load',
  'load_model',
  'run',
  'select',
  'strategies',
  'tasks',
  'testing',
]

# Maps each name to the module that defines it, or to the module itself.
_MODULES = {
  'Dataset': 'al_jax.data',
  'Protocol': 'al_jax.loop.protocol',
  'Selected': 'al_jax.strategies.offline',
  'SimulatedOracle': 'al_jax.oracle',
  'build': 'al_jax.systems',
  'export': 'al_jax.exporting.export',
  'kernels': 'al_jax.kernels',
  'labelling': 'al_jax.labelling',
  'load': 'al_jax.data',
  'load_model': 'al_jax.exporting.model',
  'run': 'al_jax.runner.direct',
  'select': 'al_jax.strategies.offline',
  'strategies': 'al_jax.strategies',
  'tasks': 'al_jax.tasks',
  'testing': 'al_jax.testing',
}


def __getattr__(name: str) -> Any:
  if name not in _MODULES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  from al_jax import errors

  with errors.needs(f'al_jax.{name}'):
    module = importlib.import_module(_MODULES[name])
  found = (
    module if module.__name__ == f'al_jax.{name}' else getattr(module, name)
  )
  globals()[name] = found
  return found


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})

"""What `import al_jax` gives, and what it takes."""

import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import al_jax
from al_jax import data, errors, oracle, systems
from al_jax.exporting import export, model
from al_jax.loop import protocol
from al_jax.runner import direct

# Of the names, those that are modules.
MODULES = {'labelling', 'kernels', 'strategies', 'tasks', 'testing'}
PACKAGE = pathlib.Path(al_jax.__file__).parent


def loaded_by(program):
  """The top-level modules that a process has after a program."""
  program = f'import sys\n{program}\nprint(*sys.modules)'
  run = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  return {name.partition('.')[0] for name in run.stdout.split()}


def test_the_names_are_those_of_their_modules():
  assert al_jax.load is data.load
  assert al_jax.build is systems.build
  assert al_jax.Dataset is data.Dataset
  assert al_jax.Protocol is protocol.Protocol
  assert al_jax.SimulatedOracle is oracle.SimulatedOracle
  assert al_jax.run is direct.run
  assert al_jax.export is export.export
  assert al_jax.load_model is model.load_model
  for name in MODULES:
    assert getattr(al_jax, name) is sys.modules[f'al_jax.{name}']
  assert set(al_jax.__all__) <= set(dir(al_jax))
  with pytest.raises(AttributeError, match="no attribute 'biuld'"):
    _ = al_jax.biuld


def test_no_module_shadows_a_name():
  for name in set(al_jax.__all__) - MODULES:
    assert not (PACKAGE / f'{name}.py').exists()
    assert not (PACKAGE / name).exists()


def test_the_package_alone_imports_nothing():
  assert not loaded_by('import al_jax') & {'jax', 'numpy', 'absl'}


def test_the_core_needs_no_package_of_an_extra():
  loaded = loaded_by(
    'import al_jax.interfaces, al_jax.pool, al_jax.strategies, al_jax.kernels\n'
    'from al_jax import testing\n'
    'testing.check_strategy(al_jax.strategies.random())\n'
    'testing.check_kernel(al_jax.kernels.margin, skip=["half"])'
  )
  assert 'jax' in loaded
  extras = {name for packages in errors.EXTRAS.values() for name in packages}
  assert not loaded & extras


def test_the_extras_are_those_of_the_project():
  about = tomllib.loads((PACKAGE.parent / 'pyproject.toml').read_text())
  project = about['project']
  for extra, packages in errors.EXTRAS.items():
    requirements = project['optional-dependencies'][extra]
    names = {re.match(r'[\w-]+', each).group() for each in requirements}
    assert set(packages.values()) == names, extra

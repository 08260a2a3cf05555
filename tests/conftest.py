"""Settings of the whole suite, and the data that tests share."""

import functools
import os
import pathlib
import signal
from collections.abc import Iterator

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

# It defines flags when it is imported. Within `flagsaver` they would be deleted
# at the end, and TFDS could read nothing any more.
from array_record.python import array_record_data_source  # noqa: F401

jax.config.update('jax_numpy_rank_promotion', 'raise')
# Compiled programs outlive the process: a second run of the suite is faster, in
# another checkout too. They are not among those of the user, and the processes
# that tests start share them.
jax.config.update(
  'jax_compilation_cache_dir',
  os.environ.setdefault(
    'JAX_COMPILATION_CACHE_DIR',
    str(pathlib.Path.home() / '.cache' / 'al_jax_tests'),
  ),
)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)

# The same examples in every run: what passes here passes elsewhere. To look for
# new ones: pytest -m hypothesis --hypothesis-profile=explore
hypothesis.settings.register_profile('suite', derandomize=True, deadline=None)
hypothesis.settings.register_profile('explore', deadline=None)
hypothesis.settings.load_profile('suite')


# What takes longest is begun first: xdist deals out files in this order, and at
# the end no process waits for the other.
LONGEST = (
  'devices_test.py',
  'extending_test.py',
  'docs_test.py',
  'rethinking_test.py',
  'variants_test.py',
  'colabs_test.py',
  'resume_test.py',
  'run_test.py',
  'models_test.py',
  'modalities_run_test.py',
  'kill_test.py',
)


def pytest_collection_modifyitems(items):
  places = {name: place for place, name in enumerate(LONGEST)}
  items.sort(key=lambda item: places.get(item.path.name, len(places)))


@functools.cache
def converts_float16() -> bool:
  """Whether XLA can compile half precision: on CPU that takes F16C."""
  try:
    jax.jit(lambda x: x.astype(jnp.float32))(np.ones(2, np.float16))
  except jax.errors.JaxRuntimeError:
    return False
  return True


def pytest_runtest_setup(item):
  params = item.callspec.params if hasattr(item, 'callspec') else {}
  needed = any(value is jnp.float16 for value in params.values())
  if needed and not converts_float16():
    pytest.skip('XLA cannot compile float16 for this processor')


@pytest.fixture(scope='session', autouse=True)
def hears_interrupts():
  """Started in the background of a shell, a suite ignores Ctrl-C.

  So would all that it starts; here the processes under test must hear it.
  """
  if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='module', autouse=True)
def few_programs():
  """Forgets a module's compiled programs: Linux maps 65,530 areas a process.

  On CPU each program takes several, and past the limit JAX dies of a
  segmentation fault; the suite compiles thousands.
  """
  yield
  jax.clear_caches()


@pytest.fixture(scope='session', autouse=True)
def data_cache(tmp_path_factory) -> Iterator[pathlib.Path]:
  """Data are decoded once for all tests, and for the processes they start."""
  folder = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    folder = folder.parent
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('AL_JAX_CACHE_DIR', str(folder / 'decoded'))
    yield folder / 'decoded'


@pytest.fixture(scope='session')
def tfds_dir() -> pathlib.Path:
  """Prepared TFDS data sets."""
  folder = os.environ.get('TFDS_DATA_DIR')
  if not folder or not pathlib.Path(folder).is_dir():
    pytest.skip('TFDS_DATA_DIR is not set to a folder of prepared data sets')
  return pathlib.Path(folder)


@pytest.fixture(scope='session')
def files_dir() -> pathlib.Path:
  """Data sets as plain files."""
  folder = os.environ.get('AL_JAX_FILES_DIR')
  if not folder or not pathlib.Path(folder).is_dir():
    pytest.skip('AL_JAX_FILES_DIR is not set to a folder of data files')
  return pathlib.Path(folder)


@pytest.fixture
def rng() -> np.random.Generator:
  """For test data; the same in every test."""
  return np.random.default_rng(0)

"""Data for configs that are run as they are, whether or not they are there."""

import functools
import json
import os

import jax
import pytest

from al_jax import data
from tests.configs import stand_ins

# Not every machine has them, nor a network to fetch them.
MADE_UP = ('tfds:svhn_cropped', 'tfds:cifar100')


@pytest.fixture(scope='module')
def hasty_compiler():
  """A third of the time goes into optimising programs that run for a moment."""
  name = 'jax_disable_most_optimizations'
  before = jax.config.read(name)
  jax.config.update(name, True)
  yield
  jax.config.update(name, before)


@pytest.fixture(scope='session')
def made_up(tmp_path_factory):
  """Folders of what is made up."""
  folder = tmp_path_factory.mktemp('made_up')
  stand_ins.write_openml(folder / 'openml')
  stand_ins.write_pictures(folder / 'tfds')
  return folder


@pytest.fixture
def provide(request, monkeypatch):
  """Sees to it that a source can be read, or skips the test."""

  def provide_source(source):
    scheme, _, name = source.partition(':')
    if source in MADE_UP or scheme == 'openml':
      made_up = request.getfixturevalue('made_up')
      monkeypatch.setenv('TFDS_DATA_DIR', str(made_up / 'tfds'))
      monkeypatch.setenv('SCIKIT_LEARN_DATA', str(made_up / 'openml'))
      # By its id alone the true set of OpenML would be taken for this one.
      monkeypatch.setenv('AL_JAX_CACHE_DIR', str(made_up / 'cache'))
      return
    fixture = {'tfds': 'tfds_dir', 'file': 'files_dir'}[scheme]
    folder = request.getfixturevalue(fixture)
    if not (folder / name).exists():
      pytest.skip(f'{folder} has no {name}')

  return provide_source


@pytest.fixture(scope='module')
def few_reads():
  """A set is read and transformed once for variants in a row."""
  load = data.load

  @functools.lru_cache(maxsize=2)
  def loaded(spec, folders):
    del folders
    return load(json.loads(spec))

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      data,
      'load',
      lambda spec: loaded(json.dumps(spec), os.environ.get('TFDS_DATA_DIR')),
    )
    yield

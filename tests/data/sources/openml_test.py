"""Reads from a cache folder as scikit-learn leaves it; never from OpenML."""

import gzip
import hashlib
import json
import socket
import urllib.request

import numpy as np
import pytest
import sklearn.datasets

from al_jax.data.sources import openml

# Nominal, numeric, and a column that OpenML says to ignore.
_COLUMNS = (
  ('colour', 'nominal', '{red,green,blue}'),
  ('weight', 'numeric', 'NUMERIC'),
  ('row', 'numeric', 'NUMERIC'),
  ('kind', 'nominal', '{10,9,2}'),
)
_ROWS = [
  (('red', 'green', 'blue')[i % 3], 0.5 * i, i, ('10', '9', '2')[i % 3])
  for i in range(40)
]


def _save(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  with gzip.open(path, 'wb') as file:
    file.write(content)


@pytest.fixture
def data_home(tmp_path):
  """A cache with one set, number 77, called tiny."""
  arff = '@RELATION tiny\n'
  arff += ''.join(f'@ATTRIBUTE {name} {kind}\n' for name, _, kind in _COLUMNS)
  arff += '@DATA\n' + ''.join(','.join(map(str, row)) + '\n' for row in _ROWS)
  arff = arff.encode()
  root = tmp_path / 'home' / 'openml' / 'openml.org'
  path = 'data/v1/download/77'
  description = {
    'id': '77',
    'name': 'tiny',
    'version': '1',
    'description': 'Made for a test.',
    'format': 'ARFF',
    'status': 'active',
    'file_id': '77',
    'url': f'https://www.openml.org/{path}',
    'md5_checksum': hashlib.md5(arff).hexdigest(),
    'default_target_attribute': 'kind',
  }
  features = [
    {
      'index': str(index),
      'name': name,
      'data_type': kind,
      'is_target': 'true' if name == 'kind' else 'false',
      'is_ignore': 'true' if name == 'row' else 'false',
      'is_row_identifier': 'false',
      'number_of_missing_values': '0',
    }
    for index, (name, kind, _) in enumerate(_COLUMNS)
  ]
  quality = [{'name': 'NumberOfInstances', 'value': str(len(_ROWS))}]
  found = {'data': {'dataset': [{'did': 77, 'name': 'tiny', 'version': 1}]}}
  search = 'data/list/data_name/tiny/limit/2'
  for name, content in {
    'data/77': {'data_set_description': description},
    'data/features/77': {'data_features': {'feature': features}},
    'data/qualities/77': {'data_qualities': {'quality': quality}},
    f'{search}/status/active/': found,
    f'{search}/data_version/1': found,
  }.items():
    _save(root / f'api/v1/json/{name}.gz', json.dumps(content).encode())
  _save(root / f'{path}.gz', arff)
  return str(tmp_path / 'home')


def _send_all_requests_to(port):
  """All requests of urllib go to a port of this machine."""
  proxies = dict.fromkeys(('http', 'https'), f'http://127.0.0.1:{port}')
  opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
  urllib.request.install_opener(opener)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  """Nobody listens where requests go."""
  for name in ('no_proxy', 'NO_PROXY'):
    monkeypatch.delenv(name, raising=False)
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    _send_all_requests_to(free.getsockname()[1])
  yield
  urllib.request.install_opener(None)


def test_reads_a_cached_set_and_splits_it_by_the_protocol(data_home):
  raw = openml.read('77', data_home=data_home)
  assert raw.name == 'tiny'
  assert raw.task.names == ('2', '9', '10')
  assert not raw.is_image
  assert (len(raw.train), len(raw.test)) == (36, 4)
  assert raw.train.inputs.dtype == np.float32
  assert raw.train.targets.dtype == np.int32
  for split in (raw.train, raw.test):
    # Ordinal of the colour, then the weight; nothing is scaled.
    np.testing.assert_array_equal(split.inputs[:, 0], split.ids % 3)
    np.testing.assert_array_equal(split.inputs[:, 1], 0.5 * split.ids)
    np.testing.assert_array_equal(split.targets, 2 - split.ids % 3)
  ids = np.concatenate([raw.train.ids, raw.test.ids])
  np.testing.assert_array_equal(np.sort(ids), np.arange(40))


@pytest.mark.parametrize('version', [None, 1])
def test_a_name_finds_the_same_set_as_its_number(data_home, version):
  by_name = openml.read('Tiny', version=version, data_home=data_home)
  by_number = openml.read('77', data_home=data_home)
  np.testing.assert_array_equal(by_name.train.ids, by_number.train.ids)


def test_another_column_can_be_the_target(data_home):
  raw = openml.read('77', data_home=data_home, target='colour')
  assert raw.task.names == ('blue', 'green', 'red')


def test_a_misspelt_target_names_the_closest_column(data_home):
  with pytest.raises(ValueError, match="Did you mean 'colour'"):
    openml.read('77', data_home=data_home, target='color')


def test_a_target_of_measurements_is_refused(data_home):
  with pytest.raises(ValueError, match=r'0\.5'):
    openml.read('77', data_home=data_home, target='weight')


@pytest.fixture
def no_retries(monkeypatch):
  """Fails where scikit-learn would try each request four times."""
  monkeypatch.setattr(sklearn.datasets, 'fetch_openml', None)


def test_an_absent_set_without_a_network_fails_at_once(tmp_path, no_retries):
  with pytest.raises(ConnectionError) as caught:
    openml.read('6', data_home=str(tmp_path))
  assert str(tmp_path / 'openml') in str(caught.value)
  assert 'file:PATH' in str(caught.value)


def test_a_server_that_stays_silent_is_given_up(
  tmp_path, no_retries, monkeypatch
):
  monkeypatch.setattr(openml, '_REACH_SECONDS', 0.3)
  with socket.create_server(('127.0.0.1', 0)) as silent:
    _send_all_requests_to(silent.getsockname()[1])
    # On a busy machine the thread that asks may be given up first.
    with pytest.raises(ConnectionError, match=r'timed out|no answer in 0\.3'):
      openml.read('letter', data_home=str(tmp_path))


def test_a_cache_without_the_table_says_so(data_home, tmp_path):
  (tmp_path / 'home/openml/openml.org/data/v1/download/77.gz').unlink()
  with pytest.warns(UserWarning), pytest.raises(ConnectionError, match='cache'):
    openml.read('77', data_home=data_home)


@pytest.mark.parametrize(
  ('location', 'version'),
  [('', None), ('6', 1), ('two words', None), ('-1', None), ('0', None)],
)
def test_a_location_that_names_no_set_is_refused(location, version):
  with pytest.raises(ValueError, match='give an id'):
    openml.read(location, version=version)


def test_the_time_limit_of_sockets_is_restored(data_home):
  before = socket.getdefaulttimeout()
  openml.read('77', data_home=data_home)
  assert socket.getdefaulttimeout() == before

import importlib.util
import socket
import threading

import numpy as np
import pytest
import tensorflow_datasets as tfds

from al_jax.data.sources.tfds import locate


class Preparable(tfds.core.GeneratorBasedBuilder):
  """Needs neither network nor TensorFlow to be prepared."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self, features=tfds.features.FeaturesDict({'x': np.int64})
    )

  def _split_generators(self, download_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    yield 0, {'x': 1}


class Unpreparable(Preparable):
  """Fails on the way."""

  def _generate_examples(self):
    raise KeyError('no such column')
    yield


class OutOfReach(Preparable):
  """Lies on a host that does not exist."""

  url_infos = {'http://nowhere.invalid/x.zip': None}  # noqa: RUF012


def _lay_out(root, *folders):
  for folder in folders:
    (root / folder).mkdir(parents=True)
    (root / folder / 'dataset_info.json').write_text('{}')


@pytest.fixture
def no_tensorflow(monkeypatch):
  _find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    'find_spec',
    lambda name: None if name == 'tensorflow' else _find(name),
  )


@pytest.fixture
def some_tensorflow(monkeypatch):
  # Preparing these sets does not need it, which is why they can be prepared.
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())


def test_the_newest_version_is_found_unless_one_is_named(tmp_path):
  _lay_out(tmp_path, 'a/1.9.0', 'a/1.10.0', 'a/2.0.0.incompleteXYZ')
  assert locate.locate('a', data_dir=tmp_path).name == '1.10.0'
  assert locate.locate('a:1.9.0', data_dir=tmp_path).name == '1.9.0'


def test_the_folder_is_that_of_the_option_or_the_variable_or_home(
  tmp_path, monkeypatch
):
  for root in ('option', 'variable', 'home/tensorflow_datasets'):
    _lay_out(tmp_path / root, 'a/1.0.0')
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'variable'))
  found = locate.locate('a', data_dir=str(tmp_path / 'option'))
  assert found.is_relative_to(tmp_path / 'option')
  assert locate.locate('a').is_relative_to(tmp_path / 'variable')
  monkeypatch.delenv('TFDS_DATA_DIR')
  assert locate.locate('a').is_relative_to(tmp_path / 'home')


def test_one_configuration_is_found_and_two_are_asked_about(tmp_path):
  _lay_out(tmp_path, 'a/letters/1.0.0')
  expected = tmp_path / 'a' / 'letters' / '1.0.0'
  assert locate.locate('a', data_dir=tmp_path) == expected
  assert locate.locate('a/letters:1.0.0', data_dir=tmp_path) == expected
  _lay_out(tmp_path, 'a/digits/1.0.0')
  with pytest.raises(ValueError, match='one of tfds:a/digits, tfds:a/letters'):
    locate.locate('a', data_dir=tmp_path)


@pytest.mark.parametrize('location', ['', 'a b', 'a:3', 'a:latest', '../a'])
def test_other_forms_are_refused(location):
  with pytest.raises(ValueError, match='is not of the form tfds:NAME'):
    locate.locate(location)


def test_an_absent_set_says_at_once_how_to_get_it(
  tmp_path, no_tensorflow, monkeypatch
):
  looked_up = []
  monkeypatch.setattr(
    socket, 'getaddrinfo', lambda *host, **_: looked_up.append(host) or []
  )
  with pytest.raises(FileNotFoundError) as caught:
    locate.locate('mnist', data_dir=tmp_path)
  assert not looked_up
  message = str(caught.value)
  for part in ("'prepare'", str(tmp_path), "'openml:554'", 'TFDS_DATA_DIR'):
    assert part in message


def test_an_absent_version_names_those_there_are(tmp_path, no_tensorflow):
  _lay_out(tmp_path, 'mnist/3.0.0', 'mnist/3.0.1')
  with pytest.raises(FileNotFoundError, match=r'versions 3\.0\.0, 3\.0\.1'):
    locate.locate('mnist:2.0.0', data_dir=tmp_path)


def test_an_unknown_name_names_the_closest(tmp_path):
  _lay_out(tmp_path, 'my_flowers/1.0.0')
  with pytest.raises(ValueError, match=r"'cifar100?' or"):
    locate.locate('cifar_10', data_dir=tmp_path)
  with pytest.raises(ValueError, match=r"mean 'my_flowers'.*: my_flowers;"):
    locate.locate('myflowers', data_dir=tmp_path)


def test_an_absent_set_is_prepared_as_array_record(tmp_path, some_tensorflow):
  found = locate.locate('preparable', data_dir=tmp_path)
  assert found == tmp_path / 'preparable' / '1.0.0'
  assert list(found.glob('*.array_record-*'))


def test_a_failed_preparation_names_its_cause(tmp_path, some_tensorflow):
  with pytest.raises(RuntimeError, match=r'KeyError: .*no such column'):
    locate.locate('unpreparable', data_dir=tmp_path)


def test_a_version_that_tfds_cannot_make_is_named(tmp_path, some_tensorflow):
  with pytest.raises(ValueError, match=r'cannot make it: .*version 7'):
    locate.locate('preparable:7.0.0', data_dir=tmp_path)


def test_without_a_network_preparing_is_not_tried(
  tmp_path, some_tensorflow, monkeypatch
):
  for name in ('https_proxy', 'HTTPS_PROXY'):
    monkeypatch.delenv(name, raising=False)
  # It would try again and again.
  monkeypatch.setattr(OutOfReach, 'download_and_prepare', None)
  with pytest.raises(
    ConnectionError, match=r'no answer from nowhere\.invalid:80'
  ):
    locate.locate('out_of_reach', data_dir=tmp_path)


@pytest.fixture
def listening():
  with socket.create_server(('127.0.0.1', 0)) as server:
    yield f'127.0.0.1:{server.getsockname()[1]}'


def test_a_host_is_reachable_if_it_accepts_a_connection(listening, monkeypatch):
  for name in ('https_proxy', 'HTTPS_PROXY'):
    monkeypatch.delenv(name, raising=False)
  with socket.create_server(('127.0.0.1', 0)) as closed:
    silent = f'127.0.0.1:{closed.getsockname()[1]}'
  hosts = [listening, silent, 'not a host:1']
  assert locate.unreachable(hosts) == [silent, 'not a host:1']
  assert locate.unreachable([]) == []


def test_behind_a_proxy_the_proxy_is_asked(listening, monkeypatch):
  monkeypatch.setenv('https_proxy', f'http://user:secret@{listening}')
  assert locate.unreachable(['nowhere.invalid:443']) == []


def test_looking_up_a_name_that_hangs_is_given_up(monkeypatch):
  over = threading.Event()

  def hang(*_):
    over.wait()
    return socket.socket()

  monkeypatch.setattr(socket, 'create_connection', hang)
  # Else this would never return.
  assert locate.unreachable(['a:1', 'b:1'], seconds=0.2) == ['a:1', 'b:1']
  over.set()

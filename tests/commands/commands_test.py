"""`al-jax`, called as a shell would."""

import importlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from al_jax import __main__ as command
from al_jax import commands

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.mark.parametrize('arguments', [[], ['--help'], ['-h'], ['help']])
def test_every_command_has_a_line(capsys, arguments):
  assert command.main(arguments) == 0
  told = capsys.readouterr().out
  for name, what in command.COMMANDS.items():
    assert f'  {name}' in told and what in told


def test_an_unknown_command_names_the_closest(capsys):
  assert command.main(['reprot']) == 1
  assert capsys.readouterr().err == (
    "command 'reprot' is not known. Did you mean 'report'? Known: export, "
    'label, predict, report, run, select, stream, synthesize, watch.\n'
  )


@pytest.mark.parametrize('name', command.COMMANDS)
def test_a_command_has_what_the_table_says(name):
  module = importlib.import_module(f'al_jax.commands.{name}')
  assert callable(module.main) and callable(module.parse_flags)
  assert f'al-jax {name} ' in module.__doc__
  # Of a script in that folder `import select` of the standard library would
  # find a file of that name.
  in_clone = (ROOT / 'experiments' / f'{name}.py').exists()
  assert in_clone == (name not in sys.stdlib_module_names)


def test_every_file_of_a_command_is_in_the_table():
  files = {path.stem for path in (ROOT / 'al_jax' / 'commands').glob('*.py')}
  assert files - {'__init__', 'config_flag', 'ending'} == set(command.COMMANDS)


@pytest.mark.parametrize(
  ('name', 'flags'),
  [
    ('run', ('--config', '--workers')),
    ('synthesize', ('--config', '--workers')),
    ('stream', ('--config', '--workers')),
    ('report', ()),
    ('watch', ('--port',)),
  ],
)
def test_help_of_a_command_lists_its_flags(name, flags):
  ended = subprocess.run(
    [sys.executable, '-m', 'al_jax', name, '--help'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stderr
  for text in (f'al-jax {name} ', '--workdir', *flags):
    assert text in ended.stdout


def test_a_missing_package_is_one_line(capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, 'ml_collections', None)
  for name in ('run', 'config_flag'):
    monkeypatch.delitem(sys.modules, f'al_jax.commands.{name}', raising=False)
    monkeypatch.delattr(commands, name, raising=False)
  monkeypatch.setattr(sys, 'argv', sys.argv)
  assert command.main(['run', '--workdir=x']) == 1
  assert capsys.readouterr().err == (
    'al-jax run needs ml-collections, which is not installed: '
    "pip install 'al-jax[experiments]' (in a clone: '.[experiments]')\n"
  )


@pytest.fixture(autouse=True)
def handlers_are_put_back():
  before = {
    number: signal.getsignal(number)
    for number in (signal.SIGINT, signal.SIGTERM)
  }
  yield
  for number, handler in before.items():
    signal.signal(number, handler)


def test_a_signal_during_the_imports_is_one_line():
  # The command is told to wait where it would import.
  program = (
    'import importlib, time\n'
    'def wait(name):\n'
    '  print("importing", flush=True)\n'
    '  time.sleep(600)\n'
    'from al_jax import __main__ as command, errors\n'
    'importlib.import_module = wait\n'
    'command.main(["run"])\n'
  )
  process = subprocess.Popen(
    [sys.executable, '-c', program],
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'importing\n'
  process.send_signal(signal.SIGTERM)
  _, told = process.communicate(timeout=600)
  assert (process.returncode, told) == (143, 'Stopped at once.\n')

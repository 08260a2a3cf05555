"""Uses the package as somebody does who installs it: `make package`.

Builds the wheel, installs it without extras into an environment of its own and
uses it there, from an empty folder outside the clone; then once more with the
extra `experiments`. Prints what both installations take.
"""

import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What `pip install al-jax` must be able to import, to the last module.
CORE = (
  '__main__',
  'analysis',
  'errors',
  'files',
  'inference',
  'interfaces',
  'kernels',
  'keys',
  'oracle',
  'pool',
  'sources',
  'strategies',
  'testing',
  'xla',
)
# Of a program that wants more: how the only line that counts begins.
WANTS_MORE = {
  'import al_jax; al_jax.build': 'al_jax.build',
  'import al_jax; al_jax.Protocol': 'al_jax.Protocol',
  'import al_jax; al_jax.load("digits")': 'al_jax.load',
  'import al_jax.models': 'al_jax.models',
}
TINY = (
  '--quiet',
  '--config.learner.stop.epochs=2',
  '--config.protocol.rounds=2',
  '--config.seeds=2',
)


def main() -> None:
  """Builds, installs and uses the package; removes all of it again."""
  with tempfile.TemporaryDirectory(prefix='al_jax_package_') as scratch:
    elsewhere = pathlib.Path(scratch) / 'elsewhere'
    elsewhere.mkdir()
    wheel = build_wheel(elsewhere)
    call(sys.executable, '-m', 'venv', '../venv', folder=elsewhere)
    install(wheel, '', elsewhere)
    call('python', '-P', __file__, 'core', folder=elsewhere)
    check_select(elsewhere)
    check_what_is_missing(elsewhere)
    install(wheel, '[experiments]', elsewhere)
    check_commands(elsewhere)
  print('package: all is well')


def build_wheel(folder: pathlib.Path) -> pathlib.Path:
  """Builds the wheel from a copy: what an earlier build left stays out."""
  source = folder.parent / 'source'
  leave = shutil.ignore_patterns('__pycache__')
  shutil.copytree(ROOT / 'al_jax', source / 'al_jax', ignore=leave)
  for name in ('pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  pip = (sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps')
  call(*pip, '--wheel-dir', folder.parent, source, folder=folder)
  (wheel,) = folder.parent.glob('al_jax-*.whl')
  names = zipfile.ZipFile(wheel).namelist()
  assert {name.split('/')[0].split('-')[0] for name in names} == {'al_jax'}
  data = 'py.typed', 'reporting/page.html.j2', 'pages/static/watch.html'
  assert {f'al_jax/{name}' for name in data} <= set(names)
  return wheel


def install(wheel: pathlib.Path, extras: str, folder: pathlib.Path) -> None:
  """Installs the wheel and prints the seconds and the size of everything."""
  started = time.monotonic()
  call(
    *('python', '-m', 'pip', 'install', '--quiet'),
    *('--disable-pip-version-check', f'al-jax{extras} @ {wheel.as_uri()}'),
    folder=folder,
  )
  seconds = time.monotonic() - started
  size = call('du', '-sm', '../venv', folder=folder).split()[0]
  print(f'al-jax{extras}: {seconds:.0f} s, {size} MB', flush=True)


def call(*words: object, folder: pathlib.Path, status: int = 0) -> str:
  """Runs a program in the environment.

  Args:
    *words: of the command line.
    folder: where it runs; the environment is beside it.
    status: that it must end with.

  Returns:
    What it printed: of one that failed, on stderr.
  """
  environment = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(('AL_JAX_', 'PYTHON', 'VIRTUAL_ENV'))
  }
  venv = folder.parent / 'venv'
  environment['PATH'] = f'{venv / "bin"}{os.pathsep}{environment["PATH"]}'
  environment['AL_JAX_CACHE_DIR'] = str(folder.parent / 'cache')
  # What tests/conftest.py keeps: compiling the kernels takes two minutes.
  environment.setdefault(
    'JAX_COMPILATION_CACHE_DIR',
    str(pathlib.Path.home() / '.cache' / 'al_jax_tests'),
  )
  environment['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.1'
  ended = subprocess.run(
    [str(word) for word in words],
    cwd=folder,
    env=environment,
    capture_output=True,
    text=True,
  )
  if ended.returncode != status:
    print(ended.stdout, ended.stderr, *words, file=sys.stderr)
    sys.exit(f'status {ended.returncode}, and not {status}')
  return ended.stderr if status else ended.stdout


def check_what_is_missing(folder: pathlib.Path) -> None:
  """Whoever wants more than the core reads in one line how to get it."""
  how = (
    r"needs [\w-]+, which is not installed: pip install 'al-jax\[experiments]' "
    r"\(in a clone: '\.\[experiments]'\)"
  )
  for program, what in WANTS_MORE.items():
    told = call('python', '-c', program, folder=folder, status=1)
    assert re.search(rf'Error: {what} {how}\n$', told), told
  for name in ('run', 'report'):
    told = call('al-jax', name, folder=folder, status=1)
    assert re.fullmatch(rf'al-jax {name} {how}\n', told), told
  assert 'report.html' in call('al-jax', '--help', folder=folder)


def check_select(folder: pathlib.Path) -> None:
  """Selects from a file: the only command that needs no extra."""
  (folder / 'x.csv').write_text('0,0\n0,1\n5,5\n')
  words = '--strategy=core_set', '--k=1', '--embeddings=x.csv'
  (folder / 'labeled.txt').write_text('0\n')
  told = call(
    'al-jax', 'select', *words, '--labeled=labeled.txt', folder=folder
  )
  assert told.splitlines()[1].startswith('0,2,'), told


def check_commands(folder: pathlib.Path) -> None:
  """Runs both commands, in one process and in several."""
  assert '--workers' in call('al-jax', 'run', '--help', folder=folder)
  for workdir, more in {'alone': (), 'several': ('--workers=2',)}.items():
    words = ('al-jax', 'run', f'--workdir={workdir}', *TINY, *more)
    call(*words, folder=folder)
    about = json.loads((folder / workdir / 'manifest.json').read_text())
    assert about['command'] == ' '.join(words), about['command']
    records = (folder / workdir / 'records.jsonl').read_text()
    assert records.count('\n') == 8  # two systems, seeds and rounds
  # What a run prints and keeps as its command must work.
  assert 'finished run' in call(*about['command'].split(), folder=folder)
  call('al-jax', 'report', f'--workdir={workdir}', folder=folder)
  page = (folder / workdir / 'report.html').read_text()
  assert f'al-jax report --workdir={workdir}' in page


def check_core() -> None:
  """Imports and calls everything that needs no extra."""
  import al_jax

  package = pathlib.Path(al_jax.__file__).parent
  assert package.parent.name == 'site-packages', package
  check_imports(package)
  # Behind what is installed, for the tables of the tests.
  sys.path.append(str(ROOT))
  check_kernels()
  check_strategies()


def check_imports(package: pathlib.Path) -> None:
  """Every module can be imported, or names a package of an extra."""
  from al_jax import errors

  outside = {name for packages in errors.EXTRAS.values() for name in packages}
  for path in sorted(package.rglob('*.py')):
    parts = path.relative_to(package.parent).with_suffix('').parts
    name = '.'.join(part for part in parts if part != '__init__')
    try:
      importlib.import_module(name)
    except ModuleNotFoundError as error:
      assert error.name.split('.')[0] in outside, name
      assert parts[1] not in CORE, f'{name}: {error}'
  loaded = {name.split('.')[0] for name in sys.modules} & outside
  assert not loaded, loaded


def check_kernels() -> None:
  """Every public kernel, plainly; those of a function by their example."""
  import doctest
  import inspect

  import jax

  from al_jax import kernels
  from tests import plain_calls

  calls = plain_calls.of(0)
  for name in kernels.__all__:
    kernel = getattr(kernels, name)
    if name in calls:
      jax.block_until_ready(calls[name]())
    elif not inspect.isclass(kernel):
      (example,) = doctest.DocTestFinder().find(kernel, globs={})
      result = doctest.DocTestRunner().run(example)
      assert result.attempted and not result.failed, name


def check_strategies() -> None:
  """Every strategy, with a network of plain arrays in place of a model."""
  import numpy as np

  from al_jax import strategies
  from tests.strategies import linear_network as network

  inputs = np.random.default_rng(0).normal(size=(network.N, network.D))
  pool = network.pool_with([3, 17, 5])
  given = {name: network.OPTIONS.get(name) for name in strategies.STRATEGIES}
  for name, options in [*given.items(), ('core_set', {'robust': True})]:
    picks = network.choose(
      strategies.build(name, options), inputs.astype(np.float32), pool
    )
    assert len(set(picks) - {-1, 3, 17, 5}) == network.K, (name, picks)


if __name__ == '__main__':
  check_core() if sys.argv[1:] == ['core'] else main()

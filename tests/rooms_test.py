"""The layout of the house: which room may import from which, and how large."""

import ast
import pathlib

import pytest

from al_jax.analysis.curves import BASELINE
from al_jax.learners import LEARNERS
from al_jax.strategies import STRATEGIES

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / 'al_jax'
# From left to right; a room imports from rooms to its left alone, and those of
# one line may import each other.
ROOMS = (
  ('kernels',),
  (
    'errors',
    'files',
    'interfaces',
    'keys',
    'made',
    'parts',
    'placement',
    'pool',
    'tasks',
    'xla',
    'inference',
    'sources',
  ),
  ('data',),
  ('models',),
  ('training',),
  ('learners', 'strategies'),
  ('_system', 'systems', 'oracle'),
  ('storage',),
  ('loop',),
  ('analysis',),
  ('plotting',),
  ('runner',),
  ('reporting',),
  ('labelling',),
  ('exporting',),
  ('pages',),
  ('commands', 'testing'),
  ('__main__',),
)
NAMES = {*LEARNERS, *STRATEGIES}
PLACE = {room: place for place, line in enumerate(ROOMS) for room in line}


def python_files(*folders):
  return [path for folder in folders for path in sorted(folder.rglob('*.py'))]


def module_of(path):
  parts = path.relative_to(ROOT).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {module_of(path): path for path in python_files(PACKAGE)}


def imports_of(path, *, lazy=True):
  """The modules of al_jax that a file imports."""
  tree = ast.parse(path.read_text())
  nodes = ast.walk(tree) if lazy else tree.body
  found = set()
  for node in nodes:
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      for alias in node.names:
        whole = f'{node.module}.{alias.name}'
        found.add(whole if whole in MODULES else node.module)
  return {name for name in found if name.split('.')[0] == 'al_jax'} - {'al_jax'}


def room_of(module):
  return module.split('.')[1]


@pytest.mark.parametrize('module', sorted(set(MODULES) - {'al_jax'}))
def test_a_room_imports_from_the_rooms_to_its_left(module):
  here = room_of(module)
  for other in imports_of(MODULES[module]):
    there = room_of(other)
    assert there == here or PLACE[there] <= PLACE[here], f'{other} by {module}'


def test_there_are_no_circles():
  # A package is imported with its `__init__`, which may name what is in it.
  names = {
    name: imports_of(path, lazy=False)
    for name, path in MODULES.items()
    if path.name != '__init__.py'
  }
  done, under_way = set(), []

  def visit(name):
    if name in done or name not in names:
      return
    assert name not in under_way, f'{under_way} imports {name} again'
    under_way.append(name)
    for other in sorted(names[name]):
      visit(other)
    under_way.pop()
    done.add(name)

  for name in names:
    visit(name)


def test_kernels_import_nothing_of_the_package():
  for path in python_files(PACKAGE / 'kernels'):
    assert {room_of(name) for name in imports_of(path)} <= {'kernels'}


def test_no_file_of_the_package_imports_what_stands_outside():
  outside = {'configs', 'experiments', 'colabs', 'tests'}
  for path in python_files(PACKAGE):
    for node in ast.walk(ast.parse(path.read_text())):
      names = []
      if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
      elif isinstance(node, ast.ImportFrom):
        names = [node.module]
      assert not {name.split('.')[0] for name in names} & outside, path


def named_strings(path):
  """String literals of a file that are names of learners or strategies."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Constant) and node.value in NAMES:
      yield node.value


def test_no_file_knows_a_learner_or_strategy_that_is_not_its_own():
  knows = PACKAGE / 'learners', PACKAGE / 'strategies', PACKAGE / 'systems.py'
  # The functions that kernels export have the names of what they score.
  exports = PACKAGE / 'kernels' / '__init__.py'
  found = [
    (path.relative_to(ROOT).as_posix(), name)
    for path in python_files(PACKAGE, ROOT / 'experiments' / 'diagnostics')
    if path != exports and not any(path.is_relative_to(at) for at in knows)
    for name in named_strings(path)
  ]
  # The system that a report compares with, unless it is told another.
  assert found == [('al_jax/analysis/curves.py', BASELINE)]


def test_few_files_stand_at_the_top():
  assert len(list(PACKAGE.glob('*.py'))) <= 15
  assert len(list((ROOT / 'experiments').glob('*.py'))) <= 10


def lines_without_docstring(function):
  first, *_ = function.body
  number = function.end_lineno - function.lineno + 1
  if ast.get_docstring(function) is not None:
    number -= first.end_lineno - first.lineno + 1
  return number


def test_a_function_fits_a_screen():
  long = []
  for path in python_files(PACKAGE, ROOT / 'experiments', ROOT / 'configs'):
    if path.parent == PACKAGE / 'learners':
      continue  # to be rewritten with the seams
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.FunctionDef):
        number = lines_without_docstring(node)
        if number > 60:
          long.append(f'{path.relative_to(ROOT)}: {node.name}, {number}')
  assert not long


def test_the_binaries_are_thin():
  for path in (ROOT / 'experiments').glob('*.py'):
    assert len(path.read_text().splitlines()) < 40, path

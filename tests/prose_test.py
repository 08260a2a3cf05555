"""Docstrings, comments, messages and pages are in plain English.

Looks for turns of phrase that make a reader stop. `python tests/prose_test.py
al_jax/loop README.md` lists those of some places.
"""

import ast
import io
import pathlib
import re
import sys
import tokenize

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = (
  *sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'al_jax').iterdir()
    if path.is_dir() and path.name != '__pycache__'
  ),
  'al_jax/*.py',
  'experiments',
  'configs',
  'colabs',
  'README.md',
  'docs',
)
ANYWHERE = {
  'a noun clause': r'(?i)\bwhat (is|was|are|were|has|have|had)\b',
  'a clause as a subject': r'(?:^|[.;:] )What [a-z][^?]*?[.;:](?: |$)',
  'likewise': r'(?i)\blikewise\b',
  'so many': r'(?i)\bso many\b',
  'nobody': r'(?i)\bnobody\b',
  'told': r'(?i)\btold\b',
}
OF_DOCSTRINGS = {
  'a docstring that begins "Of"': r'\A\s*Of\b',
  'an argument that is "of" something': r'^ +\*{0,2}\w+: of\b',
}


def texts_of_python(source):
  """Yields (line, text, whether it is a docstring) of a module."""
  tree = ast.parse(source)
  docstrings = set()
  for node in ast.walk(tree):
    has_docstring = (
      ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    )
    if isinstance(node, has_docstring) and ast.get_docstring(node, False):
      docstrings.add(node.body[0].value)
  for node in ast.walk(tree):
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    # One word is a name, such as that of an event.
    if is_text and ' ' in node.value:
      yield node.lineno, node.value, node in docstrings
  comments = []
  for token in tokenize.generate_tokens(io.StringIO(source).readline):
    if token.type == tokenize.COMMENT:
      follows = comments and comments[-1][1] == token.start[0] - 1
      text = token.string.lstrip('# ')
      if follows:
        line, _, before = comments.pop()
        comments.append((line, token.start[0], f'{before} {text}'))
      else:
        comments.append((token.start[0], token.start[0], text))
  for line, _, text in comments:
    yield line, text, False


def texts_of_page(text):
  """Yields (line, paragraph, False) of a page, without its code."""
  lines, is_code = [], False
  for line in text.splitlines():
    fence = line.lstrip().startswith('```')
    is_code ^= fence
    hidden = is_code or fence or line.startswith('    ')
    lines.append('' if hidden else re.sub(r'`[^`]*`', '`x`', line))
  begin = 0
  for number, line in enumerate([*lines, '']):
    if not line.strip():
      if number > begin:
        yield begin + 1, '\n'.join(lines[begin:number]), False
      begin = number + 1


def problems(text, is_docstring):
  """Yields (name, phrase) of each turn of phrase in a text."""
  flat = re.sub(r'\s+', ' ', text)
  for name, pattern in ANYWHERE.items():
    for match in re.finditer(pattern, flat):
      yield name, match.group().strip()[:70]
  if is_docstring:
    for name, pattern in OF_DOCSTRINGS.items():
      for match in re.finditer(pattern, text, re.MULTILINE):
        yield name, match.group().strip()


def found_in(path):
  """Lists the problems of a file, a line of text each."""
  texts = texts_of_page if path.suffix == '.md' else texts_of_python
  return [
    f'{path.relative_to(ROOT)}:{line}: {name}: {phrase}'
    for line, text, is_docstring in texts(path.read_text())
    for name, phrase in problems(text, is_docstring)
  ]


def files_of(place):
  if '*' in place:
    return sorted(ROOT.glob(place))
  path = ROOT / place
  if path.is_file():
    return [path]
  return sorted([*path.rglob('*.py'), *path.rglob('*.md')])


@pytest.mark.parametrize('place', FOLDERS)
def test_the_english_is_plain(place):
  files = files_of(place)
  assert files
  assert [line for file in files for line in found_in(file)] == []


def test_each_turn_of_phrase_is_seen():
  source = '''"""Of a run."""
def f(a):
  """Does.

  What is given counts. What nothing reaches is left.

  Args:
    a: of b. Likewise so many, and nobody was told.
  """
'''
  found = {
    name
    for _, text, is_docstring in texts_of_python(source)
    for name, _ in problems(text, is_docstring)
  }
  assert found == {*ANYWHERE, *OF_DOCSTRINGS}


if __name__ == '__main__':
  for given in sys.argv[1:]:
    for file in files_of(given):
      for problem in found_in(file):
        print(problem)

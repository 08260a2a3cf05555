"""Runs the code and the commands of README.md and of the guides."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from sklearn import datasets

ROOT = pathlib.Path(__file__).parent.parent
# docs/extending.md is run by tests/extending_test.py.
GUIDES = (
  'coming_from',
  'devices',
  'export',
  'glossary',
  'my_data',
  'report',
)
# Of these pages the code goes on from what their commands write.
AFTER = ('export',)
PAGES = [ROOT / 'README.md', *(ROOT / 'docs' / f'{name}.md' for name in GUIDES)]
# Options that make a command of a page short.
SHORTER = (
  '--quiet',
  '--config.seeds=1',
  '--config.learner.stop.epochs=2',
  '--config.protocol.rounds=2',
)


def blocks(page):
  """The code of a page, in order."""
  return re.findall(r'^```python\n(.*?)^```', page.read_text(), re.M | re.S)


def commands(page):
  """The commands of a page: their settings of the environment, and words."""
  lines = re.findall(
    r'^    ((?:\w+=\S+ )*)al-jax (.*)$', page.read_text(), re.M
  )
  return [
    (dict(each.split('=', 1) for each in settings.split()), words.split())
    for settings, words in lines
  ]


@pytest.mark.parametrize(
  'page',
  [page for page in PAGES if blocks(page) and page.stem not in AFTER],
  ids=lambda page: page.stem,
)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  run_blocks(page)


def run_blocks(page):
  """Runs the code of a page, in order."""
  names = {'__name__': page.stem}
  for number, code in enumerate(blocks(page), start=1):
    exec(compile(code, f'{page.name}, block {number}', 'exec'), names)


@pytest.mark.parametrize('guide', GUIDES)
def test_the_commands_of_a_guide_run(guide, tmp_path, monkeypatch):
  wine = datasets.load_wine(as_frame=True).frame
  wine.to_csv(tmp_path / 'wine.csv', index=False)
  for settings, words in commands(ROOT / 'docs' / f'{guide}.md'):
    shorter = SHORTER if words[0] == 'run' else ()
    ended = subprocess.run(
      [sys.executable, '-m', 'al_jax', *words, *shorter],
      cwd=tmp_path,
      env={**os.environ, 'PYTHONPATH': str(ROOT), **settings},
      capture_output=True,
      text=True,
      check=False,
    )
    assert ended.returncode == 0, ended.stderr
  if guide in AFTER:
    monkeypatch.chdir(tmp_path)
    run_blocks(ROOT / 'docs' / f'{guide}.md')


def test_every_page_is_linked_from_the_readme():
  linked = set(
    re.findall(r'\((docs/\w+\.md)', (ROOT / 'README.md').read_text())
  )
  pages = {f'docs/{page.name}' for page in (ROOT / 'docs').glob('*.md')}
  assert pages <= linked


def test_links_between_pages_lead_somewhere():
  for page in [ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')]:
    for link in re.findall(r'\]\(([^)#\s]+)', page.read_text()):
      if '://' not in link:
        assert (page.parent / link).exists(), f'{page.name}: {link}'

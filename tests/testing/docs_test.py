"""Runs the example of docs/contracts.md, and looks for every rule there."""

import pathlib
import re

from al_jax import testing

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'contracts.md'


def test_the_example_runs(capsys):
  (example,) = re.findall(
    r'^```python\n(.*?)^```', PAGE.read_text(), re.M | re.S
  )
  exec(example, {})
  told = capsys.readouterr().out
  assert re.findall(r'^the \w+: (\d+) of \1 rules kept$', told, re.M) == [
    '12',
    '8',
  ]


def test_the_page_names_every_rule():
  page = PAGE.read_text()
  rules = {
    *testing.strategy.RULES,
    *testing.learner.RULES,
    *testing.kernel.SCORE_RULES,
  }
  assert not {rule for rule in rules if f'`{rule}`' not in page}

"""What the binary does with its arguments."""

import importlib
import sys
import types

import pytest
from absl import app

from experiments.benchmarks import suites
from experiments.benchmarks.table import Row


@pytest.mark.parametrize('arguments', [[], ['trainning'], ['training', 'x']])
def test_an_unknown_benchmark_is_refused(arguments):
  with pytest.raises(app.UsageError, match='training'):
    suites.main(['benchmark', *arguments])


def test_the_rows_of_a_suite_are_printed(monkeypatch, capsys):
  suite = types.SimpleNamespace(measure=lambda: iter([Row('one', 1.5)]))
  monkeypatch.setitem(sys.modules, suites.SUITES['imagenet'], suite)
  suites.main(['benchmark', 'imagenet'])
  header, row = capsys.readouterr().out.splitlines()
  assert header.startswith('what')
  assert row.split() == ['one', '1.50', 's']


def test_without_pytorch_one_sentence_says_so(monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  for module in ('training', 'steps', 'torch_reference'):
    name = f'experiments.benchmarks.{module}'
    monkeypatch.delitem(sys.modules, name, raising=False)
  with pytest.raises(SystemExit, match=r'needs PyTorch.*\[benchmark\]'):
    suites.main(['benchmark', 'training'])


@pytest.mark.parametrize(
  'name', ['watching', 'kernels', 'covering', 'calls', 'imagenet']
)
def test_a_suite_yields_rows(name):
  assert callable(importlib.import_module(suites.SUITES[name]).measure)

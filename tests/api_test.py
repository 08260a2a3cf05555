"""What holds of every public kernel: arguments, docstring, example, imports."""

import doctest
import inspect
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import kernels, xla
from tests import plain_calls

FUNCTIONS = {
  name: getattr(kernels, name)
  for name in kernels.__all__
  if not inspect.isclass(getattr(kernels, name))
}
every_function = pytest.mark.parametrize(
  'function', FUNCTIONS.values(), ids=FUNCTIONS
)
# The kinds of positional argument, in the order they come in. What is not
# named here is an array.
KINDS = ['random key', 'function or state', 'array', 'mask', 'static number']
KIND_OF = {
  'key': 'random key',
  'loss_fn': 'function or state',
  'state': 'function or state',
  'params': 'function or state',
  'eligible': 'mask',
  'labeled': 'mask',
  'k': 'static number',
  'num_classes': 'static number',
}


def parameters(function):
  return list(inspect.signature(function).parameters.values())


def section(function, title):
  """The indented body under a title of a Google docstring, or ''."""
  found = re.search(
    rf'^{title}:\n((?:  .*\n|\n)+)', inspect.getdoc(function) + '\n', re.M
  )
  return found.group(1) if found else ''


def test_the_public_names_are_sorted_and_complete():
  assert kernels.__all__ == sorted(kernels.__all__)
  exported = {
    name
    for name, value in vars(kernels).items()
    if not name.startswith('_') and not inspect.ismodule(value)
  }
  assert exported == set(kernels.__all__)


@every_function
def test_what_has_a_default_is_keyword_only(function):
  for parameter in parameters(function):
    assert parameter.kind in (
      parameter.POSITIONAL_OR_KEYWORD,
      parameter.KEYWORD_ONLY,
    ), f'{parameter} takes any number of arguments'
    if parameter.default is not parameter.empty:
      assert parameter.kind is parameter.KEYWORD_ONLY, parameter


@every_function
def test_a_key_that_is_needed_comes_first_and_another_defaults_to_none(
  function,
):
  for place, parameter in enumerate(parameters(function)):
    if parameter.name != 'key':
      assert not re.search('rng|seed|prng', parameter.name), parameter
    elif parameter.kind is parameter.KEYWORD_ONLY:
      assert parameter.default is None
    else:
      assert place == 0


@every_function
def test_arguments_come_in_the_order_of_their_kinds(function):
  ranks = [
    KINDS.index(KIND_OF.get(parameter.name, 'array'))
    for parameter in parameters(function)
    if parameter.kind is not parameter.KEYWORD_ONLY
  ]
  assert ranks == sorted(ranks), inspect.signature(function)


@every_function
def test_every_argument_and_result_has_a_type(function):
  for parameter in parameters(function):
    assert parameter.annotation is not parameter.empty, parameter
  returned = inspect.signature(function).return_annotation
  assert returned is not inspect.Signature.empty


@every_function
def test_the_docstring_explains_every_argument_and_the_result(function):
  summary, blank, *_ = inspect.getdoc(function).split('\n')
  assert summary.endswith('.') and not blank
  explained = re.findall(r'^  (\w+): ', section(function, 'Args'), re.M)
  assert explained == [parameter.name for parameter in parameters(function)]
  assert section(function, 'Returns').strip()


@every_function
def test_the_example_in_the_docstring_runs_on_its_own(function):
  # An empty namespace: the reader gets no imports but those that are shown.
  (example,) = doctest.DocTestFinder().find(function, globs={})
  result = doctest.DocTestRunner().run(example)
  assert result.attempted > 0 and result.failed == 0


def test_every_result_tuple_describes_its_fields():
  for name in set(kernels.__all__) - set(FUNCTIONS):
    if not hasattr(getattr(kernels, name), '_fields'):
      continue  # Not a tuple.
    described = re.findall(
      r'^  (\w+): ', section(getattr(kernels, name), 'Attributes'), re.M
    )
    assert tuple(described) == getattr(kernels, name)._fields


def test_importing_the_kernels_loads_jax_numpy_and_chex_only():
  program = """
import sys
import chex, jax, numpy
before = set(sys.modules)
import al_jax.kernels
print(*sorted(set(sys.modules) - before))
"""
  run = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  loaded = run.stdout.split()
  assert 'al_jax.kernels' in loaded
  outside = {name.partition('.')[0] for name in loaded} - {'al_jax', 'jax'}
  assert not outside - set(sys.stdlib_module_names)
  ours = [name for name in loaded if name.startswith('al_jax.')]
  assert not [
    name for name in ours if not (name + '.').startswith('al_jax.kernels.')
  ]


def test_the_second_plain_call_of_every_kernel_compiles_nothing():
  # Kernels that take a function are jitted by who has it.
  first, second = plain_calls.of(1), plain_calls.of(2)
  assert set(FUNCTIONS) - set(first) == {
    'per_example_gradients',
    'streamed_bald',
  }
  compiled_again = []
  for name, call in first.items():
    jax.block_until_ready(call())
    before = xla.programs_compiled()
    jax.block_until_ready(second[name]())
    if xla.programs_compiled() > before:
      compiled_again.append(name)
  assert not compiled_again


def test_an_option_may_be_an_array_and_then_compiles_once():
  scores, key = jnp.linspace(0.1, 1, 4), jax.random.key(0)
  plain = kernels.stochastic_top_k(key, scores, 4, coldness=1.0)
  of_array = kernels.stochastic_top_k(key, scores, 4, coldness=np.float32(1))
  np.testing.assert_array_equal(of_array.indices, plain.indices)
  before = xla.programs_compiled()
  kernels.stochastic_top_k(key, scores, 4, coldness=np.float32(3))
  assert xla.programs_compiled() == before

import functools
import math
import re
import sys

import numpy as np
import pytest

from al_jax import errors


def options(batch, *, momentum=0.9, nesterov=False):
  del batch, momentum, nesterov


def test_the_closest_name_and_all_choices_are_in_the_message():
  error = errors.unknown_name('strategy', 'margn', ['random', 'margin'])
  assert isinstance(error, ValueError)
  assert str(error) == (
    "strategy 'margn' is not known. Did you mean 'margin'? "
    'Known: margin, random.'
  )


def test_what_is_close_to_nothing_is_not_guessed_at():
  error = errors.unknown_name('strategy', 'xyz', {'random': 1, 'margin': 2})
  assert str(error) == "strategy 'xyz' is not known. Known: margin, random."


@pytest.mark.parametrize('name', [None, 7, ('a',)])
def test_a_name_that_is_no_string_is_shown_as_it_is(name):
  error = errors.unknown_name('model', name, iter(['mlp']))
  assert str(error).startswith(f'model {name!r} is not known.')


def test_an_inner_option_is_named_in_full():
  for message, whole in (
    ('latent is 0; it must be 1.', 'makers.latent is 0; it must be 1.'),
    ('images are too small.', 'makers: images are too small.'),
    ("'x' is not known.", "makers: 'x' is not known."),
    ('makers is 3.', 'makers is 3.'),
  ):
    with (
      pytest.raises(ValueError) as raised,
      errors.within('makers', {'latent'}),
    ):
      raise ValueError(message)
    assert str(raised.value) == whole
  with errors.within('makers', ()):
    pass


def test_where_nothing_is_known_it_says_so():
  error = errors.unknown_name('option', 'pixels', ())
  assert str(error) == "option 'pixels' is not known. Known: none."


def test_keyword_only_arguments_are_options_and_others_are_not():
  errors.check_options('sgd', options, ['momentum', 'nesterov'])
  errors.check_options('sgd', options, {})
  with pytest.raises(
    ValueError, match=r"sgd has no option 'momentun'\. .* 'momentum'"
  ):
    errors.check_options('sgd', options, ['nesterov', 'momentun'])
  with pytest.raises(ValueError, match='It has: momentum, nesterov'):
    errors.check_options('sgd', options, ['batch'])


def test_an_option_by_position_is_told_to_be_a_keyword():
  def strategy(size=3):
    return size

  with pytest.raises(ValueError, match="takes 'size' by position; options"):
    errors.check_options("strategy 'mine'", strategy, {'size': 4})


def test_options_of_a_partial_function_are_what_is_left_of_them():
  with_batch = functools.partial(options, None)
  errors.check_options('sgd', with_batch, ['momentum'])
  with pytest.raises(ValueError, match="has no option 'batch'"):
    errors.check_options('sgd', with_batch, ['batch'])


def test_what_has_no_options_says_so():
  error = errors.unknown_option("augmentation 'flip'", 'pixels', ())
  assert str(error) == (
    "augmentation 'flip' has no option 'pixels'. It has: none."
  )


@pytest.mark.parametrize('value', [0, 1, 2.5, np.float32(3), np.int64(1)])
def test_numbers_of_python_and_numpy_pass(value):
  errors.check_number('rate', value, least=0, most=3)


def test_none_passes_where_it_may():
  errors.check_number('rate', None, int, least=1, optional=True)


@pytest.mark.parametrize(
  ('value', 'kind', 'limits', 'message'),
  [
    (1.0, int, {}, 'x is 1.0; it must be a whole number.'),
    ('3', int, {}, "x is '3'; it must be a whole number."),
    (True, int, {}, 'x is True; it must be a whole number.'),
    ([1], float, {}, 'x is [1]; it must be a number.'),
    (None, float, {}, 'x is None; it must be a number.'),
    (math.nan, float, {}, 'x is nan; it must be a number.'),
    (
      math.inf,
      float,
      {'least': 0},
      'x is inf; it must be a number at least 0 and at most 3.403e+38.',
    ),
    (
      10**400,
      int,
      {'least': 1},
      f'x is {10**400}; it must be a whole number at least 1 and at most '
      '3.403e+38.',
    ),
    (
      -1e300,
      float,
      {'most': 1},
      'x is -1e+300; it must be a number at least -3.403e+38 and at most 1.',
    ),
    (
      2**31,
      int,
      {'below': 8},
      f'x is {2**31}; it must be a whole number below 8.',
    ),
    (0, int, {'least': 1}, 'x is 0; it must be a whole number at least 1.'),
    (0, float, {'above': 0}, 'x is 0; it must be a number above 0.'),
    (
      1.0,
      float,
      {'least': 0, 'below': 1},
      'x is 1.0; it must be a number at least 0 and below 1.',
    ),
    (
      10_001,
      int,
      {'most': 10_000, 'optional': True},
      'x is 10001; it must be a whole number at most 10,000, or None.',
    ),
  ],
)
def test_what_is_no_such_number_is_refused(value, kind, limits, message):
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    errors.check_number('x', value, kind, **limits)


@pytest.mark.parametrize('name', ['a', None, ['random'], {}, 3])
def test_a_name_of_any_type_is_looked_up(name):
  errors.check_name('system', 'random', {'random': 1})
  with pytest.raises(ValueError, match=r'system .* is not known'):
    errors.check_name('system', name, {'random': 1})


def test_flags_and_mappings_are_told_from_the_rest():
  errors.check_flag('on', False)
  errors.check_mapping('model', {})
  for value in ('abc', 1, None):
    with pytest.raises(ValueError, match=r'on is .* must be True or False'):
      errors.check_flag('on', value)
    with pytest.raises(ValueError, match=r'model is .* must be a mapping'):
      errors.check_mapping('model', value)


def test_an_error_fits_a_line():
  text = errors.in_one_line(ValueError('first\n  second ' + 'x' * 1000))
  assert text.startswith('first second xxx')
  assert len(text) < 310


def test_an_error_in_a_sentence_has_no_full_stop_of_its_own():
  assert errors.clause(ValueError('got (64,)\nand (63,).')) == (
    'got (64,) and (63,)'
  )


def test_a_missing_package_names_the_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(ImportError) as caught, errors.needs('al_jax.load'):
    import sklearn.datasets  # noqa: F401
  assert str(caught.value) == (
    'al_jax.load needs scikit-learn, which is not installed: '
    "pip install 'al-jax[experiments]' (in a clone: '.[experiments]')"
  )


def test_of_a_missing_package_the_outermost_asker_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'pyarrow', None)

  @errors.needs('al_jax.load')
  def load():
    with errors.needs('Reading a file'):
      import pyarrow  # noqa: F401

  with pytest.raises(errors.MissingPackageError, match=r'^al_jax\.load needs'):
    load()


def test_a_module_that_no_extra_brings_is_a_mistake_of_ours():
  with pytest.raises(ModuleNotFoundError) as caught, errors.needs('this'):
    import al_jax.nothing_of_the_name  # noqa: F401
  assert type(caught.value) is ModuleNotFoundError

import functools

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


def test_where_nothing_is_known_it_says_so():
  error = errors.unknown_name('option', 'pixels', ())
  assert str(error) == "option 'pixels' is not known. Known: none."


def test_keyword_only_arguments_are_options_and_others_are_not():
  errors.check_options('sgd', options, ['momentum', 'nesterov'])
  errors.check_options('sgd', options, {})
  with pytest.raises(
    ValueError, match=r"option of sgd 'momentun' .* 'momentum'"
  ):
    errors.check_options('sgd', options, ['nesterov', 'momentun'])
  with pytest.raises(ValueError, match='Known: momentum, nesterov'):
    errors.check_options('sgd', options, ['batch'])


def test_options_of_a_partial_function_are_what_is_left_of_them():
  with_batch = functools.partial(options, None)
  errors.check_options('sgd', with_batch, ['momentum'])
  with pytest.raises(ValueError, match="'batch' is not known"):
    errors.check_options('sgd', with_batch, ['batch'])

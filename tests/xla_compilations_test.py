import jax
import numpy as np
import pytest

from al_jax import xla

X = np.arange(3, dtype=np.float32)


@pytest.fixture
def everything_is_cached():
  """Programs however small go to the persistent cache; it yields its hits."""
  hits = []

  def listen(event, **details):
    del details
    if event == '/jax/compilation_cache/cache_hits':
      hits.append(event)

  name = 'jax_persistent_cache_min_compile_time_secs'
  before = getattr(jax.config, name)
  jax.config.update(name, 0.0)
  jax.monitoring.register_event_listener(listen)
  yield hits
  jax.monitoring.unregister_event_listener(listen)
  jax.config.update(name, before)


def test_a_new_program_counts_once_and_calling_it_again_not_at_all():
  square = jax.jit(lambda x: x * x)
  before = xla.programs_compiled()
  square(X)
  assert xla.programs_compiled() == before + 1
  square(X + 1)
  assert xla.programs_compiled() == before + 1


def test_another_shape_is_another_program():
  double = jax.jit(lambda x: x + x)
  before = xla.programs_compiled()
  double(X)
  double(X[:2])
  double(X[1:])
  assert xla.programs_compiled() == before + 2


def test_tracing_alone_compiles_nothing():
  before = xla.programs_compiled()
  jax.eval_shape(lambda x: x - 1, X)
  jax.jit(lambda x: x - 2).lower(X)
  assert xla.programs_compiled() == before


def test_a_program_that_the_persistent_cache_has_counts_too(
  everything_is_cached,
):
  # Two functions with one name and one body: the second is found in the cache.
  programs = [jax.jit(lambda x: x * 5 - 3) for _ in range(2)]
  programs[0](X)
  before, hits = xla.programs_compiled(), len(everything_is_cached)
  programs[1](X)
  assert len(everything_is_cached) == hits + 1
  assert xla.programs_compiled() == before + 1


def test_what_is_compiled_briefly_is_compiled_once_for_each_form():
  scaled = xla.compiled_briefly(lambda x, *, by: {'x': x * by})
  np.testing.assert_array_equal(scaled(X, by=2)['x'], 2 * X)
  before = xla.programs_compiled()
  scaled(X + 1, by=2)
  assert xla.programs_compiled() == before
  np.testing.assert_array_equal(scaled(X, by=3)['x'], 3 * X)
  np.testing.assert_array_equal(scaled(X[1:], by=3)['x'], 3 * X[1:])
  assert xla.programs_compiled() == before + 2


def test_the_programs_called_last_are_kept_and_no_more(monkeypatch):
  monkeypatch.setattr(xla, '_KEPT', 2)
  count = xla.compiled_briefly(lambda x: x.sum())
  shapes = [np.zeros(size) for size in (1, 2, 3)]
  for array in shapes[:-1]:
    count(array)
  before = xla.programs_compiled()
  count(shapes[0])
  assert xla.programs_compiled() == before
  # One more than are kept: the one that was not called for longest goes.
  count(shapes[-1])
  count(shapes[0])
  assert xla.programs_compiled() == before + 1
  count(shapes[1])
  assert xla.programs_compiled() == before + 2


def doubled(x):
  return x + x


@pytest.mark.parametrize(
  ('fn', 'most'),
  [
    (doubled, 3),
    (jax.jit(doubled), 3),
    (lambda x: jax.lax.scan(lambda c, _: (doubled(c), None), x, length=9), 27),
    (lambda x: jax.lax.while_loop(lambda c: c[0] < 9, doubled, x), 48),
    (
      lambda x: jax.lax.while_loop(
        lambda c: c[0] < 9,
        lambda c: jax.lax.cond(c[0] > 3, doubled, lambda c: c, c),
        x,
      ),
      16,  # numbers that decide, one a step
    ),
  ],
)
def test_arrays_in_loops_count_for_their_steps(fn, most):
  jaxpr = jax.make_jaxpr(fn)(X).jaxpr
  assert xla._most_numbers(jaxpr) == most


def test_an_option_that_a_compiler_lacks_is_left_out(monkeypatch):
  monkeypatch.setattr(xla, '_BRIEF', {**xla._BRIEF, 'xla_no_such_thing': True})
  xla._known_options.cache_clear()
  known = xla._known_options()
  xla._known_options.cache_clear()
  assert 'xla_no_such_thing' not in known
  assert known == xla._known_options()

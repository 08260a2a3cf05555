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

"""JAX's persistent compilation cache, so that a second start is fast."""

import os
import pathlib

import jax


def default_folder() -> str:
  """Where compiled programs are kept between processes."""
  given = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  return given or str(pathlib.Path.home() / '.cache' / 'al_jax' / 'compiled')


def enable(folder: str) -> None:
  """Keeps every program that took longer than a tenth of a second."""
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)

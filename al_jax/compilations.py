"""How many programs this process has compiled, to show that rounds add none."""

import jax

# What JAX reports each time it hands a program to the compiler, whether or not
# the persistent cache then has it.
_EVENT = '/jax/core/compile/backend_compile_duration'


class _Counter:
  value = 0


def _listen(event: str, duration: float, **details) -> None:
  del duration, details
  if event == _EVENT:
    _Counter.value += 1


jax.monitoring.register_event_duration_secs_listener(_listen)


def count() -> int:
  """Programs compiled since this module was imported."""
  return _Counter.value

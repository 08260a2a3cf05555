"""Runs the systems of a config: see `al_jax/commands/run.py`."""

from al_jax.runner import signals

# Imports take seconds too. Of the processes that this one starts `__name__` is
# another, and they are told by it.
if __name__ == '__main__':
  signals.end_quietly()

from absl import app, flags

from al_jax.commands import run

if __name__ == '__main__':
  flags.adopt_module_key_flags(run)
  flags.mark_flag_as_required('config')
  app.run(run.main, flags_parser=run.parse_flags)

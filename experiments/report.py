"""Writes a comparison as one page: see `al_jax/commands/report.py`."""

from absl import app, flags

from al_jax.commands import report

if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  app.run(report.main)

"""Measures diagnostics of a comparison for its report.

    python -m experiments.diagnose --workdir=runs/compare

See `experiments/diagnostics/command.py`.
"""

from al_jax.runner import signals

# Set before the imports, which take seconds.
if __name__ == '__main__':
  signals.end_quietly()

from absl import app, flags

from experiments.diagnostics import command

if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  app.run(command.main)

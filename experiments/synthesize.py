"""Runs systems that make their queries: `al-jax synthesize`, from a clone."""

import sys

from al_jax import __main__ as command

# Of the processes that this one starts `__name__` is another.
if __name__ == '__main__':
  sys.exit(command.main(['synthesize', *sys.argv[1:]]))

"""Runs systems that synthesise queries: `al-jax synthesize`, from a clone."""

import sys

from al_jax import __main__ as command

# Worker processes import this file under another name.
if __name__ == '__main__':
  sys.exit(command.main(['synthesize', *sys.argv[1:]]))

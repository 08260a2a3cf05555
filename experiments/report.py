"""Writes a comparison as one page: `al-jax report`, from a clone."""

import sys

from al_jax import __main__ as command

if __name__ == '__main__':
  sys.exit(command.main(['report', *sys.argv[1:]]))

"""Collects labels from people: `al-jax label`, from a clone."""

import sys

from al_jax import __main__ as command

if __name__ == '__main__':
  sys.exit(command.main(['label', *sys.argv[1:]]))

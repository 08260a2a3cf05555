"""Predicts with an exported model: `al-jax predict`, from a clone."""

import sys

from al_jax import __main__ as command

if __name__ == '__main__':
  sys.exit(command.main(['predict', *sys.argv[1:]]))

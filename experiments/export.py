"""Writes the model of a run as plain files: `al-jax export`, from a clone."""

import sys

from al_jax import __main__ as command

if __name__ == '__main__':
  sys.exit(command.main(['export', *sys.argv[1:]]))

"""Shows runs on a live page: `al-jax watch`, from a clone."""

import sys

from al_jax import __main__ as command

if __name__ == '__main__':
  sys.exit(command.main(['watch', *sys.argv[1:]]))

"""Ends a command after a user's error: with one sentence and status 1."""

import csv
import logging as stdlib_logging
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
from absl import flags, logging

from al_jax import errors, files, xla

# Errors of JAX when its persistent cache returns another program's executable.
_SWAPPED = re.compile(r'safe_(zip|map)\(\)|.*RuntimeProgramInputMismatch')
# Errors that a user can fix; their messages need no traceback.
_MENDABLE = (
  ValueError,
  OSError,
  ImportError,
  FloatingPointError,
  MemoryError,
  errors.ContractError,
)


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; a bad flag ends the process with one line.

  Args:
    argv: The command line, with the name of the program.

  Returns:
    The command line without the flags.
  """
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    print(f'{errors.in_one_line(error)}; see --help.', file=sys.stderr)
    sys.exit(1)


def log_little() -> None:
  """Logs only warnings and errors, unless --verbosity asks for more."""
  # At INFO, JAX logs missing backends, and TFDS each file it opens.
  stdlib_logging.getLogger('jax').setLevel(stdlib_logging.WARNING)
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)


def in_a_sentence(
  argv: Sequence[str], work: Callable[[], int], *, takes_names: bool = False
) -> int:
  """Does the work of a command, and prints a user's error as one sentence.

  Args:
    argv: The command line without the flags.
    work: Function that does the work and returns the exit status.
    takes_names: Whether the command takes other arguments than flags.

  Returns:
    The exit status; 1 after an error that a user can fix.
  """
  try:
    if len(argv) > 1 and not takes_names:
      raise ValueError(
        f'{argv[1]!r} is not a flag, and the command takes nothing else; see '
        '--help.'
      )
    return work()
  except (*_MENDABLE, jax.errors.JaxRuntimeError) as error:
    text = _sentence(error)
    if text is None:
      raise
    logging.debug('Trace of the error.', exc_info=True)
    print(text, file=sys.stderr)
    return 1


def _sentence(error: Exception) -> str | None:
  """Describes an error that a user can fix; None for other errors."""
  text = str(error)
  if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in text:
    return (
      f'MemoryError: {errors.in_one_line(error) or "there is too little"}: '
      'take smaller or fewer examples (config.data), a smaller model, '
      'config.learner.batch_size or config.chunk_size.'
    )
  if _SWAPPED.match(text):
    return (
      f'{type(error).__name__}: {errors.in_one_line(error)} - the cache may '
      'have mixed up two compiled programs; delete them: '
      f'rm -r {xla.program_cache()}'
    )
  if isinstance(error, errors.MissingPackageError):
    return text
  if not isinstance(error, _MENDABLE):
    return None
  return f'{type(error).__name__}: {text}'


def check_out(out: str | None, *, overwrite: bool) -> None:
  """Checks, before any work, that a CSV can be written.

  Args:
    out: Path of the CSV. If None, it is printed.
    overwrite: Whether to replace an existing file.

  Raises:
    ValueError: If the file exists, or its folder does not exist or is not
      writable.
  """
  if out is None:
    return
  path = pathlib.Path(out)
  if not path.name or path.is_dir():
    raise ValueError(f'--out is {out!r}; it must be the path of a file.')
  if path.exists() and not overwrite:
    raise ValueError(f'--out is {out}, which exists; --overwrite replaces it.')
  if not path.parent.is_dir():
    raise ValueError(f'--out is {out}; there is no folder {path.parent}.')
  if not os.access(path.parent, os.W_OK):
    raise ValueError(f'--out is {out}; nothing can be written there.')


def write_csv(out: str | None, rows: Iterable[Iterable[Any]]) -> None:
  """Writes a CSV atomically and prints its path, or prints the CSV.

  Args:
    out: Path of the CSV. If None, it is printed.
    rows: Cells of each row; the first row has the names of the columns.
  """
  if out is None:
    csv.writer(sys.stdout, lineterminator='\n').writerows(rows)
    return
  with files.replacing(out) as path, path.open('w', newline='') as file:
    csv.writer(file, lineterminator='\n').writerows(rows)
  print(out)

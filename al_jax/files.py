"""Writing files so that a reader never sees a part of one."""

import contextlib
import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

Path = str | os.PathLike[str]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[pathlib.Path]:
  """A path beside `path` to write to, which takes its place when all is well.

  Readers see the old file or the new one, never a part. The name of the
  temporary file is always the same: what a killed process leaves behind, the
  next write takes away.

  Args:
    path: the file to replace.

  Yields:
    The path to write to.
  """
  path = pathlib.Path(path)
  partial = path.with_name(path.name + '.partial')
  try:
    yield partial
    os.replace(partial, path)
  except OSError as error:
    if error.filename is None:
      # As when the disk is full: which file it was, only we know.
      error.filename = str(path)
    raise
  finally:
    partial.unlink(missing_ok=True)


def json_value(value: Any) -> Any:
  """The value with NaN and infinities as strings, which JSON has no word for.

  Args:
    value: nested dicts and lists of what JSON knows, and of floats.

  Returns:
    The same, with `'NaN'`, `'Infinity'` and `'-Infinity'`, which `float` reads.
  """
  if isinstance(value, dict):
    return {key: json_value(entry) for key, entry in value.items()}
  if isinstance(value, list):
    return [json_value(entry) for entry in value]
  if isinstance(value, float) and not math.isfinite(value):
    return json.dumps(value)
  return value

"""Processes of their own, for tests that need several devices."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import jax

ROOT = pathlib.Path(__file__).parent.parent


def begin(script: str, *arguments: Any) -> subprocess.Popen:
  """Starts Python on a script; it shares the programs that tests compile."""
  return subprocess.Popen(
    [sys.executable, '-c', script, *map(str, arguments)],
    cwd=ROOT,
    env={
      **os.environ,
      'PYTHONPATH': str(ROOT),
      'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir,
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def printed(
  started: Sequence[subprocess.Popen], timeout: float | None = 1500
) -> list[Any]:
  """Waits for processes, and returns the JSON that each printed last."""
  found = []
  try:
    for process in started:
      output, told = process.communicate(timeout=timeout)
      assert process.returncode == 0, told
      found.append(json.loads(output.splitlines()[-1]))
  finally:
    for process in started:
      process.kill()
  return found

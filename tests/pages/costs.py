"""Prints what it costs a run to be watched: an append to live.jsonl.

python -m tests.pages.costs
"""

import pathlib
import tempfile
import time

import numpy as np

from al_jax.loop.events import RoundProgress
from al_jax.runner import live

_APPENDS = 20_000


def main() -> None:
  """Times appends; every 2,000th also cuts the file."""
  progress = RoundProgress(
    'badge', 3, 7, 160, 12_345, {'loss': 0.123456, 'accuracy': 0.98}
  )
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / live.NAME
    file, seconds = live.LiveFile(path), []
    for _ in range(_APPENDS):
      begin = time.perf_counter()
      file.on_progress(progress)
      seconds.append(time.perf_counter() - begin)
    size = path.stat().st_size
  print(
    f'an append: median {1e6 * np.median(seconds):.1f} us, mean '
    f'{1e6 * np.mean(seconds):.1f} us, at most {1e3 * max(seconds):.1f} ms; '
    f'the file then has {size:,} bytes'
  )


if __name__ == '__main__':
  main()

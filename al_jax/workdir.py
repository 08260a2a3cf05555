"""TEMPORARY stand-in by the lead; helper CHECKPOINT: overwrite this file."""

import pathlib
import shutil


class Workdir:
  def __init__(self, path):
    self.path = pathlib.Path(path)

  def __enter__(self):
    self.path.mkdir(parents=True, exist_ok=True)
    return self

  def __exit__(self, *a):
    pass

  def overwrite(self):
    shutil.rmtree(self.path)
    self.path.mkdir()

  def require_space(self, b):
    pass

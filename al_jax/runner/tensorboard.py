"""Event files for TensorBoard, written as rounds end."""

import pathlib
import types
import urllib.parse

from al_jax import errors
from al_jax.storage import records, workdir


def require() -> types.ModuleType:
  """The module that writes event files; ImportError says how to get it."""
  with errors.needs('Writing for TensorBoard'):
    import tensorboardX
  return tensorboardX


class TensorBoard:
  """Appends the scalars of records: a run per system and seed, over labels.

  A process begins each run anew when its first record comes in. A resumed run
  hands out its earlier records again, so that no point is there twice, and none
  is missing that a killed process had not written yet.
  """

  def __init__(self, folder: pathlib.Path):
    """Writes nothing yet.

    Args:
      folder: the log directory; made if it is not there.

    Raises:
      ImportError: tensorboardX is not installed.
    """
    self._module = require()
    self._folder = folder
    self._writers = {}

  def on_record(self, record: records.RoundRecord) -> None:
    """Appends the scalars of a record."""
    run = f'{urllib.parse.quote(record.system, safe="")}_seed{record.seed}'
    if run not in self._writers:
      self._writers[run] = self._begun(self._folder / run)
    for column, value in record.flat().items():
      if column not in ('system', 'seed', 'labels'):
        tag = column.replace('.', '/')
        self._writers[run].add_scalar(tag, value, record.labels)

  def close(self) -> None:
    """Writes what is still in memory."""
    for writer in self._writers.values():
      writer.close()

  def _begun(self, folder):
    workdir.refuse_link(folder)
    for event_file in folder.glob('events.out.tfevents.*'):
      event_file.unlink()
    # On disk a second after the round, for those who look on.
    return self._module.SummaryWriter(str(folder), flush_secs=1)

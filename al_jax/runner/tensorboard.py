"""Writes event files for TensorBoard while a run progresses."""

import pathlib
import types
import urllib.parse

from al_jax import errors
from al_jax.loop.events import RoundProgress
from al_jax.storage import records, workdir


def require() -> types.ModuleType:
  """Imports the writer of event files; ImportError says how to install it."""
  with errors.needs('Writing for TensorBoard'):
    import tensorboardX
  return tensorboardX


class TensorBoard:
  """Appends the scalars of records: a run per system and seed, over labels.

  A process rewrites each run when its first record arrives. A resumed run sends
  its earlier records again, so that no point is duplicated, and points that a
  killed process had not written yet are not lost.
  """

  def __init__(self, folder: pathlib.Path):
    """Writes nothing yet.

    Args:
      folder: the log directory; created if it does not exist.

    Raises:
      ImportError: tensorboardX is not installed.
    """
    self._module = require()
    self._folder = folder
    self._writers = {}
    # Steps in the finished rounds of each run.
    self._steps = {}

  def on_progress(self, progress: RoundProgress) -> None:
    """Appends the means of the current epoch, over the steps of the run."""
    run = progress.system, progress.seed
    named = {f'progress/{name}': of for name, of in progress.metrics.items()}
    self._append(*run, named, self._steps.get(run, 0) + progress.step)

  def on_record(self, record: records.RoundRecord) -> None:
    """Appends the scalars of a record."""
    run = record.system, record.seed
    self._steps[run] = self._steps.get(run, 0) + record.steps
    named = {
      column.replace('.', '/'): value
      for column, value in record.flat().items()
      if column not in ('system', 'seed', 'labels')
    }
    self._append(*run, named, record.labels)

  def close(self) -> None:
    """Flushes and closes the files."""
    for writer in self._writers.values():
      writer.close()

  def _append(self, system, seed, named, step):
    """Writes all scalars in one event; one event each takes 10 times longer."""
    summary = self._module.proto.summary_pb2.Summary
    values = [
      summary.Value(tag=tag, simple_value=of) for tag, of in named.items()
    ]
    writer = self._writer(system, seed).file_writer
    writer.add_summary(summary(value=values), step)

  def _writer(self, system, seed):
    run = f'{urllib.parse.quote(system, safe="")}_seed{seed}'
    if run not in self._writers:
      self._writers[run] = self._begun(self._folder / run)
    return self._writers[run]

  def _begun(self, folder):
    workdir.refuse_link(folder)
    for event_file in folder.glob('events.out.tfevents.*'):
      event_file.unlink()
    # Flushed within a second, for live viewers.
    return self._module.SummaryWriter(str(folder), flush_secs=1)

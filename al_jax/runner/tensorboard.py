"""Event files for TensorBoard, written as rounds go on and end."""

import pathlib
import types
import urllib.parse

from al_jax import errors
from al_jax.loop.events import RoundProgress
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
    # Steps of the rounds that are over, by run.
    self._steps = {}

  def on_progress(self, progress: RoundProgress) -> None:
    """Appends the means of an epoch under way, over the steps of the run."""
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
    """Writes what is still in memory."""
    for writer in self._writers.values():
      writer.close()

  def _append(self, system, seed, named, step):
    """Writes scalars in one event: an event for each takes 10 times as long."""
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
    # On disk a second after the round, for those who look on.
    return self._module.SummaryWriter(str(folder), flush_secs=1)

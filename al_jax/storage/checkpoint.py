"""Saves and restores everything a run needs to go on, with Orbax.

A save returns at once: a thread copies the arrays to the host and hands them to
an Orbax CheckpointManager while the caller computes on. What Orbax stores is
one array, the bytes of all others, beside a JSON with the caller's metadata,
the layout of the state and a SHA-256 of both kinds of content. So a damaged
checkpoint is told from one that belongs to another state before a value is
believed, and what Orbax refuses (arrays without elements, NumPy scalars) need
not concern the caller. One array, since of several that the disk has no space
for the first ends the save, and the others complain to standard error.

Of several processes the first writes, and all read what it has found sound.
"""

import asyncio
import contextlib
import json
import logging
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging

from al_jax.interfaces import PyTree
from al_jax.storage import _background, _layout, processes

STEPS_KEPT = 3

# The names of Orbax's working folders; a killed process leaves them behind.
_TEMPORARY = '*.orbax-checkpoint-tmp*'


class CheckpointError(OSError):
  """A step could not be written, or none of those there could be read."""


class _Job(NamedTuple):
  """A save that was asked for."""

  step: int
  paths: list[str]
  leaves: list[Any]
  metadata: str


class Checkpointer:
  """The last few steps of one run in one folder; a context manager.

  Whoever makes one must be alone in the folder (`storage.workdir.Workdir` sees
  to it): what a killed process left half-written is removed on construction,
  and so are steps beyond the last `STEPS_KEPT`.

  A save that fails in the background raises CheckpointError, which names the
  folder and the cause, from the next `save`, `wait`, `restore` or `close`. The
  steps before stay as they were, and saving may go on.
  """

  def __init__(self, folder: str | os.PathLike):
    self.folder = pathlib.Path(folder).absolute()
    self._noise = _OrbaxNoise()
    absl_logging.get_absl_logger().addFilter(self._noise)
    try:
      self._manager = self._open()
    except OSError as error:
      absl_logging.get_absl_logger().removeFilter(self._noise)
      raise CheckpointError(
        f'Checkpoints cannot be kept in {self.folder}: {_cause(error)}.'
      ) from error
    # Steps that a restore passed over; they go when the next one is written.
    self._abandoned = []
    self._last_step = self._latest_on_disk()
    self._background = _background.Background(self._write)

  def save(
    self,
    step: int,
    state: PyTree,
    metadata: dict[str, Any],
    *,
    replaceable: bool = False,
  ) -> None:
    """Has a step written in the background.

    One save can be under way and one more be waiting. If one is waiting that is
    not replaceable, this waits until its writing begins.

    Args:
      step: larger than every step saved, or than the one restored.
      state: pytree of jax arrays, NumPy arrays and Python numbers. NumPy arrays
        are copied now; jax arrays must not be donated before `wait` returns.
      metadata: what JSON can hold, and comes back as JSON gives it.
      replaceable: a later save may take the place of this one if its writing
        has not begun.

    Raises:
      CheckpointError: an earlier save failed.
      TypeError: a leaf of the state, or the metadata, cannot be stored.
      ValueError: the step is not larger, or an array was donated.
    """
    if step <= self._last_step:
      raise ValueError(
        f'step {step} does not come after step {self._last_step}, the latest '
        f'in {self.folder}. To go on from there, restore it first.'
      )
    paths, leaves = _layout.flatten(state)
    for path, leaf in zip(paths, leaves, strict=True):
      _layout.check_storable(path, leaf)
    leaves = [
      np.array(leaf) if isinstance(leaf, np.ndarray) else leaf
      for leaf in leaves
    ]
    try:
      metadata = json.dumps(metadata)
    except (TypeError, ValueError) as error:
      raise TypeError(f'metadata must be JSON: {error}.') from error
    if processes.is_first():
      with self._errors_noted():
        self._background.put(
          _Job(step, paths, leaves, metadata), replaceable=replaceable
        )
    self._last_step = step

  def restore(
    self, template: PyTree
  ) -> tuple[int, PyTree, dict[str, Any]] | None:
    """The newest step that can be read.

    A damaged one is passed over with a warning, and removed when a step is next
    saved.

    Args:
      template: the state as it must be, of arrays, numbers or
        `jax.ShapeDtypeStruct` (`jax.eval_shape` of what makes the state). It
        gives structure, shapes, dtypes and, where it has them, shardings. What
        comes back is of the kind that was saved: a NumPy array as a NumPy
        array, a typed key as a typed key.

    Returns:
      The step, the state and the metadata; None if nothing was ever saved.

    Raises:
      TemplateError: a step is sound, but of another state.
      CheckpointError: there are steps, and none can be read. Who begins anew
        here all the same removes them with the first save.
    """
    self.wait()
    if not processes.is_first():
      return self._restore_as_first(template)
    found = None
    try:
      found = self._restore(template)
    finally:
      processes.of_first(-1 if found is None else found[0])
    return found

  def _restore_as_first(self, template):
    """What the first process has restored; what it raises, only it says."""
    step = processes.of_first(-1)
    if step < 0:
      return None
    self._manager.reload()
    layout, arrays, metadata = self._read(step, _layout.signatures(template))
    self._last_step = step
    return step, _layout.unflatten(template, layout, arrays), metadata

  def _restore(self, template):
    """See `restore`."""
    wanted = _layout.signatures(template)
    failures = {}
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        layout, arrays, metadata = self._read(step, wanted)
      except _layout.TemplateError:
        raise
      except Exception as error:
        # Damage to a file comes out as an error of almost any class.
        failures[step] = f'{type(error).__name__}: {_cause(error)}'
        absl_logging.warning(
          f'The checkpoint of step {step} in {self.folder} cannot be read '
          f'({failures[step]}); trying the one before.'
        )
        continue
      self._abandoned, self._last_step = list(failures), step
      state = _layout.unflatten(template, layout, arrays)
      return step, state, metadata
    if not failures:
      return None
    self._abandoned, self._last_step = list(failures), -1
    tried = '\n'.join(f'  step {step}: {why}' for step, why in failures.items())
    raise CheckpointError(
      f'No checkpoint in {self.folder} can be read; begin anew in another '
      f'folder, or with --overwrite. Tried:\n{tried}'
    )

  def latest_metadata(self) -> dict[str, Any] | None:
    """The metadata of the newest step; None if they cannot be read."""
    self.wait()
    step = self._latest_on_disk()
    if step < 0:
      return None
    try:
      return self._read_contents(step)['metadata']
    except Exception as error:  # as in `restore`, which tries older ones
      absl_logging.debug('%s, step %d: %s', self.folder, step, error)
      return None

  def wait(self) -> None:
    """Until all that was asked for is on disk."""
    with self._errors_noted():
      self._background.wait()

  def close(self) -> None:
    """Waits, then ends the thread; more than once is once."""
    try:
      self._background.close()
    finally:
      self._manager.close()
      absl_logging.get_absl_logger().removeFilter(self._noise)

  def __enter__(self) -> 'Checkpointer':
    return self

  def __exit__(self, error_type, error, traceback) -> None:
    try:
      self.close()
    except CheckpointError as failed:
      if error_type is None:
        raise
      # What went wrong first must not be hidden.
      absl_logging.error('%s', failed)

  def _open(self) -> ocp.CheckpointManager:
    """Makes the folder or tidies it up."""
    if processes.is_first():
      self._tidy()
    processes.wait_for_all(f'{self.folder} is tidy')
    return ocp.CheckpointManager(
      self.folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=STEPS_KEPT,
        # The background does what Orbax's own asynchrony would.
        enable_async_checkpointing=False,
        save_root_metadata=False,
        **processes.options(),
      ),
    )

  def _tidy(self) -> None:
    self.folder.mkdir(parents=True, exist_ok=True)
    self._remove_temporary()
    # Before Orbax looks: it warns of what a killed process had half deleted.
    names = [path.name for path in self.folder.iterdir()]
    steps = sorted(int(name) for name in names if name.isdigit())
    for surplus in steps[:-STEPS_KEPT]:
      shutil.rmtree(self.folder / str(surplus))

  @contextlib.contextmanager
  def _errors_noted(self) -> Iterator[None]:
    """After a failed save its step may be saved again."""
    try:
      yield
    except CheckpointError:
      self._last_step = self._latest_on_disk()
      raise

  def _write(self, job: _Job) -> None:
    """Writes a step; in the background."""
    try:
      while self._abandoned:
        self._manager.delete(self._abandoned[-1])
        self._abandoned.pop()
      items = _to_items(job)
      if not self._manager.save(job.step, args=ocp.args.Composite(**items)):
        raise OSError('Orbax found a later step there')
    except (Exception, asyncio.CancelledError) as error:
      self._remove_temporary()
      raise CheckpointError(
        f'Step {job.step} could not be saved in {self.folder}: {_cause(error)}.'
      ) from error

  def _read(
    self, step: int, wanted: _layout.Signatures
  ) -> tuple[list[_layout.Leaf], dict[str, np.ndarray], Any]:
    """The layout, the arrays and the metadata of a step, all of them sound."""
    contents = self._read_contents(step)
    layout = [
      _layout.Leaf(path, kind, dtype, tuple(shape))
      for path, kind, dtype, shape in contents['layout']
    ]
    _layout.check_same(wanted, layout, self.folder / str(step))
    arrays = {}
    if any(0 not in entry.shape for entry in layout):
      packed = self._manager.restore(
        step, args=ocp.args.Composite(state=ocp.args.StandardRestore())
      ).state
      arrays = _layout.unpack(np.asarray(packed['bytes']), layout)
    if _layout.digest(arrays) != contents['digest']:
      raise ValueError('the arrays differ from their checksum')
    return layout, arrays, contents['metadata']

  def _read_contents(self, step: int) -> dict[str, Any]:
    """Everything about a step but the arrays."""
    sealed = self._manager.restore(
      step, args=ocp.args.Composite(metadata=ocp.args.JsonRestore())
    ).metadata
    if _layout.json_digest(sealed['contents']) != sealed['sha256']:
      raise ValueError('the metadata differ from their checksum')
    return sealed['contents']

  def _latest_on_disk(self) -> int:
    steps = set(self._manager.all_steps()) - set(self._abandoned)
    return max(steps, default=-1)

  def _remove_temporary(self) -> None:
    for leftover in self.folder.glob(_TEMPORARY):
      if leftover.is_dir() and not leftover.is_symlink():
        shutil.rmtree(leftover, ignore_errors=True)
      else:
        leftover.unlink(missing_ok=True)


class _OrbaxNoise(logging.Filter):
  """Drops Orbax's progress messages, and its tracebacks of what we raise."""

  def filter(self, record: logging.LogRecord) -> bool:
    source = pathlib.PurePath(record.pathname)
    if 'orbax' not in source.parts:
      return True
    return record.levelno >= logging.WARNING and source.name != 'future.py'


def _to_items(job: _Job) -> dict[str, ocp.args.CheckpointArgs]:
  """What Orbax is to write."""
  layout, arrays = [], {}
  for path, leaf in zip(job.paths, job.leaves, strict=True):
    entry, array = _layout.to_host(path, leaf)
    layout.append(entry)
    if array.size:  # The layout suffices for the others.
      arrays[path] = array
  contents = {
    'layout': layout,
    'digest': _layout.digest(arrays),
    'metadata': json.loads(job.metadata),
  }
  sealed = {
    'sha256': _layout.json_digest(contents),
    'contents': contents,
  }
  items = {'metadata': ocp.args.JsonSave(sealed)}
  if arrays:
    packed = _layout.pack(arrays, layout)
    items['state'] = ocp.args.StandardSave({'bytes': packed})
  return items


def _cause(error: Exception) -> str:
  """What went wrong, in one line; TensorStore hides the errno in its text."""
  number = re.search(r"os_error_code='(\d+)'", str(error))
  if number:
    return os.strerror(int(number[1]))
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return ' '.join(str(error).split())[:200]

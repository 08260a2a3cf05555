"""Saves and restores everything that a run needs to resume, with Orbax.

A save returns at once: a thread copies the arrays to the host and passes them
to an Orbax CheckpointManager while the caller computes. Orbax stores one array,
the bytes of all others, and a JSON file with the caller's metadata, the layout
of the state and a SHA-256 of both. So a damaged checkpoint is distinguished
from one of another state before any value is used, and the caller may save
leaves that Orbax rejects (empty arrays, NumPy scalars). It is a single array
because several would misbehave on a full disk: the first would end the save,
and the others would write to standard error.

With several processes, the first one writes, and all read the step that it
found intact.
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

# Names of Orbax's temporary folders; a killed process leaves them behind.
_TEMPORARY = '*.orbax-checkpoint-tmp*'


class CheckpointError(OSError):
  """A step could not be written, or no existing step could be read."""


class _Job(NamedTuple):
  """Save that was requested."""

  step: int
  paths: list[str]
  leaves: list[Any]
  metadata: str


class Checkpointer:
  """The last few steps of one run in one folder; a context manager.

  Only one Checkpointer may use a folder at a time (`storage.workdir.Workdir`
  ensures this): the constructor removes half-written files of a killed process
  and all but the last `STEPS_KEPT` steps.

  If a save fails in the background, the next `save`, `wait`, `restore` or
  `close` raises CheckpointError with the folder and the cause. Earlier steps
  stay intact, and further saves are allowed.
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
    # Steps that a restore skipped; the next write deletes them.
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
    """Saves a step in the background.

    One save can be running and one more waiting. If the waiting one is not
    replaceable, this call blocks until its writing begins.

    Args:
      step: number larger than every saved step, or than the restored one.
      state: pytree of jax arrays, NumPy arrays and Python numbers. NumPy arrays
        are copied now; jax arrays must not be donated before `wait` returns.
      metadata: JSON values. A restore returns them as JSON decodes them.
      replaceable: whether a later save may replace this one before its writing
        begins.

    Raises:
      CheckpointError: an earlier save failed.
      TypeError: a leaf of the state, or the metadata, cannot be stored.
      ValueError: the step is not larger, or an array was donated.
    """
    if step <= self._last_step:
      raise ValueError(
        f'step {step} does not come after step {self._last_step}, the latest '
        f'in {self.folder}. To resume from there, restore it first.'
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
    """Restores the newest step that can be read.

    Damaged steps are skipped with a warning; the next save removes them.

    Args:
      template: expected state, of arrays, numbers or `jax.ShapeDtypeStruct`
        (`jax.eval_shape` of the function that makes the state). It gives
        structure, shapes, dtypes and, if it has any, shardings. Leaves are
        restored as the kind that was saved: a NumPy array as a NumPy array, a
        typed key as a typed key.

    Returns:
      The step, the state and the metadata; None if nothing was ever saved.

    Raises:
      TemplateError: a step is intact, but its state does not match.
      CheckpointError: there are steps, but none can be read. A later save in
        this folder deletes them.
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
    """Restores the first process's step; returns None if that one failed."""
    step = processes.of_first(-1)
    if step < 0:
      return None
    self._manager.reload()
    layout, arrays, metadata = self._read(step, _layout.signatures(template))
    self._last_step = step
    return step, _layout.unflatten(template, layout, arrays), metadata

  def _restore(self, template):
    """Implements `restore` in the first process."""
    wanted = _layout.signatures(template)
    failures = {}
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        layout, arrays, metadata = self._read(step, wanted)
      except _layout.TemplateError:
        raise
      except Exception as error:
        # A damaged file can cause an error of almost any class.
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
      f'No checkpoint in {self.folder} can be read; start again in another '
      f'folder, or with --overwrite. Tried:\n{tried}'
    )

  def latest_metadata(self) -> dict[str, Any] | None:
    """Returns the metadata of the newest step; None if unreadable."""
    self.wait()
    step = self._latest_on_disk()
    if step < 0:
      return None
    try:
      return self._read_contents(step)['metadata']
    except Exception as error:  # Damage has almost any class, as in `_restore`.
      absl_logging.debug('%s, step %d: %s', self.folder, step, error)
      return None

  def wait(self) -> None:
    """Blocks until all requested saves are on disk."""
    with self._errors_noted():
      self._background.wait()

  def close(self) -> None:
    """Waits for all saves and ends the thread; idempotent."""
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
      # This error must not hide the one that came first.
      absl_logging.error('%s', failed)

  def _open(self) -> ocp.CheckpointManager:
    """Makes or tidies the folder and opens Orbax's manager."""
    if processes.is_first():
      self._tidy()
    processes.wait_for_all(f'{self.folder} is tidy')
    return ocp.CheckpointManager(
      self.folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=STEPS_KEPT,
        # `_background` already makes saves asynchronous.
        enable_async_checkpointing=False,
        save_root_metadata=False,
        **processes.options(),
      ),
    )

  def _tidy(self) -> None:
    self.folder.mkdir(parents=True, exist_ok=True)
    self._remove_temporary()
    # Before Orbax reads the folder, because it warns about half-deleted steps.
    names = [path.name for path in self.folder.iterdir()]
    steps = sorted(int(name) for name in names if name.isdigit())
    for surplus in steps[:-STEPS_KEPT]:
      shutil.rmtree(self.folder / str(surplus))

  @contextlib.contextmanager
  def _errors_noted(self) -> Iterator[None]:
    """Resets the last step after a failed save, so that it can be retried."""
    try:
      yield
    except CheckpointError:
      self._last_step = self._latest_on_disk()
      raise

  def _write(self, job: _Job) -> None:
    """Writes a step; runs in the background thread."""
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
    """Reads and verifies the layout, the arrays and the metadata of a step."""
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
    """Reads and verifies everything in a step except the arrays."""
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
  """Filter of Orbax's progress messages and tracebacks of raised errors."""

  def filter(self, record: logging.LogRecord) -> bool:
    source = pathlib.PurePath(record.pathname)
    if 'orbax' not in source.parts:
      return True
    return record.levelno >= logging.WARNING and source.name != 'future.py'


def _to_items(job: _Job) -> dict[str, ocp.args.CheckpointArgs]:
  """Makes the items of a step that Orbax writes."""
  layout, arrays = [], {}
  for path, leaf in zip(job.paths, job.leaves, strict=True):
    entry, array = _layout.to_host(path, leaf)
    layout.append(entry)
    if array.size:  # The layout alone describes an empty array.
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
  """Describes an error in one line; TensorStore has the errno in its text."""
  number = re.search(r"os_error_code='(\d+)'", str(error))
  if number:
    return os.strerror(int(number[1]))
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return ' '.join(str(error).split())[:200]

"""Weights learnt without labels: made once, then cached and shared.

The cache holds the last checkpoint of the training, under a name derived from
everything that the weights depend on. A killed process leaves a checkpoint too,
and the next process resumes from it.
"""

import pathlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

import al_jax
from al_jax import files, keys
from al_jax import pool as pool_lib
from al_jax.interfaces import Facts, PyTree
from al_jax.learners.pretraining import Pretraining
from al_jax.loop import Interrupted
from al_jax.sources import Sources
from al_jax.storage import processes
from al_jax.storage.checkpoint import Checkpointer, CheckpointError
from al_jax.training import fit as fit_lib

# To be increased when the same key would give other weights.
_FORMAT = 4


def folder_of(
  label: str,
  key: Mapping[str, Any],
  *,
  cache_dir: files.Path | None = None,
) -> pathlib.Path:
  """Returns the folder in which weights are cached; it may not exist yet.

  Args:
    label: start of the folder's name, for human readers.
    key: everything that the weights depend on, in types that JSON has.
    cache_dir: see `files.cache_root`.
  """
  made_by = {'format': _FORMAT, 'version': al_jax.__version__}
  name = f'{files.slug(label)}-{files.digest({**made_by, **key})}'
  return files.cache_root(cache_dir) / 'pretrained' / name


def obtain(
  pretraining: Pretraining,
  facts: Facts,
  all_sources: Sources,
  folder: pathlib.Path,
  *,
  seed: int = 0,
  save_every_steps: int = 2000,
  chunk_size: int = 1000,
  should_stop: Callable[[], bool] = lambda: False,
  on_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> tuple[PyTree, list[dict[str, float]]]:
  """Returns the weights cached in a folder, after training them if need be.

  Args:
    pretraining: the learner to train, and which of its weights to keep.
    facts: facts of the task.
    all_sources: the sources; `'pool'` is required, its answers are not.
    folder: see `folder_of`. If several processes want the same weights, one
      trains and the others wait. Damaged weights are trained anew, with a
      warning.
    seed: seed of every random choice.
    save_every_steps: number of steps between two saves.
    chunk_size: rows per forward pass over the pool.
    should_stop: called between calls of the device.
    on_epoch: called with each new row, not with those of earlier processes.

  Returns:
    The weights, for `learners.pretraining.beginning_with`; and a row per epoch:
    `epoch`, `step` and the learner's metrics.

  Raises:
    loop.Interrupted: `should_stop` returned True; everything is saved.
    FloatingPointError: the loss or a weight is not finite.
    OSError: the folder cannot be created.
    ValueError: JAX runs in several processes; only one can lock the folder.
  """
  processes.refuse_several('pretraining')
  _make(folder.parent)
  waiting = f'another process is training for {folder}: waiting for it'
  with files.locked(folder, waiting), Checkpointer(folder) as saves:
    learner = pretraining.learner
    key = keys.for_run(seed, keys.PRETRAIN)
    template = jax.eval_shape(learner.init, key)
    restored = _restored(saves, template)
    if restored is None:
      state = jax.jit(learner.init)(key)
      serial, about = -1, {'epochs': [], 'done': False}
    else:
      serial, state, about = restored
    if not about['done']:
      fns = fit_lib.compile_fit(
        learner, facts, all_sources, chunk_size=chunk_size
      )
      state = jax.device_put(state, jax.local_devices()[0])
      rounds = fit_lib.fit(
        fns,
        [jax.random.fold_in(key, 0)],
        [jax.random.fold_in(key, 1)],
        [state],
        [pool_lib.of(facts)],
        resume=restored is not None,
        stop_every=save_every_steps,
      )
      for state, progress in rounds:
        done, step = bool(progress.done[0]), int(progress.step[0])
        is_due = bool(step) and step % save_every_steps == 0
        row = _row(progress)
        _check_finite(fns.finite(state))
        looked = done or any(due[0] for due in progress.due.values())
        is_new = row['epoch'] > _last_epoch(about)
        if (looked and is_new) or (done and not about['epochs']):
          about['epochs'].append(row)
          on_epoch(row)
        stopping = should_stop() and not done
        if done or stopping or is_due:
          serial += 1
          about['done'] = done
          saves.save(serial, state, about)
        if stopping:
          raise Interrupted
    return pretraining.keep(state), about['epochs']


def _make(folder):
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise OSError(
      f'pretrained weights cannot be kept in {folder}: {error}. The variable '
      f'{files.CACHE_VARIABLE} chooses another folder.'
    ) from error


def _restored(saves, template):
  """Returns the cached checkpoint; None if there is none or it is damaged."""
  try:
    return saves.restore(template)
  except CheckpointError:
    warnings.warn(
      f'the weights kept in {saves.folder} are damaged: they are made anew.',
      RuntimeWarning,
      stacklevel=3,
    )
    return None


def _last_epoch(about):
  return about['epochs'][-1]['epoch'] if about['epochs'] else 0


def _row(progress):
  metrics = {name: float(of[0]) for name, of in progress.metrics.items()}
  epoch = int(metrics.pop('epoch'))
  if epoch and not np.isfinite(metrics['loss']):
    raise _not_finite(f', epoch {epoch}: the loss is {metrics["loss"]}')
  # A metric that compares with the previous epoch is NaN in the first.
  known = {name: value for name, value in metrics.items() if value == value}
  return {'epoch': epoch, 'step': int(progress.step[0]), **known}


def _check_finite(finite):
  """Checks the weights, because the loss may be older or not known yet."""
  for network, is_finite in jax.device_get(finite).items():
    if not is_finite:
      raise _not_finite(f': a weight of the {network} is not finite')


def _not_finite(what):
  return FloatingPointError(
    f'pretraining{what}; a lower learning rate or clip_norm may help.'
  )

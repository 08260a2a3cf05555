"""Rounds of training on a labelled set, as in a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from al_jax import data, sources, systems
from al_jax import pool as pool_lib
from al_jax.interfaces import PyTree
from al_jax.loop import program
from al_jax.loop.stopwatch import Stopwatch
from al_jax.training import fit as fit_lib


class Trainer:
  """A system that trains rounds on labelled sets, as in a run."""

  def __init__(
    self,
    dataset: data.Dataset,
    all_sources: sources.Sources,
    model: Mapping[str, Any],
    *,
    label_budget: int,
    batch_size: int = 64,
    epochs: int,
    system: str = 'random',
    **options: Any,
  ):
    """Builds the system; its programs are compiled on first use."""
    facts = program.facts_of(dataset, label_budget)
    learner = {'batch_size': batch_size, 'stop': {'epochs': epochs}, **options}
    built = systems.build(system, facts, model=model, learner=learner)
    self.learner = built.learner
    self.fns = fit_lib.compile_fit(built.learner, facts, all_sources)
    self.init = jax.jit(built.learner.init)
    self.num_steps = 0  # of the last round

  def rounds(self, pools: Sequence[pool_lib.PoolState]) -> float:
    """Trains on one labelled set after another; returns the seconds."""
    clock = Stopwatch()
    state = on_device(self.init(jax.random.key(0)))
    keys = [jax.random.key(1)]
    for pool in pools:
      *_, (state, progress) = fit_lib.fit(self.fns, keys, keys, [state], [pool])
      jax.block_until_ready(state)
      self.num_steps = int(progress.step[0])
    return clock.lap()


def labelled(
  dataset: data.Dataset, count: int, capacity: int | None = None
) -> pool_lib.PoolState:
  """Makes a pool whose first `count` examples are labelled.

  Args:
    dataset: pool with its answers.
    count: number of labelled examples.
    capacity: length of the array of queries; calls with the same capacity share
      a compiled program. If None, `count`.

  Returns:
    A PoolState.
  """
  indices = np.full(capacity or count, -1, np.int32)
  indices[:count] = np.arange(count)
  pool = jax.jit(pool_lib.reveal)(
    pool_lib.create(len(dataset.train)),
    indices,
    dataset.train.targets[indices],
    pool_lib.ORACLE,
    round=0,
  )
  return on_device(pool)


def on_device(tree: PyTree) -> PyTree:
  """Commits arrays to the device, as the loop does, to avoid recompilation."""
  return jax.device_put(tree, jax.local_devices()[0])

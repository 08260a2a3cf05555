"""Compares the picks of an accelerator with those of a CPU.

Two processes do the same runs: this one on the accelerator, and `answer` with
`JAX_PLATFORMS=cpu`. They exchange files in a folder. Three comparisons are made
for each system, the last two of picks in the first round:

  whole runs: each device trains on its own, so that rounding differences can
    grow during training;
  same weights: the CPU measures and selects with the weights of the
    accelerator;
  same measurements: the CPU selects by the accelerator's measurements. Kernels
    that decide exactly pick the same.
"""

import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import keys, oracle, systems
from al_jax.data import Dataset
from al_jax.interfaces import PyTree
from al_jax.loop import acquisition, beginning, program, protocol
from al_jax.loop.run_state import RunState
from al_jax.training import fit as fit_lib
from experiments.benchmarks.table import Row

SYSTEMS = (
  *('margin', 'bald', 'badge', 'core_set', 'entropy', 'k_means', 'lcmd'),
  'random',
)


class Sizes(NamedTuple):
  """Sizes of the runs.

  Attributes:
    systems: systems in the order of their runs.
    rounds: rounds per run.
    labels: labels per round, and of the first set.
    epochs: training epochs per round.
    widths: widths of the MLP's hidden layers.
    precisions: precisions of the accelerator's products. JAX's default there is
      not the highest: it rounds float32 to fewer digits.
  """

  systems: Sequence[str] = SYSTEMS
  rounds: int = 3
  labels: int = 100
  epochs: int = 20
  widths: tuple[int, ...] = (256, 256)
  precisions: tuple[str, ...] = ('default', 'highest')


# For a test on a CPU.
SMALL = Sizes(
  systems=SYSTEMS[:1],
  rounds=2,
  labels=10,
  epochs=2,
  widths=(8,),
  precisions=('highest',),
)


class Chosen(NamedTuple):
  """Picks of a run.

  Attributes:
    picks: int32[rounds, K].
    seconds: seconds to measure the pool and select in the last round.
    first: state after the training of the first round.
  """

  picks: np.ndarray
  seconds: float
  first: RunState


class Runner:
  """A system on a data set, compiled on first use."""

  def __init__(self, dataset: Dataset, system: str, sizes: Sizes):
    """Builds the system without compiling it."""
    self._sizes = sizes
    proceeding = protocol.Protocol(
      rounds=sizes.rounds + 1,
      labels_per_round=sizes.labels,
      first_size=sizes.labels,
    )
    self._protocol = proceeding
    facts = program.facts_of(dataset, proceeding.budget)
    model = {'name': 'mlp', 'widths': sizes.widths, 'dropout': 0.2}
    built = systems.build(
      system, facts, model=model, learner={'stop': {'epochs': sizes.epochs}}
    )
    self._program = program.compile_program(
      built, program.sources_of(dataset), dataset.train.ids
    )
    self._oracle = oracle.SimulatedOracle(dataset.train.targets, dataset.task)

  def begin(self) -> RunState:
    """Returns the state before the first round, with the first set answered."""
    return beginning.begin(self._program, self._oracle, self._protocol, seed=0)

  def run(self) -> Chosen:
    """Trains, selects and queries, round after round."""
    state, picks, first = self.begin(), [], None
    for number in range(self._sizes.rounds):
      state = self._trained(state, number)
      first = state if first is None else first
      state, found = acquisition.propose(
        self._program, state, self._sizes.labels, seed=0, round=number
      )
      picks.append(found.picks)
      state = acquisition.ask(
        self._program,
        self._oracle,
        state,
        self._sizes.labels,
        seed=0,
        round=number,
      )
    return Chosen(
      np.stack(picks), found.seconds_measure + found.seconds_select, first
    )

  def _trained(self, state, number):
    keys_of = functools.partial(keys.for_round, 0, number)
    for packed, _ in fit_lib.fit(
      self._program.fit,
      [keys_of(keys.START)],
      [keys_of(keys.SURVEY)],
      [state.learner],
      [state.pool],
    ):
      learner = packed
    return state.replace(learner=learner)

  def measured(self, state: RunState) -> tuple[PyTree, jax.Array]:
    """Measures the pool for the strategy, as in the first round."""
    strategy, where = self._program.strategy.strategy, None
    if strategy.where is not None:
      key = keys.for_round(0, 0, keys.WHERE)
      where = strategy.where(key, state.strategy, state.pool)
    key = keys.for_round(0, 0, keys.MEASURE)
    return self._program.strategy.measure(key, state.learner, where)

  def picked(self, state: RunState, measured: PyTree) -> np.ndarray:
    """Selects by `measured`, as in the first round."""
    _, picks = self._program.strategy.strategy.select(
      keys.for_round(0, 0, keys.SELECT),
      state.strategy,
      *measured,
      state.pool,
      self._sizes.labels,
    )
    return np.asarray(picks.indices)


def measure(
  dataset: Dataset,
  sizes: Sizes,
  folder: pathlib.Path,
  is_alive: Callable[[], bool],
) -> Iterator[Row]:
  """Compares picks with those of a process that calls `answer`.

  Args:
    dataset: data set, the same in both processes.
    sizes: sizes of the runs, the same in both processes.
    folder: folder for the files that the two processes exchange.
    is_alive: whether the other process still runs and is worth waiting for.

  Yields:
    A Row for each system; its seconds are those to measure the pool and select.
  """
  for system in sizes.systems:
    runner = Runner(dataset, system, sizes)
    runs, measured, picks = {}, {}, {}
    for precision in sizes.precisions:
      with jax.default_matmul_precision(precision):
        runs[precision] = runner.run()
        first = runs[sizes.precisions[0]].first
        measured[precision] = runner.measured(first)
        picks[precision] = runner.picked(first, measured[precision])
    _send(folder / f'{system}.asked.npz', first, measured[sizes.precisions[0]])
    answered = _received(folder / f'{system}.answered.npz', is_alive)
    yield _row(dataset, system, sizes, runs, picks, answered)


def _row(dataset, system, sizes, runs, picks, answered):
  usual = sizes.precisions[0]
  seconds, against = runs[usual].seconds, float(answered['seconds'])
  by_round = []
  for precision, run in runs.items():
    pairs = zip(run.picks, answered['run'], strict=True)
    numbers = ' '.join(str(shared(*pair)) for pair in pairs)
    by_round.append(f'{precision} {numbers}')
  of_weights = [
    f'{precision} {shared(found, answered["weights"])}'
    for precision, found in picks.items()
  ]
  same = shared(picks[usual], answered['measured'])
  return Row(
    f'{system}, {sizes.labels} of {len(dataset.train):,}',
    seconds,
    against,
    "the CPU's",
    seconds / against,
    note=f'picks shared, of {sizes.labels}: same measurements {same}; same '
    f'weights {", ".join(of_weights)}; by round {", ".join(by_round)}',
  )


def shared(picks: np.ndarray, others: np.ndarray) -> int:
  """Counts the picks that are among the others."""
  return len(set(picks.tolist()) & set(others.tolist()))


def answer(dataset: Dataset, sizes: Sizes, folder: pathlib.Path) -> None:
  """Runs every system, and answers the files that `measure` writes about it.

  Args:
    dataset: as in `measure`.
    sizes: as in `measure`.
    folder: as in `measure`.
  """
  parent = os.getppid()
  for system in sizes.systems:
    runner = Runner(dataset, system, sizes)
    own = runner.run()
    asked = _received(
      folder / f'{system}.asked.npz', lambda: os.getppid() == parent
    )
    state, measured = _rebuilt((own.first, runner.measured(own.first)), asked)
    _save(
      folder / f'{system}.answered.npz',
      run=own.picks,
      seconds=own.seconds,
      weights=runner.picked(state, runner.measured(state)),
      measured=runner.picked(state, measured),
    )


def _send(path, *trees):
  leaves = map(_plain, jax.tree.leaves(trees))
  _save(path, **{f'{at:05d}': leaf for at, leaf in enumerate(leaves)})


def _rebuilt(like, arrays):
  """Rebuilds a tree with the structure of `like` from the arrays of a file."""
  leaves, structure = jax.tree.flatten(like)
  found = [arrays[name] for name in sorted(arrays)]
  return structure.unflatten(
    [
      jax.random.wrap_key_data(array) if _is_key(leaf) else array
      for leaf, array in zip(leaves, found, strict=True)
    ]
  )


def _is_key(leaf):
  return jax.dtypes.issubdtype(getattr(leaf, 'dtype', int), jax.dtypes.prng_key)


def _plain(leaf):
  return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _save(path: pathlib.Path, **arrays: Any) -> None:
  """Writes a file atomically."""
  part = path.with_suffix('.part.npz')
  np.savez(part, **arrays)
  os.replace(part, path)


def _received(path, is_alive):
  """Waits for a file of the other process; returns its arrays."""
  while not path.exists():
    if not is_alive():
      raise RuntimeError(f'the other process did not write {path.name}')
    time.sleep(0.05)
  with np.load(path) as found:
    return dict(found)

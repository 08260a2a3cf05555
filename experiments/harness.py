"""Runs cells, a system on some seeds each, in this process or in several."""

import concurrent.futures
import multiprocessing
import pathlib
import queue
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax

from al_jax import checkpoint, loop, records, sources
from experiments import building, compilation_cache, signals
from experiments.building import Config, Experiment

OnRecord = Callable[[records.RoundRecord], None]


class Cell(NamedTuple):
  """What one checkpoint holds: a system on seeds that advance together."""

  system: str
  seeds: tuple[int, ...]

  def folder(self, root: pathlib.Path) -> pathlib.Path:
    """Where the cell saves."""
    label = '_'.join(str(seed) for seed in self.seeds)
    return root / self.system / f'seed_{label}'


def cells_of(
  config: Config, systems: Sequence[str], *, workers: int
) -> list[Cell]:
  """The cells of an experiment.

  On an accelerator the seeds of a system advance in one call. On a CPU, or in
  processes, each seed is a cell; in one process they still share the compiled
  programs.
  """
  seeds = building.seed_list(config)
  together = (
    workers == 1
    and jax.default_backend() != 'cpu'
    and config['placement'] != 'host'
  )
  groups = [seeds] if together else [(seed,) for seed in seeds]
  return [Cell(system, group) for system in systems for group in groups]


def run_cells(
  experiment: Experiment,
  cells: Sequence[Cell],
  folder: pathlib.Path,
  should_stop: Callable[[], bool],
  on_record: OnRecord,
) -> None:
  """Runs cells one after another.

  Args:
    experiment: data, protocol, oracle.
    cells: those of one system in a row, so that they share what it compiles.
    folder: where the cells save.
    should_stop: see `loop.run_rounds`.
    on_record: called with each record as it comes, earlier ones included.

  Raises:
    loop.Interrupted: on request; everything is saved.
  """
  all_sources = program = None
  for cell in cells:
    if all_sources is None:
      all_sources = sources_of(experiment)
    if program is None or program.system.name != cell.system:
      program = building.program_of(
        experiment, cell.system, all_sources, len(cell.seeds)
      )
    with checkpoint.Checkpointer(cell.folder(folder)) as checkpointer:
      for record in loop.run_rounds(
        program,
        experiment.oracle,
        experiment.protocol,
        cell.seeds,
        checkpointer=checkpointer,
        should_stop=should_stop,
      ):
        on_record(record)


def run_cells_in_processes(
  config: Config,
  cells: Sequence[Cell],
  folder: pathlib.Path,
  workers: int,
  should_stop: Callable[[], bool],
  on_record: OnRecord,
) -> None:
  """Runs cells side by side, each in a process of its own.

  Args:
    config: as plain values; each process loads the data for itself.
    cells: in the order in which they begin.
    folder: where the cells save.
    workers: how many processes.
    should_stop: a request in this process; a Ctrl-C reaches the others itself.
    on_record: called in this process.

  Raises:
    loop.Interrupted: on request; everything is saved.
  """
  context = multiprocessing.get_context('spawn')
  cache = jax.config.jax_compilation_cache_dir
  with (
    context.Manager() as manager,
    concurrent.futures.ProcessPoolExecutor(workers, context) as pool,
  ):
    lines = manager.Queue()
    futures = [
      pool.submit(_work, config, cell, folder, cache, lines) for cell in cells
    ]
    try:
      _relay(futures, lines, should_stop, on_record)
    finally:
      for future in futures:
        future.cancel()


def _work(config, cell, folder, cache, lines):
  """A cell in a process of its own; its records go home as lines."""
  if cache is not None:
    compilation_cache.enable(cache)
  with signals.StopRequest().listening() as should_stop:
    run_cells(
      building.prepare(config),
      [cell],
      folder,
      should_stop,
      lambda record: lines.put(record.to_json()),
    )


def _relay(futures, lines, should_stop, on_record):
  """Hands records on as they come, until all cells are done or one fails."""
  waiting = set(futures)
  while waiting or not lines.empty():
    try:
      on_record(records.RoundRecord.from_json(lines.get(timeout=0.2)))
      continue
    except queue.Empty:
      pass
    done, waiting = concurrent.futures.wait(waiting, timeout=0)
    if should_stop():
      for future in waiting:
        future.cancel()
    for future in done:
      if not future.cancelled():
        future.result()
  if should_stop():
    raise loop.Interrupted


def sources_of(experiment: Experiment) -> sources.Sources:
  """The data, where the config wants them."""
  return building.program.sources_of(
    experiment.dataset, experiment.config['placement']
  )

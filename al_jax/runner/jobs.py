"""Runs jobs one after another: each is a system on some seeds."""

import contextlib
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax

from al_jax import loop
from al_jax.loop import run_state
from al_jax.loop.events import Observer
from al_jax.runner import checks, identity, pretraining
from al_jax.runner import config as config_lib
from al_jax.runner.config import Experiment
from al_jax.runner.options import Config
from al_jax.storage import checkpoint, workdir


class Job(NamedTuple):
  """Content of one checkpoint: a system on seeds that advance together."""

  system: str
  seeds: tuple[int, ...]

  def folder(self, root: pathlib.Path) -> pathlib.Path:
    """Returns the folder in which the job saves."""
    label = '_'.join(str(seed) for seed in self.seeds)
    return workdir.below(root, self.system, f'seed_{label}')


def jobs_of(
  config: Config, systems: Sequence[str], *, workers: int
) -> list[Job]:
  """Returns the jobs of an experiment.

  On one accelerator all seeds of a system advance in one call. On a CPU, on
  several devices, or with several processes, each seed is a job; within one
  process they still share the compiled programs.
  """
  seeds = checks.seed_list(config)
  together = (
    workers == 1
    and jax.default_backend() != 'cpu'
    and jax.device_count() == 1
    and config['placement'] != 'host'
  )
  groups = [seeds] if together else [(seed,) for seed in seeds]
  return [Job(system, group) for system in systems for group in groups]


def run_jobs(
  experiment: Experiment,
  jobs: Iterable[Job],
  folder: pathlib.Path | None,
  should_stop: Callable[[], bool],
  observers: Sequence[Observer],
) -> None:
  """Runs jobs one after another.

  Args:
    experiment: the experiment.
    jobs: jobs, those of one system in a row, so that they share its compiled
      programs.
    folder: folder in which the jobs save. If None, they do not save.
    should_stop: see `loop.run_rounds`.
    observers: receive each record, earlier ones included, and the progress of
      rounds.

  Raises:
    loop.Interrupted: `should_stop` returned True; everything is saved.
  """
  all_sources = program = None
  for job in jobs:
    if all_sources is None:
      # The first process has made these already; a worker only reads them.
      experiment, _ = pretraining.with_weights(experiment, should_stop)
      all_sources = config_lib.sources_of(experiment)
    if program is None or program.system.name != job.system:
      program = config_lib.program_of(
        experiment, job.system, all_sources, len(job.seeds)
      )
    with _saving(job, folder) as checkpointer:
      for _ in loop.run_rounds(
        program,
        experiment.oracle,
        experiment.protocol,
        job.seeds,
        features=experiment.features,
        checkpointer=checkpointer,
        identity=None
        if folder is None
        else identity.identity_of(experiment, job.system),
        upgraded=identity.upgraded_identity,
        prices=experiment.config['prices'],
        should_stop=should_stop,
        observers=observers,
      ):
        pass


def _saving(job, folder):
  """Opens the checkpoints of a job, if it saves."""
  if folder is None:
    return contextlib.nullcontext()
  return checkpoint.Checkpointer(job.folder(folder))


def is_finished(job: Job, folder: pathlib.Path) -> bool:
  """Returns whether the last save of a job is that of a finished run."""
  own = job.folder(folder)
  if not own.is_dir():
    return False
  with checkpoint.Checkpointer(own) as checkpointer:
    return run_state.is_over(checkpointer.latest_metadata())

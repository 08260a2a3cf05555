"""Restores the model that a finished run trained last."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from al_jax import data
from al_jax.exporting.written import Trained
from al_jax.interfaces import Learner
from al_jax.loop import run_state
from al_jax.loop.run_state import Run
from al_jax.runner import checks, identity
from al_jax.runner import config as config_lib
from al_jax.runner.config import Experiment
from al_jax.runner.jobs import Job
from al_jax.storage import checkpoint, manifest, workdir

_SEEDS = 'seed_'


def trained(
  run: pathlib.Path, *, system: str | None, seed: int | None
) -> Trained:
  """Restores the learner of a run after its last round.

  Args:
    run: Folder of the run.
    system: Name of the system. May be None if the run has only one.
    seed: Seed of the run. May be None if the run has only one.

  Returns:
    The learner after the last round.

  Raises:
    ValueError: If there is no such run, it is not finished, or its data have
      changed.
    CheckpointError: If the checkpoint cannot be read.
    WorkdirError: If another process is working on the run, or a file is a link.
  """
  about = _about(run)
  config = identity.upgraded(about['config'], about['systems'])
  system = _chosen(run, 'system', system, about['systems'])
  seed = _chosen(run, 'seed', seed, checks.seed_list(config))
  dataset = data.load(config['data'])
  _refuse_other(run, about, dataset)
  experiment = config_lib.prepare(config, dataset=dataset)
  with workdir.Workdir(run) as place:
    learner, found = _restored(experiment, place.path, system, seed)
  return Trained(
    learner,
    found.state.learner,
    experiment.facts,
    config['model'],
    _origin(about, system, found),
    (dataset.test or dataset.train).inputs,
    config['chunk_size'],
  )


def _about(run: pathlib.Path) -> dict[str, Any]:
  """Reads the manifest of a run of one experiment."""
  path = run / 'manifest.json'
  workdir.refuse_link(path)
  if not path.is_file():
    raise ValueError(
      f'{run} holds no run: there is no manifest.json. Name the workdir of '
      'al-jax run.'
    )
  about = manifest.read(path)
  if 'data' not in about and about.get('settings'):
    raise ValueError(
      f'{run} holds a grid of {len(about["settings"])} experiments; name the '
      f'folder of one: {run / about["settings"][0]}'
    )
  for field in ('config', 'data', 'systems'):
    if field not in about:
      raise ValueError(f'{path} is damaged: it has no {field!r}.')
  return about


def _chosen(run, kind, given, known: Sequence[Any]):
  """Returns the given system or seed; if None, the only one."""
  listed = ', '.join(map(str, known))
  if given is None and len(known) == 1:
    return known[0]
  if given is None:
    raise ValueError(
      f'{kind} is not given, and {run} has {len(known)}: it must be one of '
      f'{listed}.'
    )
  if given not in known:
    raise ValueError(f'{kind} is {given!r}; {run} has {listed}.')
  return given


def _refuse_other(run, about, dataset):
  """Raises ValueError if the data have changed since the run began."""
  before, now = about['data']['fingerprint'], dataset.fingerprint
  if before != now:
    raise ValueError(
      f'the data of {run}, {about["data"]["name"]}, have changed since it '
      f'began (fingerprint {before} then, {now} now), but the constants that '
      'normalise inputs are computed from them: put the old data back.'
    )


def _restored(
  experiment: Experiment, run: pathlib.Path, system: str, seed: int
) -> tuple[Learner, Run]:
  """Restores the learner and the finished run of a seed."""
  folder = workdir.below(run, 'checkpoints', system)
  jobs = [
    job
    for job in _jobs(folder, system)
    if seed in job.seeds and job.folder(run / 'checkpoints').is_dir()
  ]
  if not jobs:
    raise ValueError(
      f'{run} has no checkpoint of {system}, seed {seed}; to train it, repeat '
      'the command of the run.'
    )
  job = jobs[0]
  program = config_lib.program_of(
    experiment, system, config_lib.sources_of(experiment), len(job.seeds)
  )
  with checkpoint.Checkpointer(job.folder(run / 'checkpoints')) as saves:
    runs, _, _ = run_state.restore(
      program,
      saves,
      job.seeds,
      run_state.identity_of(program, identity.identity_of(experiment, system)),
      identity.upgraded_identity,
    )
  found = next((each for each in runs or () if each.seed == seed), None)
  if found is None or found.ended is None or not found.records:
    done = 0 if found is None else len(found.records)
    raise ValueError(
      f'{system}, seed {seed}, in {run} is not finished: {done} of '
      f'{experiment.protocol.rounds} rounds are; repeat the command of the run '
      'to resume it.'
    )
  return program.system.learner, found


def _jobs(folder: pathlib.Path, system: str) -> list[Job]:
  """Lists the jobs with checkpoints in the folder of a system."""
  found = []
  for path in sorted(folder.glob(f'{_SEEDS}*')):
    seeds = path.name.removeprefix(_SEEDS).split('_')
    if all(each.isdigit() for each in seeds):
      found.append(Job(system, tuple(map(int, seeds))))
  return found


def _origin(
  about: Mapping[str, Any], system: str, found: Run
) -> dict[str, Any]:
  """Describes the origin of a model, for config.json."""
  last = found.records[-1]
  return {
    'system': system,
    'seed': found.seed,
    'round': last.round,
    'labels': last.labels,
    'test': dict(last.test),
    'data': {
      'spec': about['config']['data'],
      **{name: about['data'][name] for name in ('name', 'fingerprint')},
    },
    'versions': about.get('versions'),
    'started': about.get('started'),
  }

"""Trains the model of a labelling project on all of its labels."""

import pathlib

from al_jax import pool as pool_lib
from al_jax.exporting.written import Trained
from al_jax.labelling import asking, project, proposing
from al_jax.labelling.model import Model


def trained(folder: pathlib.Path) -> Trained:
  """Trains the model of a project on the labels so far, as `ask` does.

  Args:
    folder: Folder of the project.

  Returns:
    The trained learner.

  Raises:
    ValueError: If there are no labels yet, or the pool has changed.
  """
  now = project.of(folder)
  dataset = asking.load_pool(now)
  asking.check_pool(now, dataset)
  pool = proposing.pool_of(now, dataset)
  labels = int(pool_lib.num_trainable(pool))
  if not labels:
    raise ValueError(
      f'{folder} has no labels yet, so there is nothing to train on; tell '
      'answers first.'
    )
  model = Model(
    dataset, now.config, 1, proposing.capacity_of(dataset, labels + 1)
  )
  round = len(now.batches) - 1
  state = model.trained(pool, round)
  origin = {
    'system': model.program.system.name,
    'seed': model.seed,
    'round': round,
    'labels': labels,
    'data': {
      'spec': now.begun['pool'],
      'name': dataset.name,
      'fingerprint': dataset.fingerprint,
    },
  }
  return Trained(
    model.program.system.learner,
    state,
    model.program.system.facts,
    now.config['model'],
    origin,
    dataset.train.inputs,
    now.config['chunk_size'],
  )

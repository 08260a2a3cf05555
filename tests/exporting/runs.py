"""Small finished runs, for the tests of exported models."""

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import inference
from al_jax.exporting import run as run_lib
from al_jax.exporting.written import Trained
from al_jax.runner import cells, defaults, runs
from al_jax.runner import config as config_lib
from al_jax.storage import manifest, workdir

TINY = {
  'protocol': {'rounds': 2, 'first_size': 10, 'labels_per_round': 10},
  'learner': {'stop': {'epochs': 2}, 'batch_size': 8},
}


def config_of(data, systems, model, **changes):
  """A config as plain values: a few labels, a few steps."""
  config = defaults.get_config()
  for field, value in {**TINY, **changes}.items():
    if isinstance(value, dict):
      config[field].update(value)
    else:
      config[field] = value
  config.data, config.systems, config.model = data, systems, model
  config = manifest.plain_config(config.to_dict())
  return config


def finished(folder, data, systems, model, **changes):
  """Runs systems until the run is over; returns the folder."""
  config = config_of(data, systems, model, **changes)
  how = cells.How(quiet=True)
  assert runs.run(config, runs.cells_of(config), folder, how) == 0
  return folder


def states_of(run, system, seed):
  """The learner, and its state in the last checkpoint."""
  about = run_lib._about(run)
  experiment = config_lib.prepare(about['config'])
  with workdir.Workdir(run) as place:
    learner, found = run_lib._restored(experiment, place.path, system, seed)
  return learner, found.state.learner, experiment


def of_learner(learner, state, inputs):
  """What a learner predicts, at the chunk size of runs."""
  of_pool = inference.make_pool_map(
    lambda state, batch: learner.apply(state, batch.inputs).predictions
  )
  return np.asarray(of_pool(state, inputs))


def drawn(learner):
  """A state of a learner: to compile its `init` may take half a minute."""
  rng = np.random.default_rng(0)

  def of_leaf(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return jax.random.split(jax.random.key(0), leaf.shape)
    # Variances are above 0.
    values = np.abs(0.1 * rng.normal(size=leaf.shape)) + 0.01
    return jax.device_put(values.astype(leaf.dtype))

  shapes = jax.eval_shape(learner.init, jax.random.key(0))
  return jax.tree.map(of_leaf, shapes)


def unrun(learner, state, facts, model, inputs):
  """A learner as a run leaves it, which no run has trained."""
  origin = {'system': 'mine', 'seed': 0, 'round': 0, 'labels': 0}
  return Trained(learner, state, facts, model, origin, inputs, 1000)

"""Compares predicted losses with the true losses of examples.

A strategy that queries the largest predicted losses needs only their order: if
the running median rises, the queries have large true losses.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import inference, sources
from al_jax.training import forward, ranking
from experiments.diagnostics import runs
from experiments.diagnostics.runs import Case, Options

NAME = 'predicted and true loss'
# The output of a learner that predicts its losses.
_OUTPUT = 'predicted_loss'
_MOST_EXAMPLES = 2000
# A logarithmic axis has no zero, the loss of a certain and right prediction.
# Below this value the rounding of float32 would show.
_LEAST_LOSS = 1e-5


def diagnose(case: Case, options: Options) -> dict[str, Any] | None:
  """Measures the true and the predicted losses of test examples.

  Args:
    case: the run.
    options: see `Options`; the models are of one seed.

  Returns:
    A diagnostic, see `result_files.write_diagnostics`; None without a system
    that predicts losses, or without a held-out split.
  """
  names = [
    name
    for name in case.results.systems
    if _OUTPUT in case.program(name).system.extras
  ]
  split = next((of for of in sources.HELD_OUT[::-1] if of in case.sources), '')
  if not names or not split:
    lacking = (
      'the data have no test split' if names else 'no system predicts losses'
    )
    case.say(f'left out: {NAME}; {lacking}')
    return None
  points, told = {}, []
  for name in names:
    models = runs.models(case, system=name, num_seeds=1, labels=options.labels)
    predicted, losses = _losses(case, models[0], split)
    share = float(ranking.concordance(predicted, losses))
    told.append(
      f'{runs.described(models)}: {100 * share:.1f}% of pairs ranked right '
      '(chance: 50%)'
    )
    case.say(told[-1])
    points[name] = {
      'x': predicted.tolist(),
      'y': jnp.maximum(losses, _LEAST_LOSS).tolist(),
    }
  return {
    'x_label': 'predicted loss',
    'y_label': 'true loss',
    'logarithmic_y': True,
    'points': points,
    'note': (
      f'{len(predicted):,} examples of the {split} split, evenly spaced. '
      f'{"; ".join(told)}. True losses are those of the task. Predicted '
      f'losses have no unit, and those of two '
      f'models do not compare. True losses below {_LEAST_LOSS:g} are shown '
      f'as {_LEAST_LOSS:g}.'
    ),
  }


def _losses(case, model, split):
  """Returns predicted and true losses of examples of a split, [N] each."""
  task = case.experiment.dataset.task
  learner = case.program(model.system).system.learner
  examples = _some(getattr(case.experiment.dataset, split))
  targets = jax.tree.map(jnp.asarray, examples.targets)

  def measure(state, batch):
    output = learner.apply(state, batch.inputs)
    of_batch = forward.targets_of(targets, batch.index)
    return output.extras[_OUTPUT], task.losses(output.predictions, of_batch)

  chunk_size = case.experiment.config['chunk_size']
  map_split = inference.make_pool_map(measure, chunk_size=chunk_size)
  return map_split(model.learner, examples.inputs)


def _some(split):
  """Takes evenly spaced examples of a split."""
  number = min(len(split), _MOST_EXAMPLES)
  return split.take(np.arange(number) * len(split) // number)

"""How good a model is on a split, from a few numbers per example."""

import functools
from collections.abc import Callable, Mapping

import jax

from al_jax import inference
from al_jax.interfaces import Learner
from al_jax.sources import Source
from al_jax.tasks import Task


def make_evaluate(
  learner: Learner,
  source: Source,
  task: Task,
  *,
  chunk_size: int = 1000,
  num_samples: int = 0,
) -> Callable[..., tuple[Mapping[str, jax.Array], jax.Array]]:
  """Compiles the evaluation of a learner on a split.

  Args:
    learner: whose predictions are measured.
    source: the split, with all of its answers.
    task: what is predicted.
    chunk_size: rows per forward pass.
    num_samples: dropout samples whose mean prediction is evaluated too, as
      `mc_accuracy` and so on; 0 for none.

  Returns:
    `evaluate(key, state) -> (metrics, class_accuracy)`, see `Task.summarise`,
    with the metrics of the learner's own report; the key is of the dropout
    samples.
  """
  targets, report = source.pool.targets, learner.report

  def measure(args, batch):
    key, state, targets = args
    # Padding rows take the last target; nothing of them is kept.
    of_rows = jax.tree.map(lambda leaf: leaf[batch.index], targets)
    once = task.measure(learner.apply(state, batch.inputs).predictions, of_rows)
    own = ()
    if report is not None:
      apply = functools.partial(learner.apply, state)
      own = report.measure(key, apply, batch, of_rows)
    if num_samples == 0:
      return (once,), own
    keys = jax.random.split(key, num_samples)
    samples = learner.apply(state, batch.inputs, keys=keys).predictions
    return (once, task.measure(task.mean(samples), of_rows)), own

  map_split = inference.make_pool_map(measure, chunk_size=chunk_size)

  @jax.jit
  def reduce(measured, targets):
    (once, *sampled), own = measured
    metrics, class_accuracy = task.summarise(once, targets)
    for each in sampled:
      of_samples, _ = task.summarise(each, targets)
      metrics |= {f'mc_{name}': value for name, value in of_samples.items()}
    if report is not None:
      metrics |= report.reduce(own)
    return metrics, class_accuracy

  def evaluate(key, state):
    measured = map_split((key, state, targets), source.inputs)
    return reduce(measured, targets)

  return evaluate

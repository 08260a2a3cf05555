"""Training losses for classification, which replace the task's own.

Each is `(logits float32[B, C], targets int32[B], **options) -> float32[B]`, in
nats. Accuracy, log loss and patience still use the task's own loss.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from al_jax import errors, parts, tasks
from al_jax.interfaces import PyTree
from al_jax.tasks import Task

# A name, a dotted path, a function, or a mapping with one of these as its
# `name`, and options.
Spec = str | Mapping[str, Any] | Callable[..., jax.Array]
# Number of rows of the batch that checks a loss.
_FEW = 3


def label_smoothing(
  logits: jax.Array, targets: jax.Array, *, smoothing: float = 0.1
) -> jax.Array:
  """Computes the cross-entropy with smoothed targets.

    - sum over c of ((1 - s) [c = target] + s / C) log p_c

  Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer
  Vision", section 7.

  Args:
    logits: float32[B, C].
    targets: int32[B].
    smoothing: s, at least 0 and below 1; 0 gives the cross-entropy.

  Returns:
    float32[B].
  """
  errors.check_number('smoothing', smoothing, least=0, below=1)
  log_probs = jax.nn.log_softmax(logits)
  of_target = jnp.take_along_axis(log_probs, targets[:, None], axis=1)[:, 0]
  return -(1 - smoothing) * of_target - smoothing * jnp.mean(log_probs, axis=1)


def focal(
  logits: jax.Array, targets: jax.Array, *, gamma: float = 2.0
) -> jax.Array:
  """Computes the focal loss, which gives easy examples less weight.

    - (1 - p)^gamma log p, with p the probability of the target.

  1 - p is computed as the sum of the other probabilities, in log space, so that
  the gradient is finite at p = 1 for every gamma.

  Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4.

  Args:
    logits: float32[B, C], C at least 2.
    targets: int32[B].
    gamma: exponent, at least 0; 0 gives the cross-entropy.

  Returns:
    float32[B].
  """
  errors.check_number('gamma', gamma, least=0)
  if logits.shape[1] < 2:
    raise ValueError('the focal loss needs at least 2 classes; there is 1.')
  log_probs = jax.nn.log_softmax(logits)
  of_target = jnp.take_along_axis(log_probs, targets[:, None], axis=1)[:, 0]
  is_target = jax.nn.one_hot(targets, logits.shape[1], dtype=jnp.bool_)
  # exp(-inf) leaves the target out of the sum.
  others = jnp.where(is_target, -jnp.inf, log_probs)
  return -jnp.exp(gamma * jax.nn.logsumexp(others, axis=1)) * of_target


LOSSES = {'label_smoothing': label_smoothing, 'focal': focal}


def build(
  spec: Spec | None, task: Task
) -> Callable[[PyTree, PyTree], jax.Array]:
  """Makes the loss that training minimises.

  Args:
    spec: a name in `LOSSES`, a dotted path, or a function of predictions and
      targets, both with the structure of the task; or a mapping with one of
      these as `name`, and options. If None, the losses of the task.
    task: the task.

  Returns:
    `(predictions, targets) -> float32[B]`, a loss for each example.

  Raises:
    ValueError: a name or an option is unknown, the loss needs classes and the
      task has none, or a function does not return float32[B].
  """
  if spec is None:
    return task.losses
  options = dict(spec) if isinstance(spec, Mapping) else {'name': spec}
  name = options.pop('name', None)
  loss = parts.find('loss', name, LOSSES)
  called = parts.name_of(name)
  errors.check_options(f'loss {called!r}', loss, options)
  if loss in LOSSES.values():
    tasks.need_classes(task, f'loss {called!r}')
  loss = functools.partial(loss, **options)
  _check(called, loss, task)
  return loss


def _check(called, loss, task):
  """Raises ValueError unless a loss returns a number for each example."""
  predictions = jax.tree.map(
    lambda size: jax.ShapeDtypeStruct((_FEW, size), jnp.float32), task.outputs
  )
  try:
    found = jax.eval_shape(loss, predictions, task.empty(_FEW))
  except Exception as error:  # User code may raise anything.
    if loss.func in LOSSES.values():
      raise
    given = f'predictions {_forms(predictions)}'
    targets = jax.eval_shape(lambda: task.empty(_FEW))
    raise ValueError(
      f'loss {called!r} fails with {given} and targets {_forms(targets)}, with '
      f'{type(error).__name__}: {errors.in_one_line(error)}'
    ) from error
  if getattr(found, 'shape', None) != (_FEW,) or found.dtype != jnp.float32:
    raise ValueError(
      f'loss {called!r} returns {_forms(found)} for {_FEW} examples; it must '
      f'return float32[{_FEW}], a loss for each.'
    )


def _forms(tree):
  """Spells types and shapes for a message."""
  return jax.tree.map(lambda leaf: f'{leaf.dtype}{list(leaf.shape)}', tree)

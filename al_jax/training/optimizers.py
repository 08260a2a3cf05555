"""Optax optimisers whose learning rate follows a share of the round.

The number of steps of a round grows with the labelled set and is a traced
number, on which optax's own schedules fail: here a schedule is a function of
step / total, applied to the update outside optax.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from al_jax import errors
from al_jax.interfaces import PyTree


class Optimizer(NamedTuple):
  """A gradient transformation with its schedule inside.

  Attributes:
    init: `(params) -> state`.
    update: `(gradients, state, params, fraction, num_examples=1) -> (updates,
      state)`; `fraction` of the round is over, in [0, 1), and an epoch has
      `num_examples`.
  """

  init: Callable[..., PyTree]
  update: Callable[..., tuple[PyTree, PyTree]]


def _constant(fraction):
  return jnp.ones_like(fraction)


def _linear(fraction):
  return 1.0 - fraction


def _cosine(fraction):
  return 0.5 * (1.0 + jnp.cos(jnp.pi * fraction))


def _steps(fraction):
  return jnp.where(fraction < 0.5, 1.0, jnp.where(fraction < 0.75, 0.1, 0.01))


# Multiplies the learning rate when a fraction of the round is over. `steps`
# divides it by 10 at one half and at three quarters.
SCHEDULES = {
  'constant': _constant,
  'linear': _linear,
  'cosine': _cosine,
  'steps': _steps,
}


def _adam(decay, momentum, nesterov):
  del momentum
  return [decay, optax.scale_by_adam(nesterov=nesterov)]


def _adamw(decay, momentum, nesterov):
  del momentum
  return [optax.scale_by_adam(nesterov=nesterov), decay]


def _sgd(decay, momentum, nesterov):
  return [decay, optax.trace(decay=momentum, nesterov=nesterov)]


def _rmsprop(decay, momentum, nesterov):
  return [
    decay,
    # As in PyTorch: optax would add epsilon under the root, which matters for
    # gradients near its root, 1e-4.
    optax.scale_by_rms(decay=0.99, eps_in_sqrt=False),
    optax.trace(decay=momentum, nesterov=nesterov),
  ]


def _decay(weight_decay, per_example):
  """Adds that much of the weights, or that much divided by the examples."""
  if weight_decay == 0:
    return optax.identity()
  if not per_example:
    return optax.add_decayed_weights(weight_decay)

  def add(updates, state, params, *, num_examples):
    rate = weight_decay / jnp.maximum(num_examples, 1)
    return jax.tree.map(lambda u, p: u + rate * p, updates, params), state

  return optax.GradientTransformationExtraArgs(
    lambda params: optax.EmptyState(), add
  )


# Weight decay is part of the gradient (L2), as in PyTorch, except in adamw,
# where it is decoupled.
OPTIMIZERS = {
  'adam': _adam,
  'adamw': _adamw,
  'sgd': _sgd,
  'rmsprop': _rmsprop,
}


def build(
  name: str = 'adam',
  *,
  learning_rate: float = 1e-3,
  schedule: str = 'constant',
  warmup: float = 0.0,
  weight_decay: float = 0.0,
  decay_per_example: bool = False,
  momentum: float = 0.9,
  nesterov: bool = False,
  clip_value: float | None = None,
  clip_norm: float | None = None,
) -> Optimizer:
  """An optimiser by name.

  Args:
    name: adam, adamw, sgd or rmsprop.
    learning_rate: the peak of the schedule.
    schedule: constant, linear, cosine or steps.
    warmup: the share of the round over which the rate rises from 0; the
      schedule is spread over the rest.
    weight_decay: L2 in the gradient; decoupled in adamw.
    decay_per_example: it is divided by the number of examples of an epoch, as
      a prior on the weights is when the loss is a mean: 3.5 is 0.175 with 20
      labels and 0.0035 with 1,000.
    momentum: of sgd and rmsprop.
    nesterov: Nesterov's variant of the momentum, or of Adam.
    clip_value: gradients are clipped to [-clip_value, clip_value], elementwise.
    clip_norm: and then to this global norm.

  Returns:
    An Optimizer.

  Raises:
    ValueError: a name that is not known, or a number out of its range.
  """
  errors.check_name('optimizer', name, OPTIMIZERS)
  errors.check_name('schedule', schedule, SCHEDULES)
  errors.check_number('learning_rate', learning_rate, above=0)
  errors.check_number('warmup', warmup, least=0, below=1)
  errors.check_number('weight_decay', weight_decay, least=0)
  errors.check_flag('decay_per_example', decay_per_example)
  errors.check_number('momentum', momentum, least=0, below=1)
  errors.check_flag('nesterov', nesterov)
  errors.check_number('clip_value', clip_value, above=0, optional=True)
  errors.check_number('clip_norm', clip_norm, above=0, optional=True)

  parts = []
  if clip_value is not None:
    parts.append(optax.clip(clip_value))
  if clip_norm is not None:
    parts.append(optax.clip_by_global_norm(clip_norm))
  decay = _decay(weight_decay, decay_per_example)
  parts += OPTIMIZERS[name](decay, momentum, nesterov)
  transformation = optax.with_extra_args_support(optax.chain(*parts))
  multiplier = SCHEDULES[schedule]

  def rate(fraction):
    fraction = jnp.asarray(fraction, jnp.float32)
    if warmup == 0:
      return learning_rate * multiplier(fraction)
    after = jnp.clip((fraction - warmup) / (1.0 - warmup), 0.0, 1.0)
    rising = jnp.minimum(fraction / warmup, 1.0)
    return learning_rate * rising * multiplier(after)

  def update(gradients, state, params, fraction, num_examples=1):
    updates, state = transformation.update(
      gradients, state, params, num_examples=num_examples
    )
    scale = -rate(fraction)
    return jax.tree.map(lambda u: scale * u, updates), state

  return Optimizer(init=transformation.init, update=update)

"""Optax optimizers whose learning rate depends on the share of the round.

The number of steps of a round grows with the labelled set and is a traced
number, which optax's own schedules do not accept. So a schedule is a function
of step / total, applied to the update outside optax. Schedules by step are
optax's own; they count in the optimizer's state, which each round resets.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from al_jax import errors
from al_jax.interfaces import PyTree
from al_jax.training import schedules


class Optimizer(NamedTuple):
  """A gradient transformation with its schedule inside.

  Attributes:
    init: `(params) -> state`.
    update: `(gradients, state, params, fraction, num_examples=1) -> (updates,
      state)`; `fraction` is the share of the round that is over, in [0, 1), and
      `num_examples` the number of examples in an epoch.
  """

  init: Callable[..., PyTree]
  update: Callable[..., tuple[PyTree, PyTree]]


def _adam(decay, momentum, nesterov, *, beta1=0.9, beta2=0.999):
  del momentum
  return [decay, optax.scale_by_adam(beta1, beta2, nesterov=nesterov)]


def _adamw(decay, momentum, nesterov, *, beta1=0.9, beta2=0.999):
  del momentum
  return [optax.scale_by_adam(beta1, beta2, nesterov=nesterov), decay]


def _sgd(decay, momentum, nesterov):
  return [decay, optax.trace(decay=momentum, nesterov=nesterov)]


def _rmsprop(decay, momentum, nesterov):
  return [
    decay,
    # As in PyTorch. By default optax adds epsilon under the root, which matters
    # for gradients near the root of epsilon, 1e-4.
    optax.scale_by_rms(decay=0.99, eps_in_sqrt=False),
    optax.trace(decay=momentum, nesterov=nesterov),
  ]


def _adadelta(decay, momentum, nesterov):
  del momentum
  if nesterov:
    raise ValueError("nesterov is True; optimizer 'adadelta' does not have it.")
  # As published, and as in Keras; PyTorch and optax use a rho of 0.9.
  return [decay, optax.scale_by_adadelta(rho=0.95, eps=1e-6)]


def _decay(weight_decay, per_example):
  """Makes a weight decay, divided by `num_examples` if `per_example`."""
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
# where it is decoupled. Keyword-only arguments are options of an optimizer.
OPTIMIZERS = {
  'adam': _adam,
  'adamw': _adamw,
  'sgd': _sgd,
  'rmsprop': _rmsprop,
  'adadelta': _adadelta,
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
  beta1: float | None = None,
  beta2: float | None = None,
  milestones: Sequence[float] | None = None,
  factor: float | None = None,
  decay_rate: float | None = None,
  transition_steps: int | None = None,
  staircase: bool | None = None,
  rates: Mapping[str, float] | None = None,
) -> Optimizer:
  """Builds an optimizer by name.

  Args:
    name: adam, adamw, sgd, rmsprop or adadelta.
    learning_rate: peak of the schedule; 1 for adadelta as published.
    schedule: constant, linear, cosine, steps, milestones or exponential.
    warmup: share of the round over which the rate rises from 0; the schedule is
      spread over the rest.
    weight_decay: L2 in the gradient; decoupled in adamw.
    decay_per_example: whether `weight_decay` is divided by the number of
      examples in an epoch, like a prior on the weights when the loss is a mean:
      3.5 becomes 0.175 with 20 labels and 0.0035 with 1,000.
    momentum: momentum of sgd and rmsprop.
    nesterov: whether to use Nesterov's variant of the momentum, or of Adam.
    clip_value: largest absolute value of a gradient's elements; larger ones
      are clipped.
    clip_norm: largest global norm of the gradient, applied after `clip_value`.
    beta1: decay of the mean of the gradients, for adam and adamw. If None, 0.9.
    beta2: decay of the mean of their squares. If None, 0.999.
    milestones: increasing shares of the round, without the warmup, at which the
      schedule `milestones` multiplies the learning rate by `factor`.
    factor: multiplier at each milestone. If None, 0.1.
    decay_rate: multiplier of the schedule `exponential` per `transition_steps`,
      as in `optax.exponential_decay`.
    transition_steps: number of steps of that schedule, counted from the first
      step of the round, including the warmup.
    staircase: whether that schedule decays only at the end of each
      `transition_steps` instead of at each step. If None, False.
    rates: multipliers of the learning rate by layer: `{'trunk': 0.1,
      'trunk/layer4': 0.3}`. If several names match a layer, the longest one
      applies. A multiplier of 0 freezes the weights, but not the statistics.

  Returns:
    An Optimizer. Its `init` raises ValueError for a name in `rates` that no
    layer has.

  Raises:
    ValueError: a name is unknown, a number is out of range, or neither the
      optimizer nor the schedule has an option.
  """
  errors.check_name('optimizer', name, OPTIMIZERS)
  errors.check_number('learning_rate', learning_rate, above=0)
  errors.check_number('warmup', warmup, least=0, below=1)
  errors.check_number('weight_decay', weight_decay, least=0)
  errors.check_flag('decay_per_example', decay_per_example)
  errors.check_number('momentum', momentum, least=0, below=1)
  errors.check_flag('nesterov', nesterov)
  errors.check_number('clip_value', clip_value, above=0, optional=True)
  errors.check_number('clip_norm', clip_norm, above=0, optional=True)
  betas = _given(beta1=beta1, beta2=beta2)
  for option, value in betas.items():
    errors.check_number(option, value, least=0, below=1)
  of_schedule = _given(
    milestones=milestones,
    factor=factor,
    decay_rate=decay_rate,
    transition_steps=transition_steps,
    staircase=staircase,
  )
  errors.check_options_of('optimizer', name, betas, OPTIMIZERS)
  _check_rates(rates)
  schedules.check(schedule, of_schedule)

  decay = _decay(weight_decay, decay_per_example)
  parts = [
    *_clips(clip_value, clip_norm),
    *OPTIMIZERS[name](decay, momentum, nesterov, **betas),
  ]
  if schedule in schedules.BY_STEP:
    by_step = schedules.BY_STEP[schedule](**of_schedule)
    parts.append(optax.scale_by_schedule(by_step))
    schedule, of_schedule = 'constant', {}
  multiplier = functools.partial(schedules.SCHEDULES[schedule], **of_schedule)
  made = _scheduled(optax.chain(*parts), learning_rate, warmup, multiplier)
  return _by_layer(made, rates) if rates else made


def _clips(clip_value, clip_norm):
  parts = []
  if clip_value is not None:
    parts.append(optax.clip(clip_value))
  if clip_norm is not None:
    parts.append(optax.clip_by_global_norm(clip_norm))
  return parts


def _scheduled(transformation, learning_rate, warmup, multiplier):
  """Makes an Optimizer that applies the learning rate outside optax."""
  transformation = optax.with_extra_args_support(transformation)

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


def _check_rates(rates):
  if rates is None:
    return
  errors.check_mapping('rates', rates)
  for layer, rate in rates.items():
    if not isinstance(layer, str):
      raise ValueError(f'rates has {layer!r}; it must have names of layers.')
    errors.check_number(f'rates[{layer!r}]', rate, least=0)


def _by_layer(optimizer, rates):
  """Multiplies the learning rates of an optimizer by layer."""

  def init(params):
    paths = [
      _spelled(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]
    for layer in rates:
      if not any(_is_in(path, layer) for path in paths):
        layers = dict.fromkeys(path.partition('/')[0] for path in paths)
        raise ValueError(
          f'rates has {layer!r}, and the network has no layer of that name; it '
          f'has {", ".join(layers)}.'
        )
    return optimizer.init(params)

  def rate_of(path):
    inside = [layer for layer in rates if _is_in(_spelled(path), layer)]
    return rates[max(inside, key=len)] if inside else 1.0

  def update(gradients, state, params, fraction, num_examples=1):
    updates, state = optimizer.update(
      gradients, state, params, fraction, num_examples
    )
    scaled = jax.tree_util.tree_map_with_path(
      lambda path, leaf: rate_of(path) * leaf, updates
    )
    return scaled, state

  return Optimizer(init=init, update=update)


def _spelled(path):
  return jax.tree_util.keystr(path, simple=True, separator='/')


def _is_in(path, layer):
  """Tells whether a parameter is in a layer, or in one inside of it."""
  after = path.removeprefix(layer)
  return path.startswith(layer) and (not after or after[0] in '/.')


def _given(**options):
  """Returns the options that are not None."""
  return {name: value for name, value in options.items() if value is not None}

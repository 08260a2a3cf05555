"""A stack of restricted Boltzmann machines, to begin a deep network with."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors
from al_jax.interfaces import Facts, ModelFns
from al_jax.learners import pretraining
from al_jax.learners.pretraining import Pretraining
from al_jax.models import common
from al_jax.training import course

_LAYER = 'hidden_'
_VISIBLE = 'visible_'
UNITS = ('rectified', 'binary')


def boltzmann_stack(
  build: Callable[[Facts], ModelFns],
  facts: Facts,
  *,
  units: str = 'rectified',
  optimizer: Mapping[str, Any] | None = None,
  batch_size: int = 128,
  stop: Mapping[str, Any] | None = None,
) -> Pretraining:
  """Trains the hidden layers of an MLP one after another, from the inputs up.

  Each layer is one half of a restricted Boltzmann machine over what the layers
  below make of the inputs. With v the visible and h the hidden units,

    E(v, h) = - v W h - b h - c v  (+ |v|^2 / 2 of real-valued units),

  and a step of contrastive divergence moves the weights against the gradient of
  E(v, E[h|v]) - E(v', E[h|v']), where v' is what a sample of h gives back. The
  inputs are real-valued, of variance 1; hidden units are as in the network.

  Hinton et al. 2006, "A Fast Learning Algorithm for Deep Belief Nets"; Nair and
  Hinton 2010, "Rectified Linear Units Improve Restricted Boltzmann Machines".

  Args:
    build: makes the network for facts: an `mlp` with hidden layers.
    facts: of the task.
    units: `'rectified'` for an MLP with ReLU, `'binary'` for one with
      `activation='sigmoid'`.
    optimizer: keywords of `training.optimizers.build`; small steps, 1e-4 for
      Adam, for inputs of many numbers. Every layer has it, and its schedule,
      from the beginning.
    batch_size: examples per step.
    stop: keywords of `StopRule`, of each layer: all have as many steps.

  Returns:
    A Pretraining. `Progress.metrics` has the `loss`: the mean squared error of
    what the layer under way gives back.
  """
  errors.check_name('units', units, UNITS)
  model = build(facts)
  widths = _visible_widths(model)
  _check_units(model, facts, units)
  recipe = pretraining.recipe_of_passes(
    _with_visible(model, widths),
    facts,
    optimizer=optimizer,
    batch_size=batch_size,
    stop=stop,
  )
  rule, steps = recipe.rule, recipe.most_steps(recipe.capacity)
  errors.check_number(
    'steps of all layers',
    steps * len(widths),
    int,
    most=errors.MOST_COUNTED,
  )
  recipe = recipe._replace(
    rule=dataclasses.replace(
      rule,
      epochs=rule.epochs * len(widths),
      steps=rule.steps and steps * len(widths),
    ),
    optimizer=_layer_by_layer(recipe.optimizer, len(widths)),
  )

  def layer_of(training):
    return jnp.minimum(training.step // steps, len(widths) - 1)

  def losses(training, batch):
    key = _sample_key(training)
    inputs = _visible(facts, batch.inputs)

    def of_batch(params):
      branches = [
        lambda params, layer=layer: _of_layer(key, params, inputs, layer, units)
        for layer in range(1, len(widths) + 1)
      ]
      shown = jax.lax.switch(layer_of(training), branches, params)
      return *shown, {}

    return of_batch

  def prepare(training):
    begins = training.step % steps == 0
    fresh = recipe.optimizer.init(training.variables['params'])
    return training.replace(
      optimizer=jax.tree.map(
        lambda new, old: jnp.where(begins, new, old), fresh, training.optimizer
      )
    )

  def settle(before, after):
    """Nothing moves but the layer under way, whatever the optimiser says."""
    layer = layer_of(before)
    old, new = before.variables['params'], after.variables['params']

    def settled(name):
      is_under_way = jnp.bool_(False)
      for prefix in (_LAYER, _VISIBLE):
        if name.startswith(prefix):
          is_under_way = layer == int(name.removeprefix(prefix)) - 1
      return jax.tree.map(
        lambda a, b: jnp.where(is_under_way, b, a), old[name], new[name]
      )

    params = {name: settled(name) for name in new}
    return after.replace(variables={**after.variables, 'params': params})

  def keep(training):
    params = {
      name: of
      for name, of in training.variables['params'].items()
      if name.startswith(_LAYER)
    }
    return {**training.variables, 'params': params}

  learner = pretraining.passes(recipe, facts, losses, prepare, settle)
  return Pretraining(learner, keep, recipe.most_steps(recipe.capacity))


def _visible_widths(model):
  """How many numbers each hidden layer sees."""
  params = jax.eval_shape(model.init, jax.random.key(0))['params']
  layers = [name for name in params if name.startswith(_LAYER)]
  expected = {f'{_LAYER}{i}' for i in range(1, len(layers) + 1)}
  if not layers or set(params) != {*expected, pretraining.HEAD}:
    raise ValueError(
      'boltzmann_stack is for the hidden layers of an `mlp` without norm; the '
      f'model has {", ".join(sorted(params))}.'
    )
  return [
    params[f'{_LAYER}{i}']['kernel'].shape[0] for i in range(1, len(layers) + 1)
  ]


def _visible(facts, inputs):
  """What the first layer sees: [B, ...] to rows of variance 1."""
  mean, std = common.moments(facts)
  inputs = (inputs.astype(jnp.float32) - mean) / std
  return inputs.reshape(len(inputs), -1)


def _check_units(model, facts, units):
  """The network has the hidden units that its layers are to be trained for."""
  variables = model.init(jax.random.key(0))
  inputs = jnp.zeros((1, *facts.example.shape), facts.example.dtype)
  visible = _visible(facts, inputs)
  hidden = model.apply(variables, inputs).extras[f'{_LAYER}1']
  expected = _mean(_fields(variables['params'][f'{_LAYER}1'], visible), units)
  if not np.allclose(hidden, expected, atol=1e-3):
    raise ValueError(
      f'units is {units!r}, and the hidden units of the model are others: it '
      "must be 'rectified' for activation='relu', 'binary' for 'sigmoid'."
    )


def _layer_by_layer(optimizer, num_layers):
  """The optimiser whose schedule is gone through once for each layer."""

  def update(gradients, state, params, fraction, num_examples):
    of_layer = jnp.mod(fraction * num_layers, 1.0)
    return optimizer.update(gradients, state, params, of_layer, num_examples)

  return optimizer._replace(update=update)


def _sample_key(training):
  # What comes of the dropout key itself is the order of an epoch's examples.
  return jax.random.fold_in(course.step_keys(training)[1], 2)


def _with_visible(model, widths):
  """The network, with the biases of what each layer sees."""

  def init(key):
    variables = model.init(key)
    visible = {
      f'{_VISIBLE}{layer}': {'bias': jnp.zeros(width)}
      for layer, width in enumerate(widths, start=1)
    }
    return {**variables, 'params': {**variables['params'], **visible}}

  return model._replace(init=init)


def _of_layer(key, params, inputs, layer, units):
  """A step of contrastive divergence: what to minimise, and the error."""
  seen = inputs
  for below in range(1, layer):
    seen = _mean(_fields(params[f'{_LAYER}{below}'], seen), units)
  seen = jax.lax.stop_gradient(seen)
  weights = params[f'{_LAYER}{layer}']
  bias = params[f'{_VISIBLE}{layer}']['bias']
  fields = _fields(weights, seen)
  sample = _sample(key, fields, units)
  given_back = sample @ weights['kernel'].T + bias[None, :]
  if layer > 1:
    given_back = _mean(given_back, units)
  given_back = jax.lax.stop_gradient(given_back)
  fields_back = _fields(weights, given_back)

  def energy(visible, fields):
    # With the hidden units held: fields are all that the weights are in.
    hidden = jax.lax.stop_gradient(_mean(fields, units))
    return -jnp.sum(hidden * fields, axis=1) - visible @ bias

  to_minimise = energy(seen, fields) - energy(given_back, fields_back)
  return to_minimise, jnp.mean(jnp.square(given_back - seen), axis=1)


def _fields(weights, visible):
  return visible @ weights['kernel'] + weights['bias'][None, :]


def _mean(fields, units):
  return jax.nn.sigmoid(fields) if units == 'binary' else jax.nn.relu(fields)


def _sample(key, fields, units):
  """Of hidden units; rectified ones are the sum of many binary ones, nearly."""
  if units == 'binary':
    on = jax.random.bernoulli(key, jax.nn.sigmoid(fields))
    return on.astype(fields.dtype)
  noise = jax.random.normal(key, fields.shape)
  return jax.nn.relu(fields + jnp.sqrt(jax.nn.sigmoid(fields)) * noise)

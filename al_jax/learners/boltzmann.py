"""Pretrains a deep network as a stack of restricted Boltzmann machines."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors
from al_jax.learners import one_network, pretraining
from al_jax.learners.pretraining import WholePool
from al_jax.models import common
from al_jax.training import course

_LAYER = 'hidden_'
_VISIBLE = 'visible_'
UNITS = ('rectified', 'binary')


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BoltzmannStack(WholePool):
  """Trains the hidden layers of an MLP one after another, from the inputs up.

  Each layer and its inputs, the outputs of the layer below, form a restricted
  Boltzmann machine. With v the visible and h the hidden units,

    E(v, h) = - v W h - b h - c v  (+ |v|^2 / 2 of real-valued units),

  and a step of contrastive divergence moves the weights against the gradient of
  E(v, E[h|v]) - E(v', E[h|v']), where v' is reconstructed from a sample of h.
  The inputs are real-valued, of variance 1; hidden units are as in the network.

  Hinton et al. 2006, "A Fast Learning Algorithm for Deep Belief Nets"; Nair and
  Hinton 2010, "Rectified Linear Units Improve Restricted Boltzmann Machines".

  The options `stop` and `optimizer` apply to each layer: all layers take the
  same number of steps, and the schedule restarts with each. Inputs with many
  values need small steps, such as 1e-4 for Adam. `Progress.metrics` has the
  `loss`: the mean squared reconstruction error of the current layer.

  Attributes:
    units: `'rectified'` for an MLP with ReLU, `'binary'` for one with
      `activation='sigmoid'`.
  """

  units: str = 'rectified'

  def check(self):
    """See `Trains`."""
    errors.check_name('units', self.units, UNITS)
    num_layers = len(self.widths)  # Raises unless the network is a plain MLP.
    _check_units(self.network, self.facts, self.units)
    errors.check_number(
      'steps of all layers',
      self.steps_per_layer * num_layers,
      int,
      most=errors.MOST_COUNTED,
    )
    super().check()

  @functools.cached_property
  def network(self):
    """The network alone: an `mlp` with hidden layers."""
    return self.build(self.facts)

  @functools.cached_property
  def widths(self) -> list[int]:
    """Number of inputs of each hidden layer."""
    return _visible_widths(self.network)

  @functools.cached_property
  def model(self):
    """The network, with a bias for each visible unit."""
    return _with_visible(self.network, self.widths)

  @functools.cached_property
  def trainer(self):
    """See `Trains`; the optimizer's schedule restarts with each layer."""
    alone = super().trainer
    layer_by_layer = _layer_by_layer(alone.optimizer, len(self.widths))
    return dataclasses.replace(alone, optimizer=layer_by_layer)

  @functools.cached_property
  def of_layer(self) -> course.Rules:
    """Rules of the training of one layer."""
    # `super().rules` would be cached as the `rules` of all layers.
    return WholePool.rules.func(self)

  @property
  def steps_per_layer(self) -> int:
    """Number of steps for each layer."""
    return self.of_layer.most_steps(self.facts.num_examples)

  @functools.cached_property
  def rules(self):
    """Rules of all layers, one after another."""
    stop, num_layers = self.of_layer.stop, len(self.widths)
    return dataclasses.replace(
      self.of_layer,
      stop=dataclasses.replace(
        stop,
        epochs=stop.epochs * num_layers,
        steps=stop.steps and stop.steps * num_layers,
      ),
    )

  def losses(self, state, batch):
    """See `WholePool`."""
    key = _sample_key(state.course)
    inputs = _visible(self.facts, batch.inputs)
    layers = range(1, len(self.widths) + 1)

    def of_batch(params):
      branches = [
        lambda params, layer=layer: _of_layer(
          key, params, inputs, layer, self.units
        )
        for layer in layers
      ]
      shown = jax.lax.switch(self._layer_at(state.course), branches, params)
      return *shown, {}

    return of_batch

  def updated(self, state, objective):
    """Updates the current layer; its optimizer starts afresh with it."""
    begins = state.course.step % self.steps_per_layer == 0
    before = state.network
    fresh = self.trainer.optimizer.init(before.variables['params'])
    memory = jax.tree.map(
      lambda new, old: jnp.where(begins, new, old), fresh, before.optimizer
    )
    state = state.replace(network=before.replace(optimizer=memory))
    network, after = super().updated(state, objective)
    params = _only_of_layer(
      self._layer_at(state.course),
      before.variables['params'],
      network.variables['params'],
    )
    variables = {**network.variables, 'params': params}
    return network.replace(variables=variables), after

  def keep(self, state):
    """See `WholePool`."""
    variables = state.network.variables
    params = {
      name: of
      for name, of in variables['params'].items()
      if name.startswith(_LAYER)
    }
    return {**variables, 'params': params}

  def _layer_at(self, at):
    return jnp.minimum(at.step // self.steps_per_layer, len(self.widths) - 1)


boltzmann_stack = one_network.factory(BoltzmannStack, pretraining.bound)


def _only_of_layer(layer, old, new):
  """Takes the new parameters of one layer, and the old ones elsewhere."""

  def settled(name):
    is_under_way = jnp.bool_(False)
    for prefix in (_LAYER, _VISIBLE):
      if name.startswith(prefix):
        is_under_way = layer == int(name.removeprefix(prefix)) - 1
    return jax.tree.map(
      lambda a, b: jnp.where(is_under_way, b, a), old[name], new[name]
    )

  return {name: settled(name) for name in new}


def _visible_widths(model):
  """Returns the number of inputs of each hidden layer."""
  params = jax.eval_shape(model.init, jax.random.key(0))['params']
  layers = [name for name in params if name.startswith(_LAYER)]
  expected = {f'{_LAYER}{i}' for i in range(1, len(layers) + 1)}
  if not layers or set(pretraining.divided(params)[0]) != {*expected}:
    raise ValueError(
      'boltzmann_stack needs the hidden layers of an `mlp` without norm; the '
      f'model has {", ".join(sorted(params))}.'
    )
  return [
    params[f'{_LAYER}{i}']['kernel'].shape[0] for i in range(1, len(layers) + 1)
  ]


def _visible(facts, inputs):
  """Flattens inputs [B, ...] to rows and scales them to variance 1."""
  mean, std = common.moments(facts)
  inputs = (inputs.astype(jnp.float32) - mean) / std
  return inputs.reshape(len(inputs), -1)


def _check_units(model, facts, units):
  """Raises ValueError unless the hidden units of the network are `units`."""
  variables = model.init(jax.random.key(0))
  inputs = jnp.zeros((1, *facts.example.shape), facts.example.dtype)
  visible = _visible(facts, inputs)
  hidden = model.apply(variables, inputs).extras[f'{_LAYER}1']
  expected = _mean(_fields(variables['params'][f'{_LAYER}1'], visible), units)
  if not np.allclose(hidden, expected, atol=1e-3):
    raise ValueError(
      f'units is {units!r}, which does not fit the hidden units of the model: '
      "it must be 'rectified' for activation='relu', 'binary' for 'sigmoid'."
    )


def _layer_by_layer(optimizer, num_layers):
  """Makes the schedule of an optimizer restart with each layer."""

  def update(gradients, state, params, fraction, num_examples):
    of_layer = jnp.mod(fraction * num_layers, 1.0)
    return optimizer.update(gradients, state, params, of_layer, num_examples)

  return optimizer._replace(update=update)


def _sample_key(at):
  # The dropout key itself draws the order of an epoch's examples.
  return jax.random.fold_in(course.step_keys(at)[1], 2)


def _with_visible(model, widths):
  """Adds a bias for each visible unit to the network."""

  def init(key):
    variables = model.init(key)
    visible = {
      f'{_VISIBLE}{layer}': {'bias': jnp.zeros(width)}
      for layer, width in enumerate(widths, start=1)
    }
    return {**variables, 'params': {**variables['params'], **visible}}

  return model._replace(init=init)


def _of_layer(key, params, inputs, layer, units):
  """Computes what contrastive divergence minimises, and the squared errors."""
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
    # The hidden units are held fixed: weights act through the fields alone.
    hidden = jax.lax.stop_gradient(_mean(fields, units))
    return -jnp.sum(hidden * fields, axis=1) - visible @ bias

  to_minimise = energy(seen, fields) - energy(given_back, fields_back)
  return to_minimise, jnp.mean(jnp.square(given_back - seen), axis=1)


def _fields(weights, visible):
  return visible @ weights['kernel'] + weights['bias'][None, :]


def _mean(fields, units):
  return jax.nn.sigmoid(fields) if units == 'binary' else jax.nn.relu(fields)


def _sample(key, fields, units):
  """Samples hidden units; a rectified one approximates a sum of binary ones."""
  if units == 'binary':
    on = jax.random.bernoulli(key, jax.nn.sigmoid(fields))
    return on.astype(fields.dtype)
  noise = jax.random.normal(key, fields.shape)
  return jax.nn.relu(fields + jnp.sqrt(jax.nn.sigmoid(fields)) * noise)

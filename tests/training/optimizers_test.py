import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax.training import optimizers

# ((x, y) of the parameters) over five steps; the same in every test.
RNG = np.random.default_rng(0)
PARAMS = {'x': RNG.normal(size=(3, 2)), 'y': RNG.normal(size=4)}
GRADIENTS = [
  {'x': RNG.normal(size=(3, 2)), 'y': RNG.normal(size=4)} for _ in range(5)
]


MILESTONES = {'schedule': 'milestones', 'milestones': [0.5]}
EXPONENTIAL = {
  'schedule': 'exponential',
  'decay_rate': 0.85,
  'transition_steps': 666,
}


def as_jax(tree):
  return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


def parameters_after(optimizer, params=None, gradients=None, fraction=0.0):
  params = as_jax(PARAMS if params is None else params)
  state = optimizer.init(params)
  update = jax.jit(optimizer.update)
  for gradient in GRADIENTS if gradients is None else gradients:
    updates, state = update(as_jax(gradient), state, params, fraction)
    params = jax.tree.map(jnp.add, params, updates)
  return params


def reference_adam(
  p, gradients, *, nesterov=False, l2=0.0, decoupled=0.0, b1=0.9, b2=0.999
):
  m, v = np.zeros_like(p), np.zeros_like(p)
  for t, g in enumerate(gradients, 1):
    g = g + l2 * p
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    if nesterov:  # Dozat 2016, algorithm 2
      m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    p = p - 0.01 * (m_hat / (np.sqrt(v_hat) + 1e-8) + decoupled * p)
  return p


def reference_adadelta(p, gradients, *, l2=0.0):
  squares, moves = np.zeros_like(p), np.zeros_like(p)
  for g in gradients:  # Zeiler 2012, algorithm 1
    g = g + l2 * p
    squares = 0.95 * squares + 0.05 * g**2
    move = np.sqrt(moves + 1e-6) / np.sqrt(squares + 1e-6) * g
    moves = 0.95 * moves + 0.05 * move**2
    p = p - 0.5 * move
  return p


def reference_momentum(p, gradients, *, rms, nesterov=False, l2=0.0):
  trace, v = np.zeros_like(p), np.zeros_like(p)
  for g in gradients:
    g = g + l2 * p
    if rms:
      v = 0.99 * v + 0.01 * g**2
      g = g / (np.sqrt(v) + 1e-8)
    trace = g + 0.8 * trace
    p = p - 0.01 * (g + 0.8 * trace if nesterov else trace)
  return p


@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('decay', [0.0, 0.3])
@pytest.mark.parametrize('name', ['adam', 'adamw', 'sgd', 'rmsprop'])
def test_five_steps_equal_the_formulas(name, decay, nesterov):
  optimizer = optimizers.build(
    name,
    learning_rate=0.01,
    momentum=0.8,
    weight_decay=decay,
    nesterov=nesterov,
  )
  params = parameters_after(optimizer)
  for leaf, start in PARAMS.items():
    gradients = [gradient[leaf] for gradient in GRADIENTS]
    if name in ('adam', 'adamw'):
      where = {'l2': decay} if name == 'adam' else {'decoupled': decay}
      wanted = reference_adam(start, gradients, nesterov=nesterov, **where)
    else:
      rms = name == 'rmsprop'
      wanted = reference_momentum(
        start, gradients, rms=rms, nesterov=nesterov, l2=decay
      )
    np.testing.assert_allclose(params[leaf], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', ['adam', 'adamw'])
def test_betas_are_those_of_the_formula(name):
  optimizer = optimizers.build(name, learning_rate=0.01, beta1=0.5, beta2=0.99)
  params = parameters_after(optimizer)
  for leaf, start in PARAMS.items():
    gradients = [gradient[leaf] for gradient in GRADIENTS]
    wanted = reference_adam(start, gradients, b1=0.5, b2=0.99)
    np.testing.assert_allclose(params[leaf], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('decay', [0.0, 0.3])
def test_adadelta_is_that_of_the_paper(decay):
  optimizer = optimizers.build(
    'adadelta', learning_rate=0.5, weight_decay=decay
  )
  params = parameters_after(optimizer)
  for leaf, start in PARAMS.items():
    gradients = [gradient[leaf] for gradient in GRADIENTS]
    wanted = reference_adadelta(start, gradients, l2=decay)
    np.testing.assert_allclose(params[leaf], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', ['adam', 'adamw'])
def test_defaults_of_the_betas_are_those_of_no_betas(name):
  without, given = (
    optimizers.build(name, **betas)
    for betas in ({}, {'beta1': 0.9, 'beta2': 0.999})
  )
  params = as_jax(PARAMS)
  state = without.init(params)
  assert jax.tree.structure(state) == jax.tree.structure(given.init(params))
  texts = [
    jax.jit(optimizer.update).lower(params, state, params, 0.5).as_text()
    for optimizer in (without, given)
  ]
  assert texts[0] == texts[1]


def test_decoupled_decay_shrinks_what_has_no_gradient_and_l2_steps():
  params, nothing = {'x': np.array([4.0, -1.0])}, {'x': np.zeros(2)}
  options = {'learning_rate': 0.1, 'weight_decay': 0.5}
  adamw = optimizers.build('adamw', **options)
  after = parameters_after(adamw, params, [nothing])
  np.testing.assert_allclose(after['x'], [3.8, -0.95], rtol=1e-6)
  # Adam divides the decay by its own size: a step of the learning rate.
  adam = optimizers.build('adam', **options)
  after = parameters_after(adam, params, [nothing])
  np.testing.assert_allclose(after['x'], [3.9, -0.9], rtol=1e-6)


def step_of_plain_sgd(gradient, **clips):
  sgd = optimizers.build('sgd', learning_rate=1.0, momentum=0.0, **clips)
  zeros = jax.tree.map(np.zeros_like, gradient)
  return jax.tree.map(
    lambda leaf: -leaf, parameters_after(sgd, zeros, [gradient])
  )


def test_values_are_clipped_one_by_one_and_then_the_norm_of_all():
  gradient = {'x': np.array([10.0, -0.5]), 'y': np.array([-3.0])}
  by_value = step_of_plain_sgd(gradient, clip_value=2.0)
  np.testing.assert_allclose(by_value['x'], [2, -0.5])
  np.testing.assert_allclose(by_value['y'], [-2])
  by_norm = step_of_plain_sgd(gradient, clip_norm=1.0)
  norm = np.sqrt(100 + 0.25 + 9)
  np.testing.assert_allclose(by_norm['x'], gradient['x'] / norm, rtol=1e-6)
  both = step_of_plain_sgd(gradient, clip_value=2.0, clip_norm=1.0)
  norm = np.sqrt(4 + 0.25 + 4)
  np.testing.assert_allclose(both['x'], [2 / norm, -0.5 / norm], rtol=1e-6)
  np.testing.assert_allclose(both['y'], [-2 / norm], rtol=1e-6)


def test_gradients_below_the_clips_are_left_alone():
  gradient = {'x': np.array([0.3, -0.4])}
  step = step_of_plain_sgd(gradient, clip_value=1.0, clip_norm=0.6)
  np.testing.assert_allclose(step['x'], [0.3, -0.4], rtol=1e-6)


def test_weight_decay_is_added_after_clipping():
  sgd = optimizers.build(
    'sgd', learning_rate=1.0, momentum=0.0, weight_decay=0.5, clip_value=0.1
  )
  after = parameters_after(sgd, {'x': np.array([4.0])}, [{'x': np.ones(1)}])
  np.testing.assert_allclose(after['x'], [4 - 0.1 - 2], rtol=1e-6)


@pytest.mark.parametrize('name', ['adam', 'adamw', 'sgd', 'rmsprop'])
def test_decay_per_example_is_divided_by_the_examples_of_an_epoch(name):
  options = {'learning_rate': 0.1, 'clip_norm': 1.0}
  divided = optimizers.build(
    name, weight_decay=3.5, decay_per_example=True, **options
  )
  constant = optimizers.build(name, weight_decay=0.175, **options)
  params = as_jax(PARAMS)
  state, same = divided.init(params), constant.init(params)
  for gradient in map(as_jax, GRADIENTS):
    updates, state = divided.update(gradient, state, params, 0.0, 20)
    wanted, same = constant.update(gradient, same, params, 0.0)
    chex.assert_trees_all_close(updates, wanted, rtol=1e-6)
    params = jax.tree.map(jnp.add, params, updates)


def rates(fractions, **options):
  """The learning rate at each fraction: the step of SGD down a slope of 1."""
  sgd = optimizers.build('sgd', learning_rate=0.4, momentum=0.0, **options)

  def rate(fraction):
    one = jnp.ones(())
    updates, _ = sgd.update(one, sgd.init(one), one, fraction)
    return -updates

  return jax.vmap(rate)(jnp.array(fractions, jnp.float32))


@pytest.mark.parametrize(
  ('schedule', 'multipliers'),
  [
    ('constant', [1, 1, 1, 1, 1]),
    ('linear', [1, 0.75, 0.5, 0.25, 0]),
    ('cosine', [1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0]),
    ('steps', [1, 1, 0.1, 0.01, 0.01]),
  ],
)
def test_schedules_at_the_quarters_of_a_round(schedule, multipliers):
  got = rates([0, 0.25, 0.5, 0.75, 1], schedule=schedule)
  wanted = 0.4 * np.array(multipliers)
  np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-8)


def test_steps_divide_by_ten_at_the_half_and_not_before():
  got = rates([0.4999, 0.5, 0.7499, 0.75], schedule='steps')
  np.testing.assert_allclose(got, [0.4, 0.04, 0.04, 0.004], rtol=1e-6)


def test_milestones_multiply_from_their_share_on():
  shares = [0, 0.7999, 0.8, 1]
  options = {'schedule': 'milestones', 'milestones': [0.8]}
  np.testing.assert_allclose(
    rates(shares, **options), [0.4, 0.4, 0.04, 0.04], rtol=1e-6
  )
  options |= {'milestones': (0.5, 0.75), 'factor': 0.5}
  np.testing.assert_allclose(
    rates([0.4, 0.5, 0.75], **options), [0.4, 0.2, 0.1], rtol=1e-6
  )


def test_milestones_are_shares_of_what_follows_the_warmup():
  options = {'schedule': 'milestones', 'milestones': [0.5]}
  got = rates([0.1, 0.5, 0.6], warmup=0.2, **options)
  np.testing.assert_allclose(got, [0.2, 0.4, 0.04], rtol=1e-6)


@pytest.mark.parametrize('staircase', [None, False, True])
def test_exponential_decay_counts_steps(staircase):
  sgd = optimizers.build(
    'sgd',
    learning_rate=0.4,
    momentum=0.0,
    schedule='exponential',
    decay_rate=0.85,
    transition_steps=2,
    staircase=staircase,
  )
  one = jnp.ones(())
  state, got = sgd.init(one), []
  for _ in range(5):
    # Whatever share of the round that is.
    updates, state = sgd.update(one, state, one, 0.9)
    got.append(-updates)
  exponents = np.arange(5) // 2 if staircase else np.arange(5) / 2
  np.testing.assert_allclose(got, 0.4 * 0.85**exponents, rtol=1e-6)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'name': 'sgd', 'beta1': 0.5}, 'is one of: adam, adamw'),
    ({'name': 'adadelta', 'beta2': 0.5}, "'adadelta' has no option 'beta2'"),
    ({'milestones': [0.5]}, "'constant' has no .* is one of: milestones"),
    ({'schedule': 'steps', 'factor': 0.5}, "'steps' has no option 'factor'"),
    ({'decay_rate': 0.5}, 'is one of: exponential'),
    ({'schedule': 'milestones'}, "needs the option 'milestones'"),
    (
      {'schedule': 'exponential', 'decay_rate': 0.5},
      "needs the option 'transition_steps'",
    ),
    ({'name': 'adadelta', 'nesterov': True}, 'nesterov is True'),
  ],
)
def test_options_that_nothing_reads_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    optimizers.build(**options)


def test_warmup_rises_from_zero_and_the_schedule_fills_the_rest():
  fractions = [0, 0.1, 0.2, 0.6, 1]
  constant = rates(fractions, warmup=0.2)
  np.testing.assert_allclose(constant, [0, 0.2, 0.4, 0.4, 0.4], rtol=1e-6)
  linear = rates(fractions, schedule='linear', warmup=0.2)
  wanted = [0, 0.2, 0.4, 0.2, 0]
  np.testing.assert_allclose(linear, wanted, rtol=1e-5, atol=1e-7)


def test_a_fraction_may_be_traced_and_leaves_keep_their_types():
  optimizer = optimizers.build(
    'adam', schedule='cosine', warmup=0.1, clip_norm=1.0, weight_decay=0.1
  )
  params = as_jax(PARAMS)

  def step(params, state, count, total):
    updates, state = optimizer.update(
      as_jax(GRADIENTS[0]), state, params, count / total
    )
    return jax.tree.map(jnp.add, params, updates), state

  traced = jax.jit(chex.assert_max_traces(step, n=1))
  state = optimizer.init(params)
  count, total = jnp.int32(3), jnp.int32(7)
  new_params, new_state = traced(params, state, count, total)
  chex.assert_trees_all_equal_shapes_and_dtypes(new_params, params)
  chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
  plain, _ = step(params, state, 3, 7)
  chex.assert_trees_all_close(new_params, plain, rtol=1e-6)
  # A state that has been through a step, and a longer round: one program.
  traced(new_params, new_state, count + 1, total + 5)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'name': 'adamm'}, "optimizer 'adamm' is not known. Did you mean 'adam"),
    ({'schedule': 'cosin'}, "schedule 'cosin' is not known. Did you mean 'cos"),
    ({'learning_rate': 0}, 'learning_rate is 0; it must be a number above 0'),
    ({'learning_rate': float('nan')}, 'learning_rate is nan'),
    ({'warmup': 1.0}, r'warmup is 1\.0; .* at least 0 and below 1'),
    ({'warmup': -0.1}, r'warmup is -0\.1'),
    ({'weight_decay': -1e-4}, 'weight_decay is -0.0001; .* at least 0'),
    ({'momentum': 1.0}, r'momentum is 1\.0; .* at least 0 and below 1'),
    ({'clip_value': 0.0}, r'clip_value is 0\.0; .* above 0, or None'),
    ({'clip_norm': -1.0}, r'clip_norm is -1\.0; .* above 0, or None'),
    ({'learning_rate': float('nan')}, 'learning_rate is nan'),
    ({'learning_rate': 'NaN'}, "learning_rate is 'NaN'"),
    ({'decay_per_example': 1}, 'decay_per_example is 1; it must be True or'),
    ({'nesterov': 'abc'}, "nesterov is 'abc'; it must be True or False"),
    ({'beta1': 1.0}, r'beta1 is 1\.0; .* at least 0 and below 1'),
    (MILESTONES | {'milestones': 0.8}, 'milestones is 0.8; it must be a list'),
    (MILESTONES | {'milestones': [1.0]}, r'a milestone is 1\.0'),
    (MILESTONES | {'milestones': [0.5, 0.5]}, 'they must increase'),
    (MILESTONES | {'factor': 0}, 'factor is 0; .* above 0'),
    (EXPONENTIAL | {'decay_rate': 2}, 'decay_rate is 2; .* at most 1'),
    (EXPONENTIAL | {'transition_steps': 0.5}, 'transition_steps is 0.5'),
    (EXPONENTIAL | {'staircase': 1}, 'staircase is 1; it must be True or'),
  ],
)
def test_bad_options_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    optimizers.build(**options)


NETWORK = {
  'trunk': {
    'layer1.0.conv': {'kernel': RNG.normal(size=3)},
    'layer10.0.conv': {'kernel': RNG.normal(size=3)},
  },
  'head': {'kernel': RNG.normal(size=2)},
}


@pytest.mark.parametrize('name', ['sgd', 'adam'])
def test_rates_multiply_the_learning_rate_of_layers(name):
  rates = {'trunk': 0.5, 'trunk/layer1': 0.0}
  gradients = [jax.tree.map(np.ones_like, NETWORK)] * 3
  plain, by_layer = (
    parameters_after(
      optimizers.build(name, weight_decay=0.1, rates=given), NETWORK, gradients
    )
    for given in (None, rates)
  )
  np.testing.assert_array_equal(
    by_layer['head']['kernel'], plain['head']['kernel']
  )
  trunk = by_layer['trunk']
  np.testing.assert_array_equal(
    trunk['layer1.0.conv']['kernel'],
    as_jax(NETWORK)['trunk']['layer1.0.conv']['kernel'],
  )
  # The longest name counts, and names end at a dot or a slash.
  begun = as_jax(NETWORK)['trunk']['layer10.0.conv']['kernel']
  first = [gradients[0]]
  moved = {
    given: parameters_after(
      optimizers.build(name, rates=rates if given else None), NETWORK, first
    )['trunk']['layer10.0.conv']['kernel']
    - begun
    for given in (False, True)
  }
  np.testing.assert_allclose(moved[True], 0.5 * moved[False], rtol=1e-4)


@pytest.mark.parametrize(
  ('rates', 'said'),
  [
    ({'stem': 1.0}, "'stem', and the network has no layer .* head, trunk"),
    ({'trunk/layer': 1.0}, "'trunk/layer'"),
    ({'trunk': -1.0}, r"rates\['trunk'\] is -1"),
    (0.1, 'rates is 0.1; it must be a mapping'),
    ({1: 1.0}, 'names of layers'),
  ],
)
def test_rates_of_layers_that_are_not_there_are_refused(rates, said):
  with pytest.raises(ValueError, match=said):
    optimizers.build(rates=rates).init(as_jax(NETWORK))

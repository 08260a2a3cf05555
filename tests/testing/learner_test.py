"""Every rule of `check_learner` catches a learner that breaks it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import errors, testing
from al_jax import pool as pool_lib
from al_jax.interfaces import Learner, ModelOutput, Phase, Progress, Report
from al_jax.tasks import Metric
from al_jax.testing import linear

STEPS, ROOM = 4, 16
RULES = set(testing.learner.RULES)
FACTS, INPUTS, TARGETS = (
  linear.facts_of(linear.TASK, linear.DRAWN),
  linear.DRAWN,
  np.argmax(linear.DRAWN @ linear.WEIGHTS, axis=1).astype(np.int32),
)


def init(key):
  return {
    'weights': 0.1 * jax.random.normal(key, (linear.D, linear.C)),
    'taken': jnp.zeros((), jnp.int32),
  }


def start(key, state, pool):
  return {**state, 'taken': jnp.zeros((), jnp.int32)}


def progress_of(state):
  return Progress(
    done=state['taken'] >= STEPS, due={}, step=state['taken'], metrics={}
  )


def plan(state, pool):
  return {'labelled': pool_lib.labelled_indices(pool, ROOM)[0]}


def mean_loss(weights, batch, pool):
  logits = jax.nn.log_softmax(batch.inputs @ weights)
  targets = pool.targets[jnp.maximum(batch.index, 0)]
  losses = -jnp.take_along_axis(logits, targets[:, None] % linear.C, 1)[:, 0]
  return jnp.sum(losses * (batch.index >= 0)) / 11


def step(state, batches, pool, *, loss=mean_loss, stops=True):
  """A step of gradient descent on all that is labelled."""
  gradient = jax.grad(loss)(state['weights'], batches['labelled'], pool)
  goes_on = state['taken'] < STEPS
  rate = jnp.where(goes_on, 0.5, 0.0) if stops else 0.5
  state = {
    'weights': state['weights'] - rate * gradient,
    'taken': state['taken'] + goes_on.astype(jnp.int32),
  }
  return state, progress_of(state)


def apply(state, inputs, *, keys=None, by_row=False):
  if keys is not None:
    shape = inputs.shape if by_row else inputs.shape[1:]
    masks = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, shape))(keys)
    inputs = inputs[None] * (masks if by_row else masks[:, None])
  return ModelOutput(inputs @ state['weights'], inputs, {})


def finite(state):
  return {'net': jnp.all(jnp.isfinite(state['weights']))}


SOUND = Learner(
  init,
  start,
  (Phase(plan, step),),
  apply,
  finite,
  most_steps=lambda num_labels: STEPS,
)


def with_step(step):
  return SOUND._replace(phases=(Phase(plan, step),))


def never_over(*given):
  state, progress = step(*given)
  return state, progress._replace(done=jnp.bool_(False), step=progress.step + 1)


def counts_in_floats(*given):
  state, progress = step(*given)
  return {**state, 'taken': state['taken'] * 1.0}, progress


def loss_with_padding(weights, batch, pool):
  return mean_loss(weights, batch, pool) + jnp.mean(batch.inputs @ weights)


def loss_of_all(weights, batch, pool):
  return mean_loss(weights, batch, pool) + 1e-3 * jnp.mean(pool.targets % 7) * (
    jnp.sum(weights**2)
  )


@jax.custom_batching.custom_vmap
def alone(x):
  return x


@alone.def_vmap
def _in_lanes(size, batched, x):
  return 2 * x, True


def beside_the_mean(state, inputs, *, keys=None):
  output = apply(state, inputs, keys=keys)
  shift = output.predictions.mean(axis=-2, keepdims=True)
  return output._replace(predictions=output.predictions - shift)


def one_sample_only(state, inputs, *, keys=None):
  return apply(state, inputs)


def largest(key, apply, batch, targets):
  return jnp.max(apply(batch.inputs).predictions, axis=-1)


def beside_the_batch(*given):
  values = largest(*given)
  return values - jnp.max(values)


def report_of(measure):
  metrics = (Metric('mine', '', True),)
  return Report(measure, lambda found: {'mine': jnp.mean(found)}, metrics)


BROKEN = {
  'never over': ('ends', with_step(never_over), 'is not over after 5 steps'),
  'diverges': (
    'ends',
    SOUND._replace(finite=lambda state: {'net': jnp.bool_(False)}),
    "the network 'net' is not finite after a round",
  ),
  'shapes': (
    'shapes',
    with_step(counts_in_floats),
    r"the step of phase 0 changed .*\['taken'\] was int32\[\] and is float32",
  ),
  'end': (
    'end_is_fixed',
    with_step(functools.partial(step, stops=False)),
    r"a step of phase 0 after the end changed \['weights'\]",
  ),
  'padding': (
    'padding',
    with_step(functools.partial(step, loss=loss_with_padding)),
    r"padding rows of 7 instead of 0 changed \['weights'\]",
  ),
  'hidden': (
    'hidden',
    with_step(functools.partial(step, loss=loss_of_all)),
    r"in place of hidden answers changed \['weights'\]",
  ),
  'key': (
    'key',
    SOUND._replace(init=lambda key: init(jax.random.key(0))),
    'seeds 0 and 1 made the same predictions',
  ),
  'lanes': (
    'lanes',
    with_step(
      lambda state, batches, pool: step(
        {**state, 'weights': alone(state['weights'])}, batches, pool
      )
    ),
    'of seed 0 in a call with another seed are .* from those',
  ),
  'finite': (
    'finite',
    SOUND._replace(finite=lambda state: {'net': jnp.bool_(True)}),
    r"NaN in \['weights'\] makes predictions NaN, and finite says",
  ),
  'restore': (
    'restore',
    with_step(counts_in_floats),
    'it cannot be restored by the shapes of init',
  ),
  'no samples': (
    'dropout',
    SOUND._replace(apply=one_sample_only),
    r'gave predictions \(4, 4\) of 4 examples; it must be \(3, 4, 4\)',
  ),
  'masks by row': (
    'dropout',
    SOUND._replace(apply=functools.partial(apply, by_row=True)),
    'one key gave four equal examples different predictions',
  ),
  'rows': (
    'rows',
    SOUND._replace(apply=beside_the_mean),
    'example 0 gets .* in a batch of 40 and .* in one of 4',
  ),
  'pseudo-labels': (
    'pseudo_labels',
    SOUND._replace(pseudo_labels=lambda state, pool: pool.targets),
    'a label for an example with an answer',
  ),
  'report': (
    'report',
    SOUND._replace(report=report_of(beside_the_batch)),
    "the metric 'mine' of the report is .* in one chunk and .* in chunks of 7",
  ),
  'undeclared': (
    'report',
    SOUND._replace(report=report_of(largest)._replace(metrics=())),
    r"returned \['mine'\]; its metrics are \[\]",
  ),
}


def check(learner, **options):
  return testing.check_learner(
    learner, facts=FACTS, inputs=INPUTS, targets=TARGETS, name='mine', **options
  )


def test_a_sound_one_is_reported():
  found = check(SOUND)
  assert set(found.skipped) == {'pseudo_labels', 'report'}
  assert set(found.checked) == RULES - {'pseudo_labels', 'report'}
  reporting = SOUND._replace(report=report_of(largest))
  assert 'report' in check(reporting, skip=RULES - {'report'}).checked
  assert not check(SOUND, raises=False, skip=RULES - {'ends'}).broken


@pytest.mark.parametrize(
  ('rule', 'learner', 'evidence'), BROKEN.values(), ids=BROKEN
)
def test_a_broken_rule_is_named_with_the_evidence(rule, learner, evidence):
  with pytest.raises(
    errors.ContractError,
    match=f"^mine breaks the rule '{rule}': .*{evidence}",
  ):
    check(learner, skip=RULES - {rule})


@pytest.mark.parametrize('name', ['end', 'padding', 'hidden', 'finite'])
def test_nothing_but_the_broken_rule_is_reported(name):
  rule, learner, _ = BROKEN[name]
  found = check(learner, raises=False, skip={'lanes': 'takes a compilation'})
  assert set(found.broken) == {rule}


def test_a_learner_needs_the_facts_that_it_was_built_for():
  with pytest.raises(ValueError, match='facts, inputs and targets must be'):
    testing.check_learner(SOUND)
  with pytest.raises(ValueError, match='model and options are for a function'):
    check(SOUND, options={'decay': 1})
  few = FACTS._replace(label_budget=5)
  with pytest.raises(ValueError, match='label_budget of 5 and 40 ex'):
    testing.check_learner(SOUND, facts=few, inputs=INPUTS, targets=TARGETS)

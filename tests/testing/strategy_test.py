"""Every rule of `check_strategy` catches a strategy that breaks it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import errors, kernels, strategies, tasks, testing
from al_jax import pool as pool_lib
from al_jax.interfaces import ModelOutput, Strategy
from al_jax.testing import linear


def measure(key, apply, batch):
  return kernels.margin(apply(batch.inputs).predictions)


def chosen(scores, allowed, k):
  """The k largest that are allowed, on the host; -1 for the rest."""
  scores = np.asarray(scores, np.float64)
  usable = np.asarray(allowed) & np.isfinite(scores)
  order = np.argsort(-np.where(usable, scores, -np.inf), kind='stable')
  indices = np.full(k, -1, np.int32)
  picks = order[: min(k, usable.sum())]
  indices[: len(picks)] = picks
  return kernels.Selection(indices, np.zeros(k))


def select(key, state, measured, seen, pool, k):
  allowed = pool_lib.eligible(pool) & seen
  return state, chosen(measured, allowed, k)


SOUND = Strategy(lambda facts: (), measure, select, needs={'classes': ''})


def with_select(found, **more):
  """A strategy whose Selection a function of the sound one and all else is."""

  def broken(key, state, measured, seen, pool, k):
    _, selection = select(key, state, measured, seen, pool, k)
    return state, selection._replace(
      indices=found(np.array(selection.indices), key, measured, seen, pool, k)
    )

  return SOUND._replace(select=broken, **more)


def with_scores(scores):
  """A strategy that selects by `scores(measured, pool)` among all eligible."""
  return SOUND._replace(
    select=lambda key, state, measured, seen, pool, k: (
      state,
      chosen(scores(np.asarray(measured), pool), pool_lib.eligible(pool), k),
    )
  )


def picks_twice(indices, *_):
  indices[1] = indices[0]
  return indices


def nothing_of_one(indices, *rest):
  return indices - indices - 1 if rest[-1] == 1 else indices


def nan_first(indices, key, measured, seen, pool, k):
  bad = np.isnan(measured) & np.asarray(pool_lib.eligible(pool) & seen)
  indices[0] = np.argmax(bad) if bad.any() else indices[0]
  return indices


calls = []


def other_each_time(indices, *_):
  calls.append(None)
  real = np.sum(indices >= 0)
  indices[:real] = np.roll(indices[:real], len(calls))
  return indices


def as_hidden_answers_say(indices, key, measured, seen, pool, k):
  return indices[::-1] if np.any(np.asarray(pool.targets) > 9) else indices


def p_log_p(key, apply, batch):
  probs = jax.nn.softmax(apply(batch.inputs).predictions)
  return -jnp.sum(probs * jnp.log(probs), axis=-1)


def beside_the_mean(key, apply, batch):
  scores = measure(key, apply, batch)
  return scores - scores.mean()


def beside_padding(key, apply, batch):
  is_padding = (batch.index < 0)[:, None]
  return measure(key, apply, batch) + jnp.sum(batch.inputs * is_padding)


def growing(key, state, measured, seen, pool, k):
  _, selection = select(key, state, measured, seen, pool, k)
  return jnp.append(state, 1.0), selection


def by_embedding(key, apply, batch):
  return apply(batch.inputs).embedding[:, 0]


def by_dropout(key, apply, batch):
  output = apply(batch.inputs, keys=jax.random.split(key, 2))
  return kernels.margin(output.predictions[0])


def traced_otherwise(key, state, measured, seen, pool, k):
  if isinstance(measured, jax.core.Tracer):
    measured = -measured
  scores = jnp.where(pool_lib.eligible(pool) & seen, measured, -jnp.inf)
  values, indices = jax.lax.top_k(scores, k)
  return state, kernels.Selection(
    jnp.where(values > -jnp.inf, indices, -1), values
  )


def compiles_anew(key, state, measured, seen, pool, k):
  eligible = pool_lib.eligible(pool) & seen
  return state, jax.jit(lambda s, e: kernels.top_k(s, k, eligible=e))(
    measured, eligible
  )


BROKEN = {
  'twice': ('picks', with_select(picks_twice), 'picked an example twice'),
  'asks again': (
    'picks',
    with_select(lambda indices, *_: np.arange(8, dtype=np.int32)),
    r"on the pool 'drawn', \[3, 17, 5\] queried before, .* picked 3, which was",
  ),
  'returns no pair': (
    'picks',
    SOUND._replace(select=lambda *given: select(*given)[1]),
    r'returned \(ndarray, ndarray\); it must return \(state, al_jax',
  ),
  'one': ('one', with_select(nothing_of_one), 'with k = 1, .* picked 0; it'),
  'finite': (
    'finite',
    SOUND._replace(measure=p_log_p),
    "'very sure' .* fin",
  ),
  'seen': (
    'unseen',
    with_scores(lambda measured, pool: measured),
    'which was not measured',
  ),
  'poison': (
    'unseen',
    with_select(
      lambda indices, key, measured, *_: (
        indices if np.all(np.abs(measured) < 1e9) else indices[::-1]
      )
    ),
    'nan in place of the zeros of rows .* changed the picks|1e\\+15 in place',
  ),
  'nan': ('nan', with_select(nan_first), 'picked 0, whose measurement is NaN'),
  'key': ('key', with_select(other_each_time), 'a second call with the same'),
  'uniform': ('key', SOUND._replace(uniform=True), 'nine keys gave the picks'),
  'batches': (
    'batches',
    SOUND._replace(measure=beside_the_mean),
    'example 0 measured .* in a batch of 40 and .* in one of 7',
  ),
  'padding': ('padding', SOUND._replace(measure=beside_padding), 'rows of 7'),
  'hidden': (
    'hidden',
    with_select(as_hidden_answers_say),
    'garbage in place of hidden answers',
  ),
  'state': (
    'state',
    SOUND._replace(init=lambda facts: jnp.zeros(1), select=growing),
    r'it was float32\[1\] and is float32\[2\]',
  ),
  'needs more': (
    'needs',
    SOUND._replace(measure=by_embedding),
    r"only the declared needs, \['classes'\], measure raised TypeError",
  ),
  'needs dropout': (
    'needs',
    SOUND._replace(measure=by_dropout),
    "measure uses 'dropout', which needs does not declare",
  ),
  'needs less': (
    'needs',
    SOUND._replace(needs={'classes': '', 'embedding': ''}),
    "declares 'embedding', and measure does not use it",
  ),
  'where': (
    'where',
    SOUND._replace(where=lambda key, state, pool: jnp.ones(40)),
    r'where returned float32\[40\]; it must return bool\[40\]',
  ),
  'where hidden': (
    'where',
    SOUND._replace(where=lambda key, state, pool: pool.targets < 9),
    'hidden answers changed the mask of where',
  ),
  'prefilter': (
    'prefilter',
    SOUND._replace(prefilter=(SOUND, 5)),
    'it has 5 candidates for k = 8',
  ),
  'jit': ('jit', SOUND._replace(select=traced_otherwise), 'jax.jit changed'),
  'compilations': (
    'compilations',
    SOUND._replace(select=compiles_anew),
    'the second call of select compiled 1 programs: put jax.jit',
  ),
}


def test_a_sound_one_on_the_host_is_reported():
  found = testing.check_strategy(SOUND, name='mine')
  assert set(found.checked) | set(found.skipped) == set(testing.strategy.RULES)
  assert set(found.skipped) == {'where', 'prefilter', 'jit'}
  assert not found.broken and not found.notes
  assert str(found).startswith('mine: 12 of 12 rules kept\n  skipped: where:')


@pytest.mark.parametrize(
  ('rule', 'strategy', 'evidence'), BROKEN.values(), ids=BROKEN
)
def test_a_broken_rule_is_named_with_the_evidence(rule, strategy, evidence):
  others = set(testing.strategy.RULES) - {rule}
  with pytest.raises(
    errors.ContractError,
    match=f"^mine breaks the rule '{rule}': .*({evidence})",
  ):
    testing.check_strategy(strategy, name='mine', skip=others)


@pytest.mark.parametrize(
  'name',
  ['one', 'seen', 'nan', 'padding', 'hidden', 'needs less', 'where'],
)
def test_nothing_but_the_broken_rule_is_reported(name):
  rule, strategy, _ = BROKEN[name]
  found = testing.check_strategy(strategy, raises=False)
  assert set(found.broken) == {rule}


def test_all_that_is_broken_is_told_at_once():
  both = with_select(picks_twice, uniform=True)
  with pytest.raises(errors.ContractError) as error:
    testing.check_strategy(both, name='mine')
  assert str(error.value).startswith('mine breaks ')
  assert "\n  the rule 'picks': " in str(error.value)


def test_an_error_of_the_part_is_evidence():
  failing = SOUND._replace(select=lambda *given: 1 / 0)
  with pytest.raises(
    errors.ContractError, match='select raised ZeroDiv'
  ) as error:
    testing.check_strategy(failing)
  assert isinstance(error.value.__cause__, Exception)


def test_a_select_that_refuses_nan_is_noted():
  def refuse(indices, key, measured, *_):
    if np.isnan(measured).any():
      raise ValueError('Input contains NaN.')
    return indices

  everything = set(testing.strategy.RULES) - {'nan'}
  found = testing.check_strategy(with_select(refuse), skip=everything)
  assert found.notes == {
    'nan': 'it rejects NaN: ValueError: Input contains NaN'
  }


def test_of_a_chain_the_last_stage_is_checked_and_that_is_told():
  chained = strategies.chain(SOUND, 20, SOUND)
  rules = set(testing.strategy.RULES) - {'prefilter'}
  found = testing.check_strategy(chained, skip=rules)
  assert 'check prefilter[0] by itself' in found.notes['prefilter']


def test_other_tasks_and_networks():
  task = tasks.Vector(2, scale=1.0)
  found = testing.check_strategy(
    strategies.variance(num_samples=4), task=task, skip=['one']
  )
  assert found.skipped['one'] == 'asked'

  def apply(inputs, *, keys=None):
    return ModelOutput(inputs @ linear.WEIGHTS, inputs, {'loss': inputs[:, 0]})

  def by_loss(key, apply, batch):
    return apply(batch.inputs).extras['loss']

  losses = SOUND._replace(measure=by_loss, needs={'extras.loss': ''})
  assert not testing.check_strategy(losses, apply=apply).broken
  with pytest.raises(ValueError, match=r"needs 'extras.loss'.*: pass apply"):
    testing.check_strategy(losses)


def test_what_the_check_itself_compiles_is_not_counted():
  jax.clear_caches()
  rules = set(testing.strategy.RULES) - {'compilations'}
  assert not testing.check_strategy(strategies.random(), skip=rules).notes


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'k': 1}, 'k is 1; it must be a whole number at least 2'),
    (
      {'inputs': np.zeros((30, 6))},
      'inputs has 30 examples; for k = 8',
    ),
    ({'inputs': np.zeros((40, 6, 2))}, r'\[40, 6, 2\]; without apply'),
    ({'skip': ['piks']}, "rule 'piks' is not known. Did you mean 'picks'"),
  ],
)
def test_bad_arguments_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    testing.check_strategy(SOUND, **options)

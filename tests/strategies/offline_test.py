"""`al_jax.select`: queries from arrays, whatever framework made them."""

import dataclasses
import doctest
import functools
import subprocess
import sys

import jax
import numpy as np
import pytest

import al_jax
from al_jax import errors, kernels, keys, parts, strategies, systems, xla
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from tests.strategies.small_pool import (
  EMBEDDINGS,
  EVERYTHING,
  LABELED,
  LOGITS,
  NAMES,
  SAMPLES,
  K,
  N,
  S,
  mask_of,
  softmax,
)

# What each strategy of the library needs; all others of these are too few.
NEEDS = {
  'random': (),
  'least_confidence': ('logits',),
  'margin': ('logits',),
  'entropy': ('logits',),
  'variation_ratio': ('samples',),
  'mean_std': ('samples',),
  'variance': ('samples',),
  'bald': ('samples',),
  'batch_bald': ('samples',),
  'badge': ('embeddings', 'logits'),
  'core_set': ('embeddings',),
  'k_means': ('embeddings',),
  'weighted_k_means': ('embeddings', 'logits'),
  'k_means_plus_plus': ('embeddings',),
  'lcmd': ('embeddings',),
  'information_density': ('embeddings', 'logits'),
  'graph_density': ('embeddings',),
  'expected_error_reduction': ('embeddings', 'logits'),
  'hybrid': ('embeddings', 'logits'),
  'jlp': ('embeddings',),
}
OPTIONS = {'batch_bald': {'num_configurations': 64}}


def arrays_of(names):
  return {name: EVERYTHING[name] for name in names}


@pytest.mark.parametrize('name', NEEDS)
def test_every_strategy_selects_unlabeled_examples_or_says_what_it_lacks(name):
  needed = NEEDS[name]
  options = OPTIONS.get(name)
  picks = al_jax.select(
    name,
    K,
    **arrays_of(needed),
    labeled=NAMES[LABELED],
    ids=NAMES,
    options=options,
  )
  assert len(set(picks.ids) - set(NAMES[LABELED])) == K
  assert picks.values.shape == (K,) and not np.isnan(picks.values).any()
  for missing in needed:
    fewer = set(needed) - {missing}
    with pytest.raises(ValueError, match=f"'{name}' needs .*{missing}"):
      al_jax.select(name, K, **arrays_of(fewer), ids=NAMES, options=options)


def test_no_strategy_is_left_out():
  others = {'albl', 'learning_loss', 'adversarial'}
  assert set(NEEDS) == set(strategies.STRATEGIES) - others


def test_a_strategy_that_needs_an_output_of_a_learner_is_refused():
  for name, output in (
    ('learning_loss', 'predicted_loss'),
    ('adversarial', 'unlabelled'),
  ):
    with pytest.raises(ValueError, match=f"needs the output '{output}' of"):
      al_jax.select(name, K, **EVERYTHING)


def test_a_strategy_that_learns_from_answers_is_refused():
  with pytest.raises(ValueError, match="'albl' needs the answers to earlier"):
    al_jax.select(
      'albl', K, **EVERYTHING, options={'arms': ['random', 'core_set']}
    )


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('power_bald', "^'power_bald' is a system; select takes its strategy, "),
    ('power_bald', "strategy, 'bald', with options={'draw': 'power'}"),
    ('supervised+robust_core_set', "'core_set', with options={'robust': True}"),
    ('supervised+margin', "trains nothing: pass its strategy, 'margin'"),
    ('ceal', 'Known: .*with a learner of their own are for al-jax run'),
    ('kcenter', "'kcenter' is not known. Known: badge"),
    ('albl', "strategy 'albl' needs the option 'arms'"),
  ],
)
def test_what_is_no_strategy_is_told_with_what_there_is(name, message):
  with pytest.raises(ValueError, match=message) as caught:
    al_jax.select(name, K, **EVERYTHING)
  assert 'albl' not in str(caught.value).partition('Known:')[2]


def test_published_names_of_strategies_with_options_are_systems():
  for name, (strategy, options) in strategies.PUBLISHED.items():
    found = systems.SYSTEMS[name]
    assert (found.strategy, found.strategy_options) == (strategy, options)
    assert strategies.build(strategy, options)


def test_scores_rank_as_in_numpy():
  free = np.flatnonzero(~mask_of(LABELED))
  probs = np.sort(softmax(LOGITS.astype(np.float64)))
  gap = probs[:, -1] - probs[:, -2]
  picks = al_jax.select('margin', K, logits=LOGITS, labeled=LABELED)
  np.testing.assert_array_equal(picks.ids, free[np.argsort(gap[free])][:K])
  np.testing.assert_allclose(picks.values, -gap[picks.ids], atol=1e-6)


@pytest.mark.parametrize('name', ['margin', 'entropy'])
def test_without_logits_the_mean_over_samples_counts(name):
  mean = np.log(softmax(SAMPLES.astype(np.float64)).mean(0))
  of_samples = al_jax.select(name, K, samples=SAMPLES)
  of_mean = al_jax.select(name, K, logits=mean)
  np.testing.assert_array_equal(of_samples.ids, of_mean.ids)
  # Asked for, samples go before logits.
  asked = al_jax.select(
    name, K, samples=SAMPLES, logits=LOGITS, options={'num_samples': S}
  )
  np.testing.assert_array_equal(asked.ids, of_mean.ids)


def test_bald_sees_every_sample_once():
  probs = softmax(SAMPLES.astype(np.float64))
  mean = probs.mean(0)
  scores = -(mean * np.log(mean)).sum(-1)
  scores += (probs * np.log(probs)).sum(-1).mean(0)
  picks = al_jax.select('bald', K, samples=SAMPLES)
  np.testing.assert_array_equal(picks.ids, np.argsort(-scores)[:K])
  np.testing.assert_allclose(picks.values, scores[picks.ids], atol=1e-5)


def test_core_set_is_the_farthest_point_from_all_labels():
  centers, chosen = list(LABELED), []
  for _ in range(K):
    gaps = EMBEDDINGS[:, None] - EMBEDDINGS[centers]
    chosen.append(int(np.argmin(-(gaps**2).sum(-1).min(1))))
    centers.append(chosen[-1])
  picks = al_jax.select('core_set', K, embeddings=EMBEDDINGS, labeled=LABELED)
  assert picks.ids.tolist() == chosen


def test_badge_is_the_kernel_with_the_key_of_a_first_round():
  factors = kernels.gradient_factors(LOGITS, EMBEDDINGS)
  direct = kernels.kmeans_plus_plus(
    keys.for_round(7, 0, keys.SELECT),
    factors,
    K,
    eligible=~mask_of(LABELED),
  )
  picks = al_jax.select(
    'badge', K, embeddings=EMBEDDINGS, logits=LOGITS, labeled=LABELED, seed=7
  )
  np.testing.assert_array_equal(picks.ids, direct.indices)
  np.testing.assert_allclose(picks.values, direct.values, rtol=1e-5)


def test_all_that_is_left_and_no_more():
  labeled = mask_of([0, 1])
  picks = al_jax.select('random', N - 2, embeddings=EMBEDDINGS, labeled=labeled)
  assert sorted(picks.ids) == list(range(2, N))
  with pytest.raises(
    ValueError, match=r'k is 23; it must be at most 22, .*N is'
  ):
    al_jax.select('random', N - 1, embeddings=EMBEDDINGS, labeled=labeled)


def test_a_seed_is_a_choice():
  chosen = {
    tuple(al_jax.select('random', K, ids=NAMES, seed=seed).ids)
    for seed in (0, 0, 1, 2, 2**32 - 1)
  }
  assert len(chosen) == 4


def test_labels_have_no_say_but_where_they_are():
  # Nothing but the unlabeled rows decides, and nothing of labeled ones does.
  changed = LOGITS.copy()
  changed[LABELED] = 0
  for logits in (LOGITS, changed):
    picks = al_jax.select('entropy', K, logits=logits, labeled=LABELED)
    assert not set(picks.ids) & set(LABELED)
  np.testing.assert_array_equal(
    picks.ids, al_jax.select('entropy', K, logits=LOGITS, labeled=LABELED).ids
  )


def my_strategy(*, sign: int = 1):
  """Selects by the first embedding."""

  def measure(key, apply, batch):
    return sign * apply(batch.inputs).embedding[:, 0]

  return strategies.scored(measure)


def test_strategies_of_your_own(tmp_path, monkeypatch):
  order = np.argsort(EMBEDDINGS[:, 0])
  (tmp_path / 'mine_offline.py').write_text(
    'from al_jax import strategies\n'
    'def first(*, sign=1):\n'
    '  return strategies.scored(\n'
    '    lambda key, apply, batch: sign * apply(batch.inputs).embedding[:, 0]\n'
    '  )\n'
  )
  monkeypatch.chdir(tmp_path)
  # Another test may have left folders to search.
  parts.search_in([])
  for mine in (my_strategy, 'mine_offline.first'):
    picks = al_jax.select(mine, K, embeddings=EMBEDDINGS, options={'sign': -1})
    np.testing.assert_array_equal(picks.ids, order[:K])
  picks = al_jax.select(my_strategy(), K, embeddings=EMBEDDINGS)
  np.testing.assert_array_equal(picks.ids, order[::-1][:K])


def test_a_chain_and_a_subset_look_at_candidates_only():
  chained = strategies.chain(strategies.margin(), 6, strategies.core_set())
  candidates = al_jax.select('margin', 6, logits=LOGITS, labeled=LABELED).ids
  picks = al_jax.select(chained, K, **EVERYTHING, labeled=LABELED)
  assert set(picks.ids) <= set(candidates)
  part = strategies.subset(strategies.margin(), K)
  picks = al_jax.select(part, K, logits=LOGITS, labeled=LABELED)
  assert not set(picks.ids) & set(LABELED)
  with pytest.raises(ValueError, match='proposes 6 candidates; it must be at'):
    al_jax.select(chained, 7, **EVERYTHING)


def test_a_select_on_the_host_works():
  picks = al_jax.select(
    'core_set', K, embeddings=EMBEDDINGS, options={'robust': True}
  )
  assert len(set(picks.ids)) == K


def picking(indices):
  """A strategy that picks the same whatever it is shown."""

  def select(key, state, measured, seen, pool, k):
    return state, kernels.Selection(np.asarray(indices), np.zeros(k))

  return Strategy(lambda facts: (), None, select)


@pytest.mark.parametrize(
  ('indices', 'sentence'),
  [
    ([0, 1, 3], 'picked 3, which was queried before'),
    ([0, 0, 1], 'picked an example twice'),
    ([0, -1, -1], 'picked 1; it must pick 3'),
  ],
)
def test_picks_that_break_the_contract_are_refused(indices, sentence):
  with pytest.raises(
    errors.ContractError, match=f'strategy of yours {sentence}'
  ):
    al_jax.select(picking(indices), K, ids=NAMES, labeled=NAMES[LABELED])


def test_what_nobody_declared_is_told_by_the_numbers():
  with pytest.raises(ValueError, match=r'not finite for example scan 0\. Perh'):
    al_jax.select(my_strategy, K, logits=LOGITS, ids=NAMES)
  asks = my_strategy()._replace(needs={'extras.depth': ''})
  with pytest.raises(ValueError, match="needs the output 'depth' of a model"):
    al_jax.select(asks, K, **EVERYTHING)


def test_an_error_of_your_own_code_is_told_as_such():
  def select(key, state, measured, seen, pool, k):
    return {}['boom']

  broken = strategies.margin()._replace(select=select)
  with pytest.raises(
    ValueError, match=r"^strategy of yours raises KeyError: 'boom'\.$"
  ) as caught:
    al_jax.select(broken, K, logits=LOGITS)
  assert isinstance(caught.value.__cause__, KeyError)

  def reads(key, apply, batch):
    return apply(batch.inputs).extras['depth']

  with pytest.raises(ValueError, match="needs the output 'depth' of a model"):
    al_jax.select(strategies.scored(reads), K, logits=LOGITS)


def failing():
  return 1 / 0


@pytest.mark.parametrize(
  ('make', 'sentence'),
  [
    (
      failing,
      r"strategy '.*\.failing' cannot be made with {}: ZeroDivisionErr",
    ),
    (int, "strategy is <class 'int'>; it must be a name, a Strategy, or a"),
    (print, "strategy 'builtins.print' returns NoneType; it must return"),
  ],
)
def test_a_function_that_makes_no_strategy_is_named(make, sentence):
  with pytest.raises(ValueError, match=f'^{sentence}'):
    al_jax.select(make, K, logits=LOGITS)


@dataclasses.dataclass
class Signed:
  """Makes a strategy by what it holds; it cannot be hashed."""

  sign: int = 1

  def __call__(self):
    return my_strategy(sign=self.sign)

  def make(self):
    return my_strategy(sign=self.sign)


@pytest.mark.parametrize('of', [lambda made: made, lambda made: made.make])
def test_a_function_of_yours_is_called_each_time(of):
  made, order = Signed(), np.argsort(EMBEDDINGS[:, 0])
  picks = al_jax.select(of(made), K, embeddings=EMBEDDINGS)
  np.testing.assert_array_equal(picks.ids, order[::-1][:K])
  made.sign = -1
  picks = al_jax.select(of(made), K, embeddings=EMBEDDINGS)
  np.testing.assert_array_equal(picks.ids, order[:K])


def test_options_in_a_partial_are_options():
  def powered():
    make = functools.partial(strategies.bald, draw='power')
    return al_jax.select(make, K, samples=SAMPLES, options={'coldness': 2})

  options = {'draw': 'power', 'coldness': 2}
  by_name = al_jax.select('bald', K, samples=SAMPLES, options=options)
  before = xla.programs_compiled()
  np.testing.assert_array_equal(powered().ids, by_name.ids)
  assert xla.programs_compiled() == before


def test_options_of_a_strategy_are_its_own():
  with pytest.raises(ValueError, match='a Strategy has been given its own'):
    al_jax.select(
      strategies.margin(), K, logits=LOGITS, options={'draw': 'power'}
    )


@pytest.mark.parametrize(
  'name', ['random', 'margin', 'bald', 'core_set', 'badge']
)
def test_a_second_call_compiles_nothing(name):
  arrays = arrays_of(NEEDS[name] or ('logits',))
  al_jax.select(name, K, **arrays, labeled=[0])
  before = xla.programs_compiled()
  for seed, labeled in ((1, [0]), (0, [1, 2]), (2, mask_of([4]))):
    al_jax.select(name, K, **arrays, labeled=labeled, seed=seed)
  assert xla.programs_compiled() == before


def test_options_are_not_mistaken_for_each_other():
  scores = [
    al_jax.select('bald', K, samples=SAMPLES, options={'draw': draw}).values
    for draw in ('top', 'softrank', 'top')
  ]
  np.testing.assert_array_equal(scores[0], scores[2])
  assert not np.array_equal(scores[0], scores[1])


def test_it_needs_no_package_of_an_extra():
  program = (
    'import sys, numpy as np, al_jax\n'
    'print(al_jax.select("random", 2, ids=["a", "b"]).ids.tolist())\n'
    'print(*{name.partition(".")[0] for name in sys.modules})'
  )
  ended = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  ids, loaded = ended.stdout.splitlines()
  assert sorted(eval(ids)) == ['a', 'b']
  extras = {name for packages in errors.EXTRAS.values() for name in packages}
  assert not set(loaded.split()) & extras


def test_the_example_of_the_docstring():
  (example,) = doctest.DocTestFinder().find(al_jax.select, globs={})
  result = doctest.DocTestRunner().run(example)
  assert result.attempted and not result.failed


def test_the_labelled_set_is_as_a_run_has_it():
  seen = {}

  def select(key, state, measured, seen_rows, pool, k):
    seen['pool'] = pool
    return state, kernels.uniform(key, pool_lib.eligible(pool) & seen_rows, k)

  al_jax.select(
    Strategy(lambda facts: (), None, select), K, ids=NAMES, labeled=NAMES[:2]
  )
  asked = np.arange(N) < 2
  np.testing.assert_array_equal(pool_lib.trainable(seen['pool']), asked)
  np.testing.assert_array_equal(pool_lib.eligible(seen['pool']), ~asked)
  assert seen['pool'].acquired_order[:3].tolist() == [0, 1, -1]
  assert jax.tree.map(lambda leaf: leaf.dtype, seen['pool']) == jax.tree.map(
    lambda leaf: leaf.dtype, pool_lib.create(N)
  )

"""`al_jax.select`: queries from arrays, whatever framework made them."""

import doctest
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import al_jax
from al_jax import errors, kernels, keys, strategies, xla
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy

N, D, C, S, K = 24, 6, 4, 5, 3
RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(N, D)).astype(np.float32)
LOGITS = RNG.normal(size=(N, C)).astype(np.float32)
SAMPLES = RNG.normal(size=(S, N, C)).astype(np.float32)
EVERYTHING = {'embeddings': EMBEDDINGS, 'logits': LOGITS, 'samples': SAMPLES}
LABELED = [3, 17, 5]
NAMES = np.array([f'scan {i}' for i in range(N)])
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
  'information_density': ('embeddings', 'logits'),
  'graph_density': ('embeddings',),
  'expected_error_reduction': ('embeddings', 'logits'),
  'jlp': ('embeddings',),
}
OPTIONS = {'batch_bald': {'num_configurations': 64}}


def mask_of(labeled):
  return np.isin(np.arange(N), labeled)


def arrays_of(names):
  return {name: EVERYTHING[name] for name in names}


def softmax(logits):
  powers = np.exp(logits - logits.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


class Foreign:
  """A tensor as PyTorch has them on the CPU: NumPy cannot read its gradient."""

  def __init__(self, values, grad=True):
    self._values, self._grad = np.array(values), grad

  def detach(self):
    return Foreign(self._values, grad=False)

  def __dlpack__(self, **options):
    if self._grad:
      raise BufferError('requires grad')
    return self._values.__dlpack__(**options)

  def __dlpack_device__(self):
    return self._values.__dlpack_device__()


class Elsewhere:
  """A tensor on a device that neither JAX nor NumPy has."""

  def __init__(self, values):
    self._values = values

  def detach(self):
    return self

  def __dlpack__(self, **options):
    raise BufferError('no such device')

  def __dlpack_device__(self):
    return (2, 7)

  def cpu(self):
    return Foreign(self._values, grad=False)


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
  assert set(NEEDS) == set(strategies.STRATEGIES) - {'albl'}


def test_a_strategy_that_learns_from_answers_is_refused():
  with pytest.raises(ValueError, match="'albl' needs the answers to earlier"):
    al_jax.select(
      'albl', K, **EVERYTHING, options={'arms': ['random', 'core_set']}
    )


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


def frameworks():
  yield 'list', np.ndarray.tolist
  yield 'jax', jnp.asarray
  yield 'float64', np.float64
  yield 'fortran', np.asfortranarray
  yield 'dlpack', Foreign
  yield 'elsewhere', Elsewhere


@pytest.mark.parametrize(
  'made',
  [made for _, made in frameworks()],
  ids=[name for name, _ in frameworks()],
)
def test_picks_are_equal_whatever_the_framework(made):
  plain = al_jax.select(
    'badge', K, embeddings=EMBEDDINGS, logits=LOGITS, labeled=LABELED
  )
  picks = al_jax.select(
    'badge',
    K,
    embeddings=made(EMBEDDINGS),
    logits=made(LOGITS),
    labeled=mask_of(LABELED),
  )
  np.testing.assert_array_equal(picks.ids, plain.ids)
  np.testing.assert_array_equal(picks.values, plain.values)


def test_tensors_of_pytorch_are_taken():
  torch = pytest.importorskip('torch')
  logits = torch.from_numpy(LOGITS).requires_grad_()
  plain = al_jax.select('margin', K, logits=LOGITS, labeled=LABELED)
  picks = al_jax.select(
    'margin', K, logits=logits, labeled=torch.tensor(LABELED)
  )
  np.testing.assert_array_equal(picks.ids, plain.ids)
  al_jax.select('margin', K, logits=logits.to(torch.bfloat16))


def test_half_precision_is_taken():
  coarse = jnp.asarray(LOGITS, jnp.bfloat16)
  picks = al_jax.select('margin', K, logits=coarse)
  exact = al_jax.select('margin', K, logits=np.asarray(coarse, np.float32))
  np.testing.assert_array_equal(picks.ids, exact.ids)


@pytest.mark.parametrize(
  ('ids', 'labeled'),
  [
    (None, LABELED),
    (None, set(LABELED)),
    (None, mask_of(LABELED)),
    (None, jnp.asarray(mask_of(LABELED))),
    (NAMES, NAMES[LABELED].tolist()),
    (NAMES.tolist(), mask_of(LABELED)),
    (NAMES.astype(object), NAMES[LABELED].astype(object)),
    (np.arange(N) * 10 + 2**40, np.array(LABELED) * 10 + 2**40),
  ],
)
def test_labels_and_ids_in_any_form(ids, labeled):
  picks = al_jax.select('margin', K, logits=LOGITS, labeled=labeled, ids=ids)
  plain = al_jax.select('margin', K, logits=LOGITS, labeled=LABELED)
  named = np.arange(N) if ids is None else np.asarray(ids)
  assert picks.ids.tolist() == named[plain.ids].tolist()


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
    ([0, 1, 3], 'picked 3, which was asked about before'),
    ([0, 0, 1], 'picked an example twice'),
    ([0, -1, -1], 'picked 1; 3 are due'),
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


PROBS = softmax(LOGITS)


@pytest.mark.parametrize(
  ('arguments', 'sentence'),
  [
    (
      {'logits': LOGITS, 'samples': SAMPLES.swapaxes(0, 1)},
      f'samples are ({N}, {S}, {C}); logits say N is {N}: pass [S, N, C], '
      'which np.swapaxes(samples, 0, 1) has.',
    ),
    (
      {'ids': NAMES, 'samples': SAMPLES.swapaxes(0, 1)},
      f'samples are ({N}, {S}, {C}); ids say N is {N}: pass [S, N, C]',
    ),
    (
      {'labeled': mask_of([1]), 'samples': SAMPLES.swapaxes(0, 1)},
      f'samples are ({N}, {S}, {C}); labeled say N is {N}: pass [S, N, C]',
    ),
    (
      {'samples': SAMPLES.swapaxes(0, 1), 'labeled': [9]},
      f'labeled has 9; it must be a mask bool[N], or distinct positions from 0 '
      f'to {S - 1} (samples ({N}, {S}, {C}) are [S, N, C]).',
    ),
    (
      {'logits': LOGITS[:5], 'embeddings': EMBEDDINGS},
      f'logits are (5, {C}); embeddings say N is {N}: pass [N, C].',
    ),
    (
      {'logits': PROBS},
      'every row of logits sums to 1: pass logits, not probabilities',
    ),
    ({'samples': softmax(SAMPLES)}, 'every row of samples sums to 1: pass'),
    (
      {'logits': PROBS.astype(jnp.bfloat16)},
      'every row of logits sums to 1: pass logits',
    ),
    (
      {'logits': np.where(np.arange(N * C).reshape(N, C) == 7, np.nan, LOGITS)},
      'logits[1, 3] is nan; it must be a finite number of float32.',
    ),
    (
      {'embeddings': np.where(np.eye(N, D, -1) == 1, 1e300, 0.5)},
      'embeddings[1, 0] is 1e+300; it must be a finite',
    ),
    ({}, 'nothing is given: pass embeddings [N, D], logits [N, C]'),
    (
      {'embeddings': 'x.npy'},
      "embeddings is the text 'x.npy'; it must be an array: np.load",
    ),
    ({'logits': [['a', 'b']]}, 'logits are <U1; they must be numbers'),
    ({'logits': [[1, 2], [3]]}, 'logits cannot be read as an array: '),
    (
      {'logits': SAMPLES},
      f'logits are ({S}, {N}, {C}); they must be [N, C]; sa',
    ),
    ({'samples': LOGITS}, f'samples are ({N}, {C}); they must be [S, N, C]'),
    ({'logits': LOGITS[:, :1]}, f'logits are ({N}, 1); C must be at least 2'),
    (
      {'logits': EMBEDDINGS, 'embeddings': LOGITS, 'samples': SAMPLES},
      f'logits have {D} classes and samples {C}; they must have the same. Are '
      'embeddings and logits swapped?',
    ),
    (
      {'logits': LOGITS, 'labeled': [0.0, 1.0]},
      'labeled are float64 (2,); they',
    ),
    ({'logits': LOGITS, 'labeled': [N]}, f'labeled has {N}; it must be a mask'),
    ({'logits': LOGITS, 'labeled': [-1]}, 'labeled has -1; it must be a mask'),
    (
      {'logits': LOGITS, 'labeled': [1, 1]},
      'labeled has 1 twice; it must be a',
    ),
    ({'logits': LOGITS, 'labeled': ['a']}, "labeled has 'a', and no ids are"),
    (
      {'logits': LOGITS, 'labeled': [3], 'ids': [str(i) for i in range(N)]},
      'labeled has 3, which is not among the ids; where ids are given, it',
    ),
    (
      {'logits': LOGITS, 'labeled': np.ones((N, 1), bool)},
      'labeled are bool (',
    ),
    (
      {'logits': LOGITS, 'ids': ['a'] * N},
      "ids has 'a' twice; they must differ",
    ),
    ({'ids': ['a', 1]}, 'ids are numbers and text; they must be [N]'),
    ({'ids': [0.5, 1.5]}, 'ids are float64 (2,); they must be [N], all whole'),
    (
      {'logits': LOGITS, 'k': 0},
      'k is 0; it must be a whole number at least 1',
    ),
    ({'logits': LOGITS, 'k': True}, 'k is True; it must be a whole number'),
    ({'logits': LOGITS, 'seed': -1}, 'seed is -1; it must be a whole number'),
    (
      {'logits': LOGITS, 'labeled': range(N)},
      f'k is {K}; it must be at most 0',
    ),
    ({'logits': LOGITS, 'options': {'colness': 2}}, "Did you mean 'coldness'?"),
    ({'logits': LOGITS, 'options': 3}, 'options is 3; it must be a mapping'),
    (
      {'samples': SAMPLES, 'options': {'num_samples': 2}},
      f'num_samples is 2; samples are ({S}, {N}, {C}), and S is {S}.',
    ),
    ({'logits': LOGITS, 'strategy': 'margn'}, "Did you mean 'margin'?"),
  ],
)
def test_a_wrong_argument_is_one_sentence(arguments, sentence):
  arguments = {'strategy': 'margin', 'k': K, **arguments}
  with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
    al_jax.select(**arguments)
  assert '\n' not in str(caught.value)


def test_uniform_logits_are_no_mistake():
  al_jax.select('margin', K, logits=np.full((N, C), 1 / C))


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


def test_the_example_of_the_readme(capsys):
  page = (pathlib.Path(__file__).parents[2] / 'README.md').read_text()
  blocks = re.findall(r'^```python\n(.*?)^```', page, re.M | re.S)
  (block,) = [block for block in blocks if 'al_jax.select(' in block]
  names = {}
  exec(block, names)
  assert len(set(names['picks'].ids) - {3, 17, 5}) == 32
  assert capsys.readouterr().out


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

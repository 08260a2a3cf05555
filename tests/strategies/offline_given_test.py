"""What `al_jax.select` takes, and the sentences for what it does not."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import al_jax
from al_jax.strategies.offline import spread
from tests.strategies.small_pool import (
  EMBEDDINGS,
  LABELED,
  LOGITS,
  NAMES,
  SAMPLES,
  C,
  D,
  K,
  N,
  S,
  mask_of,
  softmax,
)


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
    (NAMES, []),
    (NAMES.astype(bytes), NAMES[LABELED].astype(bytes)),
    (NAMES.astype(object), NAMES[LABELED].astype(object)),
    (np.arange(N) * 10 + 2**40, np.array(LABELED) * 10 + 2**40),
  ],
)
def test_labels_and_ids_in_any_form(ids, labeled):
  picks = al_jax.select('margin', K, logits=LOGITS, labeled=labeled, ids=ids)
  some = [] if isinstance(labeled, list) and not labeled else LABELED
  plain = al_jax.select('margin', K, logits=LOGITS, labeled=some)
  named = np.arange(N) if ids is None else np.asarray(ids)
  named = named.astype(str) if named.dtype.kind == 'S' else named
  assert picks.ids.tolist() == named[plain.ids].tolist()


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
      f'samples are ({N}, {S}, {C}), which is [S, N, C] with more samples than',
    ),
    (
      {'logits': LOGITS[:5], 'embeddings': EMBEDDINGS},
      f'logits are (5, {C}); embeddings say N is {N}: pass [N, C].',
    ),
    (
      {'logits': PROBS},
      'every row of logits sums to 1: pass logits, not probabilities p '
      '(np.log(np.maximum(p, 1e-30)) are logits).',
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
      {'logits': LOGITS, 'labeled': np.arange(N) % 2},
      f'labeled has {N} numbers, all 0 or 1; a mask must be bool[N]: pass',
    ),
    (
      {'logits': LOGITS, 'labelled': [3]},
      "al_jax.select has no option 'labelled'. Did you mean 'labeled'?",
    ),
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
    (
      {'logits': LOGITS, 'labeled': np.zeros(0, bool)},
      f'labeled are (0,); logits say N is {N}: pass [N].',
    ),
    ({'ids': ['a', 'b\0', 'c']}, "ids has 'b\\x00'; text must have no NUL."),
    ({'ids': np.array(['a', 'b\0c'])}, "ids has 'b\\x00c'; text must have no"),
    (
      {'ids': np.array(['a', 'b\0'], object)},
      "ids has 'b\\x00'; text must have no",
    ),
    (
      {'ids': np.array([b'a', b'\xe4'])},
      "ids has b'\\xe4', which is not valid UTF-8",
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
      f'all {N} examples are labeled',
    ),
    ({'logits': LOGITS, 'options': {'colness': 2}}, "Did you mean 'coldness'?"),
    (
      {'logits': LOGITS, 'options': {1: 1, 'a': 2}},
      "strategy 'margin' has no option 1. It has: coldness, draw",
    ),
    ({'logits': LOGITS, 'options': 3}, 'options is 3; it must be a mapping'),
    (
      {'samples': SAMPLES, 'options': {'num_samples': 2}},
      f'num_samples is 2; samples are ({S}, {N}, {C}), and S is {S}.',
    ),
    (
      {'samples': SAMPLES[:1], 'strategy': 'bald'},
      f'samples [S, N, C] are {(1, N, C)}: one sample, and the strategy',
    ),
    (
      {'logits': LOGITS, 'labeled': ['3', 'foo']},
      "labeled has 'foo', and no ids are given",
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


def test_advised_logits_of_probabilities_are_taken():
  probs = PROBS.copy()
  probs[0] = np.eye(C)[0]
  logits = np.log(np.maximum(probs, 1e-30))
  picks = al_jax.select('margin', N, logits=logits)
  assert picks.ids[-1] == 0


@pytest.mark.parametrize(
  ('embeddings', 'sentence'),
  [
    (
      EMBEDDINGS + np.float32(1e3),
      r'lie far from 0: their mean has length 2\.45e\+03, their spread is '
      r'2\.\d+, .*pass embeddings - embeddings\.mean\(axis=0\)\.$',
    ),
    (EMBEDDINGS + np.float32(1e7), 'lie far from 0: their mean has'),
    (EMBEDDINGS * np.float32(1e25), r'have \d.*e\+25 as their largest abs'),
    (
      EMBEDDINGS * np.float32(1e-30),
      r'have \d.*e-30 as .*from 1e-15 to 1e\+15',
    ),
  ],
)
def test_embeddings_without_digits_are_refused(embeddings, sentence):
  with pytest.raises(ValueError, match=f'^embeddings {sentence}'):
    al_jax.select('core_set', K, embeddings=embeddings, labeled=LABELED)
  # A strategy that does not look at them takes them.
  al_jax.select('random', K, embeddings=embeddings)


@pytest.mark.parametrize('moved', [1.0, 8.0])
@pytest.mark.parametrize('scale', [1e-14, 1.0, 1e13])
def test_embeddings_with_digits_are_taken(moved, scale):
  embeddings = ((EMBEDDINGS + moved) * scale).astype(np.float32)
  plain = al_jax.select('core_set', K, embeddings=EMBEDDINGS, labeled=LABELED)
  picks = al_jax.select('core_set', K, embeddings=embeddings, labeled=LABELED)
  np.testing.assert_array_equal(picks.ids, plain.ids)


@pytest.mark.parametrize('value', [0.0, 0.1, 1e6 / 3])
def test_embeddings_may_all_be_equal(value):
  equal = np.full((N, D), value, np.float32)
  picks = al_jax.select('core_set', K, embeddings=equal, labeled=LABELED)
  assert not set(picks.ids) & set(LABELED) and not picks.values.any()


def test_the_mean_and_the_spread_are_those_of_numpy(monkeypatch):
  monkeypatch.setattr(spread, '_BLOCK', 2 * N)
  embeddings = np.asarray(EMBEDDINGS + np.arange(D) * 1e3, np.float32)
  exact = embeddings.astype(np.float64)
  center = exact.mean(0)
  expected = (
    np.linalg.norm(center),
    np.sqrt(((exact - center) ** 2).sum(1).mean()),
  )
  found = spread._length_and_spread(embeddings, np)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  found = spread._length_and_spread(jnp.asarray(embeddings), jnp)
  np.testing.assert_allclose(found, expected, rtol=1e-5)

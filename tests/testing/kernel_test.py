"""Every rule of `check_kernel` catches a function that breaks it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from al_jax import errors, kernels, testing

SCORES = np.random.default_rng(0).normal(size=40).astype(np.float32)
rng = np.random.default_rng(1)


def confidence(logits):
  """A sound score, in NumPy."""
  return 1 - special.softmax(np.asarray(logits, np.float32), axis=1).max(axis=1)


def largest(scores, k):
  """A sound selection, in NumPy."""
  return np.argsort(-np.where(np.isnan(scores), -np.inf, scores))[:k]


def p_log_p(logits):
  probs = special.softmax(np.asarray(logits, np.float32), axis=1)
  with np.errstate(all='ignore'):
    return -np.sum(probs * np.log(probs), axis=1)


def in_place(logits):
  logits -= logits.max(axis=1, keepdims=True)
  return confidence(logits)


def beside_the_mean(logits):
  scores = confidence(logits)
  return scores - scores.mean()


def ignores_nan(logits):
  return np.nan_to_num(confidence(logits))


def counts_in_half(logits):
  return confidence(logits) + np.float32(logits.dtype == np.float16)


def traced_otherwise(logits):
  sign = -1 if isinstance(logits, jax.core.Tracer) else 1
  return sign * kernels.margin(logits)


BROKEN = {
  'shape': (lambda logits: logits, r'it returned float32\[40, 4\]; it must'),
  'finite': (p_log_p, 'a thousand times larger the score of example'),
  'reference': (
    lambda logits: 2 * confidence(logits),
    'the reference says: the',
  ),
  'repeats': (lambda logits: rng.normal(size=len(logits)), 'fix its seed'),
  'inputs': (in_place, 'it wrote to its argument 0'),
  'order': (lambda logits: np.arange(1.0, 1 + len(logits)), 'in another order'),
  'part': (
    lambda logits: confidence(logits) - confidence(logits).mean(),
    'half',
  ),
  'nan': (ignores_nan, 'examples with NaN have finite scores'),
  'half': (counts_in_half, 'of float16: the score of example 0 is'),
}


def others(rule):
  return set(testing.kernel.SCORE_RULES) - {rule}


def test_a_sound_score_is_reported():
  found = testing.check_kernel(
    confidence, to=np.asarray, reference=lambda logits: confidence(logits)
  )
  assert set(found.skipped) == {'jit', 'compilations'}
  assert 'it returns ndarray, not a JAX array' in str(found)


@pytest.mark.parametrize(('rule', 'case'), BROKEN.items(), ids=BROKEN)
def test_a_broken_rule_is_named_with_the_evidence(rule, case):
  function, evidence = case
  with pytest.raises(
    errors.ContractError, match=f"^mine breaks the rule '{rule}': .*{evidence}"
  ):
    testing.check_kernel(
      function,
      to=np.array,
      reference=confidence,
      name='mine',
      skip=others(rule),
    )


def test_what_jit_changes_and_what_compiles_again_is_told():
  with pytest.raises(errors.ContractError, match='jit: the score of'):
    testing.check_kernel(traced_otherwise, skip=others('jit'))

  def anew(logits):
    return jax.jit(lambda x: x.max(axis=1))(logits)

  with pytest.raises(errors.ContractError, match='compiled 1 programs: jit it'):
    testing.check_kernel(anew, skip=others('compilations'))


@pytest.mark.parametrize(
  ('rule', 'function', 'evidence'),
  [
    ('shape', lambda s, k: np.zeros(k, int), 'it picked an example twice'),
    ('shape', lambda s, k: largest(s, k)[:-1], 'picked 4; it must pick 5'),
    ('reference', lambda s, k: largest(-s, k), 'the reference says'),
    ('order', lambda s, k: np.arange(k), 'in another order'),
    ('nan', lambda s, k: np.argsort(s)[::-1][:k], 'picked [01], an example w'),
  ],
)
def test_a_selection_that_breaks_a_rule_is_caught(rule, function, evidence):
  skip = set(testing.kernel.SELECTION_RULES) - {rule}
  with pytest.raises(errors.ContractError, match=f"'{rule}': .*{evidence}"):
    testing.check_kernel(
      function, SCORES, k=5, to=np.asarray, reference=largest, skip=skip
    )


def test_selections_of_numpy_and_of_jax_are_checked_alike():
  for function, to in ((largest, np.asarray), (kernels.top_k, jnp.asarray)):
    found = testing.check_kernel(
      function, SCORES, k=5, to=to, reference=largest
    )
    assert not found.broken and 'order' in found.checked


def test_refusing_is_noted_and_is_no_breach():
  def strict(logits):
    if logits.dtype != np.float32 or np.isnan(logits).any():
      raise ValueError('finite float32, please.')
    return confidence(logits)

  found = testing.check_kernel(strict, to=np.asarray)
  assert 'it rejects NaN: ValueError: finite float32' in found.notes['nan']
  assert 'rejects float16' in found.notes['half']
  assert 'rejects bfloat16' in found.notes['half']


def test_a_rule_is_left_out_for_a_reason():
  draw = functools.partial(kernels.stochastic_top_k, jax.random.key(0))
  only = {'shape', 'repeats', 'nan', 'compilations'}
  rules = set(testing.kernel.SELECTION_RULES) - only
  found = testing.check_kernel(
    draw, np.abs(SCORES), k=5, skip=dict.fromkeys(rules, 'it draws by position')
  )
  assert set(found.checked) == only
  assert found.skipped['order'] == 'it draws by position'


def test_samples_of_the_wrong_axis_are_told_once():
  samples = np.zeros((40, 3, 4), np.float32)
  with pytest.raises(errors.ContractError) as error:
    testing.check_kernel(kernels.bald, samples)
  assert str(error.value).count('it returned float32[3]; it must return') == 1


@pytest.mark.parametrize(
  ('arrays', 'options', 'message'),
  [
    (SCORES[:8], {'k': 5}, r'arrays have \[8\] examples .* 14 or more'),
    (
      [SCORES, SCORES[:20]],
      {},
      r'\[40, 20\] examples on axis 0; they',
    ),
    (SCORES, {'k': 0}, 'k is 0; it must be a whole number at least 1'),
    (SCORES, {'skip': ['orders']}, "Did you mean 'order'"),
  ],
)
def test_bad_arguments_are_refused(arrays, options, message):
  with pytest.raises(ValueError, match=message):
    testing.check_kernel(largest, arrays, **options)

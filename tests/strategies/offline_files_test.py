"""`al_jax.select` from arrays that stay in their files."""

import jax
import numpy as np
import pytest

import al_jax
from al_jax import sources
from al_jax.kernels import _host_rows

N, D, C, S = 3_000, 8, 5, 3
RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(N, D)).astype(np.float32)
LOGITS = 2 * RNG.normal(size=(N, C)).astype(np.float32)
SAMPLES = 2 * RNG.normal(size=(S, N, C)).astype(np.float32)
LABELED = np.arange(N) % 7 == 0


@pytest.fixture
def mapped(tmp_path, monkeypatch):
  # Parts of a few hundred rows.
  monkeypatch.setattr(_host_rows, 'BYTES_AT_ONCE', 1 << 14)
  found = {}
  for name, array in {
    'embeddings': EMBEDDINGS,
    'logits': LOGITS,
    'samples': SAMPLES,
  }.items():
    np.save(tmp_path / f'{name}.npy', array)
    found[name] = np.load(tmp_path / f'{name}.npy', mmap_mode='r')
  return found


@pytest.mark.parametrize(
  ('name', 'needed'),
  [
    ('badge', ('embeddings', 'logits')),
    ('k_means_plus_plus', ('embeddings',)),
    ('core_set', ('embeddings',)),
    ('margin', ('logits',)),
    ('entropy', ('samples',)),
    ('bald', ('samples',)),
  ],
)
def test_a_strategy_picks_from_files_what_it_picks_in_memory(
  mapped, name, needed
):
  files = {each: mapped[each] for each in needed}
  found = al_jax.select(name, 20, **files, labeled=LABELED, placement='host')
  in_memory = {each: np.array(array) for each, array in files.items()}
  expected = al_jax.select(name, 20, **in_memory, labeled=LABELED)
  np.testing.assert_array_equal(found.ids, expected.ids)
  np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)


def test_by_its_size_an_array_is_read_in_parts(mapped, monkeypatch):
  expected = al_jax.select('margin', 5, logits=LOGITS, placement='host').ids
  monkeypatch.setattr(sources, '_CPU_LIMIT_BYTES', LOGITS.nbytes - 1)

  def refuse(*unused):
    raise AssertionError('the whole array was asked for')

  monkeypatch.setattr(sources, 'viewed', refuse)
  found = al_jax.select('margin', 5, logits=mapped['logits'])
  np.testing.assert_array_equal(found.ids, expected)
  with pytest.raises(AssertionError, match='the whole array'):
    al_jax.select('margin', 5, logits=LOGITS)  # It is in memory already.


def test_a_strategy_that_needs_all_in_memory_says_how_much(mapped, monkeypatch):
  files = {'embeddings': mapped['embeddings']}
  monkeypatch.setattr(sources, '_CPU_LIMIT_BYTES', 4 * N)
  with pytest.raises(ValueError, match=r"'lcmd' .* 0\.1 MB .*'device'"):
    al_jax.select('lcmd', 5, **files)
  picks = al_jax.select('lcmd', 5, **files, placement='device')
  assert len(set(picks.ids)) == 5


def test_files_are_checked_as_arrays_are(mapped):
  wrong = EMBEDDINGS.copy()
  wrong[2_345, 3] = np.nan
  with pytest.raises(ValueError, match=r'embeddings\[2345, 3\] is nan'):
    al_jax.select('core_set', 5, embeddings=wrong, placement='host')
  probs = np.asarray(jax.nn.softmax(LOGITS))
  with pytest.raises(ValueError, match='every row of logits sums to 1'):
    al_jax.select('margin', 5, logits=probs, placement='host')
  far = EMBEDDINGS + 1e4
  with pytest.raises(ValueError, match='embeddings lie far from 0'):
    al_jax.select('core_set', 5, embeddings=far, placement='host')
  with pytest.raises(ValueError, match="'disk'"):
    al_jax.select('core_set', 5, embeddings=EMBEDDINGS, placement='disk')


def test_half_precision_is_picked_from_as_what_it_is(mapped):
  half = EMBEDDINGS.astype(np.float16)
  found = al_jax.select(
    'k_means_plus_plus', 9, embeddings=half, placement='host'
  )
  expected = al_jax.select('k_means_plus_plus', 9, embeddings=half)
  np.testing.assert_array_equal(found.ids, expected.ids)

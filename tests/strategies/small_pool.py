"""Arrays of a small pool, for the tests of `al_jax.select`."""

import numpy as np

N, D, C, S, K = 24, 6, 4, 5, 3
RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(N, D)).astype(np.float32)
LOGITS = RNG.normal(size=(N, C)).astype(np.float32)
SAMPLES = RNG.normal(size=(S, N, C)).astype(np.float32)
EVERYTHING = {'embeddings': EMBEDDINGS, 'logits': LOGITS, 'samples': SAMPLES}
LABELED = [3, 17, 5]
NAMES = np.array([f'scan {i}' for i in range(N)])


def mask_of(labeled):
  return np.isin(np.arange(N), labeled)


def softmax(logits):
  powers = np.exp(logits - logits.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)

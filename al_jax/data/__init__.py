"""Data sets: a name or a path -> arrays, and the facts that go with them."""

from al_jax.data.dataset import Dataset, RawData, Split
from al_jax.data.load import load

__all__ = ['Dataset', 'RawData', 'Split', 'load']

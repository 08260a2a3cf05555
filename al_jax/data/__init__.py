"""Data sets: loads arrays, and facts about them, by name or path."""

from al_jax.data.dataset import Dataset, RawData, Split
from al_jax.data.load import load

__all__ = ['Dataset', 'RawData', 'Split', 'load']

"""Chooses queries from a user's own arrays, without a learner or a run."""

from al_jax.strategies.offline.selecting import Selected, select

__all__ = ['Selected', 'select']

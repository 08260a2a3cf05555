"""One round after another: train, evaluate, ask, reveal, record."""

from al_jax.loop.rounds import Interrupted, run_rounds

__all__ = ['Interrupted', 'run_rounds']

"""One round after another: train, evaluate, propose, tell, record."""

from al_jax.loop.rounds import PENDING, Interrupted, run_rounds

__all__ = ['PENDING', 'Interrupted', 'run_rounds']

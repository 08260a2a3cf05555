"""Deep active learning in JAX."""

"""Reads data sets prepared by TFDS, without TensorFlow."""

from al_jax.data.sources.tfds.prepared import ensure_prepared, read

__all__ = ['ensure_prepared', 'read']

"""Data sets prepared by TFDS, read without TensorFlow."""

from al_jax.data.sources.tfds.prepared import read, source_files

__all__ = ['read', 'source_files']

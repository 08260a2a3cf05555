"""Figures of learning curves, comparisons and queried examples."""

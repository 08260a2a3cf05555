"""Objectives, optimizers, plans, and fit: the loop over compiled steps."""

"""Objectives, optimisers, plans, and fit: the loop over compiled steps."""

"""Finds and reads published weights, and fits them to the networks here."""

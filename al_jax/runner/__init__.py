"""Runs a config and writes a folder of results."""

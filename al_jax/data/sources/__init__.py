"""Formats of data, one per module with `read(location, **options)`."""

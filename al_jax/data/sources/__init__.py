"""Formats of data: a module each, with `read(location, **options)`."""

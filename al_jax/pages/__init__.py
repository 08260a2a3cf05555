"""Local web pages: a small server for this machine alone, and what it shows."""

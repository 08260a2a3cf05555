"""Local web pages, and the small server that shows them on this machine."""

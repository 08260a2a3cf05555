"""From folders of results to a page."""

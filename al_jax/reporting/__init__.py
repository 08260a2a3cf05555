"""Makes a report page from folders of results."""

"""The report as one page: a file of its own that needs no network."""

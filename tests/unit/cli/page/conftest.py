"""Both kinds of database, on a clock moved by hand."""

from tests.builders import clock, database, url

__all__ = ["clock", "database", "url"]

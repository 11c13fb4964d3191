"""Recordings: what other programs have generated, read as streams of `models.recorded.Recorded`, a module a format."""

"""Both kinds of database, on a clock moved by hand; a generator `fast` to submit jobs for; a doorbell on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.settings import settings
from scheduler.doorbell import Doorbell
from tests.builders import clock, database, url

__all__ = ["clock", "database", "url"]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory whose tts-jobs.toml knows the generator `fast`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tts-jobs.toml").write_text('[generators.fast]\nengine = "instant"\nmodel = "instant"\n')
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def doorbell(empty_redis_url: str) -> Iterator[Doorbell]:
    made = Doorbell(empty_redis_url)
    yield made
    made.close()

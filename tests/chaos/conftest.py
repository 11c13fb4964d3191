"""A stage on a PostgreSQL database of its own and the shared Redis, emptied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.stage import Stage, on_stage

pytest.register_assert_rewrite("tests.chaos.invariants")


@pytest.fixture
def stage(tmp_path: Path, postgres_url: str, empty_redis_url: str) -> Iterator[Stage]:
    with on_stage(tmp_path, postgres_url, empty_redis_url) as made:
        yield made

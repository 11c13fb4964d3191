"""What the acceptance tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)

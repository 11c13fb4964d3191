"""A real small model, pulled once and kept in the cache directory, and a llama.cpp server that serves it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import hub
from tests.servers import llama_serving

pytest.register_assert_rewrite("tests.integration.engines.conformance")

CACHE = Path(os.environ.get("TTS_TEST_CACHE", Path(__file__).parents[3] / ".cache"))


@pytest.fixture(scope="session")
def smollm2() -> Path:
    return hub.pull("smollm2", CACHE)


@pytest.fixture(scope="session")
def llama_server(smollm2: Path) -> Iterator[tuple[str, str]]:
    with llama_serving(smollm2) as served:
        yield served


@pytest.fixture(scope="module")
def served_prm() -> Iterator[tuple[str, str]]:
    """`tiny-prm` behind a llama.cpp server, as `llama_serving` gives it."""
    folder = hub.resolve("tiny-prm", CACHE)
    assert folder is not None
    with llama_serving(folder / hub.GGUF) as served:
        yield served

"""SmolLM2 as vLLM loads it: the directory that TTS_TEST_VLLM_MODEL names, or the pulled GGUF file, converted once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.weights import as_directory
from models import hub

pytest.register_assert_rewrite("tests.integration.engines.conformance")

CACHE = Path(os.environ.get("TTS_TEST_CACHE", Path(__file__).parents[2] / ".cache"))


@pytest.fixture(scope="session", autouse=True)
def cache_space() -> Iterator[None]:
    """GB for the cache of each engine, unless the environment says; several run side by side."""
    with pytest.MonkeyPatch.context() as patch:
        if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
            patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        yield


@pytest.fixture(scope="session")
def vllm_model() -> Path:
    if named := os.environ.get("TTS_TEST_VLLM_MODEL"):
        return Path(named)
    return as_directory(hub.pull("smollm2", CACHE))

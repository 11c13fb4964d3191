"""A real small model, pulled once and kept in the cache directory, and a llama.cpp server that serves it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models import hub

pytest.register_assert_rewrite("tests.integration.engines.conformance")

CACHE = Path(os.environ.get("TTS_TEST_CACHE", Path(__file__).parents[3] / ".cache"))

# Serves until its standard input closes, which also happens when the test run is killed.
SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_parallel, params.n_ctx = sys.argv[1], 16, 16 * 2048
params.n_threads_http, params.ui, params.verbosity, params.port = 20, False, -1, 0
params.fit_params, params.warmup, params.cache_ram_mib = False, False, 0
for pool in (params.cpuparams, params.cpuparams_batch):
    pool.n_threads, pool.poll = 2, 0
params.hostnames, params.api_keys = ["127.0.0.1"], [sys.argv[2]]
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
SERVER_KEY = "a-key-of-the-tests"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    return hub.pull("smollm2", CACHE)


@contextmanager
def llama_serving(model: Path) -> Iterator[tuple[str, str]]:
    """The address of a llama.cpp server of `model` in another process, and the API key it asks for."""
    command = [sys.executable, "-c", SERVER, str(model), SERVER_KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), SERVER_KEY
        process.communicate(timeout=30)


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

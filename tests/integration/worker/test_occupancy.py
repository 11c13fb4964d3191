"""What a worker tells of its engine while queries are on it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from models.database import Database
from models.settings import ModelEntry, Settings
from models.transitions import QUERY
from tests.builders import FAST, add_job, ring, rows
from tests.servers import wait_until
from worker.occupancy import OccupancyCollector
from worker.runtime import Runtime


def test_the_batch_is_told_while_it_is_there(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = ModelEntry(engine="instant", model="instant", max_sequences=16, engine_args={"latency": 60})
    shelf = add_job(database, 2)
    queries = ring(database, shelf)
    runtime = Runtime(database, replace(FAST, entry=entry), Settings())
    registry = CollectorRegistry()
    registry.register(OccupancyCollector(runtime))

    def told(name: str) -> float | None:
        return registry.get_sample_value(name, {"generator": "fast", "engine": "instant"})

    assert (told("tts_batch_sequences"), told("tts_batch_slots"), told("tts_worker_in_flight")) == (0, 16, 0)
    bells = [threading.Thread(target=runtime.solve, args=((query_id, 0, False),)) for query_id in queries]
    for bell in bells:
        bell.start()
    wait_until(lambda: told("tts_batch_sequences") == 8, what="two queries of four samples to be on the engine")
    assert (told("tts_worker_in_flight"), told("tts_worker_draining")) == (2, 0)
    runtime.close()
    for bell in bells:
        bell.join()
    assert (told("tts_batch_sequences"), told("tts_worker_in_flight"), told("tts_worker_draining")) == (0, 0, 1)
    assert {row.state for row in rows(database, QUERY)} == {"pending"}

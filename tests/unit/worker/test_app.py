"""The Celery app: each worker of a process rings its own runtime."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from models.wire import SOLVE_TASK, solve_queue
from worker.app import EmbeddedWorker, make_app
from worker.runtime import Runtime

SECONDS = 60.0


class Bell:
    """A runtime that only tells how it was rung."""

    worker_id = "worker"
    slots = 1

    def __init__(self, lane: str) -> None:
        self.model = SimpleNamespace(name="model", lane=lane)
        self.rung: list[tuple[int, int, bool]] = []
        self.heard = threading.Event()

    def solve(self, bell: tuple[int, int, bool]) -> None:
        self.rung.append(bell)
        self.heard.set()

    def drain(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("lane", ["first", "second"])
def test_each_of_a_process_embedded_workers_rings_its_own_runtime(lane: str) -> None:
    bell = Bell(lane)
    worker = EmbeddedWorker(cast(Runtime, bell), "memory://")
    try:
        make_app("memory://").send_task(SOLVE_TASK, args=(7, 0, False), queue=solve_queue(lane))
        assert bell.heard.wait(SECONDS)
    finally:
        worker.stop()
    assert bell.rung == [(7, 0, False)]

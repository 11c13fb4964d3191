"""The Celery app, its one task, and how a worker process is started and stopped."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from celery.exceptions import InvalidTaskError
from celery.signals import worker_shutting_down
from celery.worker import WorkController
from celery.worker.strategy import default as default_strategy

from models.wire import SOLVE_TASK, celery_settings, probe_queue, solve_queue
from worker.runtime import Runtime

log = logging.getLogger(__name__)

LARGEST_ID = 1 << 63


def make_app(broker_url: str, runtime: Runtime | None = None) -> Celery:
    """The app with its task bound to `runtime`; without one (Flower, inspection) the task is a name only."""
    app = Celery("tts-jobs", set_as_current=False)
    app.conf.update(celery_settings(broker_url))

    def solve(query_id: int, stage: int, alone: bool = False) -> None:
        """Answer a doorbell: claim the query, run its strategy, commit."""
        assert runtime is not None, "only a worker's app runs tasks"
        runtime.solve((query_id, stage, alone))

    app.task(name=SOLVE_TASK, ignore_result=True, shared=False, Strategy="worker.app:careful_strategy")(solve)
    return app


def careful_strategy(task: Task, app: Celery, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Celery's own, but a malformed message is one to refuse: it would end the worker, be delivered again, and end the
    next one."""
    handle = default_strategy(task, app, consumer, **options)

    def receive(message: Any, *arguments: Any, **more: Any) -> Any:
        try:
            (query_id, stage, *alone), keywords, _ = message.payload
            well_formed = (
                all(type(number) is int and 0 <= number < LARGEST_ID for number in (query_id, stage))
                and all(type(flag) is bool for flag in alone)
                and len(alone) <= 1
                and not keywords
            )
            if well_formed:
                return handle(message, *arguments, **more)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidTaskError(f"not one of ours: {error}") from None
        raise InvalidTaskError("not one of ours")

    return receive


def serve(runtime: Runtime, broker_url: str, loglevel: str = "WARNING", *, quiet: bool = False) -> int:
    """Consume until SIGTERM or SIGINT, drain, and return the exit status. Runs in the main thread.

    `quiet` leaves out what Celery prints to stdout: a banner, and a line about its end.
    """

    def drain(**_: Any) -> None:
        runtime.drain()

    worker_shutting_down.connect(drain, weak=False)
    if quiet:
        sys.__stdout__ = None  # type: ignore[misc]  # asked for by Celery's signal handler, which knows no other way
    app = make_app(broker_url, runtime)
    hostname = f"{runtime.model.name}@{runtime.worker_id}"
    worker = app.Worker(hostname=hostname, loglevel=loglevel, quiet=quiet, **_consumer(runtime))
    try:
        worker.start()
    finally:
        runtime.close()
    return int(worker.exitcode or 0)


class EmbeddedWorker:
    """A Celery worker on a thread of this process, for the memory broker."""

    def __init__(self, runtime: Runtime, broker_url: str) -> None:
        self._runtime = runtime
        app = make_app(broker_url, runtime)
        app.set_default()  # where its pool's threads look the task up
        self._worker = WorkController(app=app, hostname=f"embedded@{runtime.worker_id}", **_consumer(runtime))
        self._thread = threading.Thread(target=self._worker.start, name="tts-celery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._runtime.drain()
        self._worker.stop(exitcode=0)
        self._thread.join(timeout=10)
        self._runtime.close()


def _consumer(runtime: Runtime) -> dict[str, Any]:
    # A few threads more than the engine has sequences: while some commit, the batch stays full.
    concurrency = runtime.slots + max(2, runtime.slots // 4)
    lane = runtime.model.lane
    return {
        "pool": "threads",
        "concurrency": concurrency,
        "queues": [probe_queue(lane), solve_queue(lane)],
        "without_mingle": True,
        "without_gossip": True,
    }

"""Empty Celery tasks under the service's own settings: what the broker and the worker allow at best."""

from __future__ import annotations

import sys
import threading
import time

from celery import Celery
from celery.worker import WorkController

from models.wire import celery_settings


def main(broker_url: str, count: int, threads: int) -> None:
    """Send `count` tasks, then let one worker with `threads` threads run them; prints tasks/s."""
    app = Celery("empty", set_as_current=False)
    app.conf.update(celery_settings(broker_url))
    left = count
    times: list[float] = []
    over = threading.Event()

    def empty(number: int) -> None:
        nonlocal left
        times.append(time.perf_counter())
        left -= 1
        if not left:
            over.set()

    app.task(name="empty", ignore_result=True)(empty)
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(count):
            app.send_task("empty", args=(number,), queue="empty", producer=producer)
    worker = WorkController(
        app=app, pool="threads", concurrency=threads, queues=["empty"], without_mingle=True, without_gossip=True
    )
    threading.Thread(target=worker.start, daemon=True).start()
    over.wait(timeout=120)
    middle = sorted(times)[count // 10 : -count // 10]
    print((len(middle) - 1) / (middle[-1] - middle[0]), flush=True)
    worker.stop(exitcode=0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

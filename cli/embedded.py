"""Scheduler and worker inside this one process, for as long as a block of code lasts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cli import output
from cli.logs import configure
from models.database import Database
from models.errors import UserError
from models.settings import settings

BROKER = "memory://localhost/"


@contextmanager
def embedded(database: Database, generator: str) -> Iterator[threading.Event]:
    """Work on the jobs of `database` inside the block. The event is set when the user interrupts; then leave the block,
    so that what was finished is kept.

    Raises:
        UserError: another scheduler leads this database, or the engine cannot be started.
    """
    from models.catalogue import find_generator
    from scheduler.service import Scheduler
    from strategies.protocols import TransientError
    from worker.app import EmbeddedWorker
    from worker.runtime import Runtime

    configure("WARNING")
    scheduler = Scheduler(database, BROKER, settings().sweep_seconds, settings().lease_seconds)
    if not scheduler.try_to_lead():
        raise UserError(
            f"{database.label}: another scheduler is at work on this database; wait for it or use `tts-jobs submit`"
        )
    scheduler.bury_local_workers()
    stopping = threading.Event()
    try:
        with output.notes.status("starting the engine ..."):
            runtime = Runtime(database, find_generator(generator), settings())
    except TransientError as error:
        raise UserError(f"{error} Start it, then run the same command again.") from None
    # From here on an interrupt drains; before, while the engine loads, it ends the process at once.
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    worker = EmbeddedWorker(runtime, BROKER)
    loop = threading.Thread(target=scheduler.run, name="tts-scheduler")
    loop.start()
    try:
        yield stopping
    finally:
        scheduler.stop()
        loop.join()
        worker.stop()
        for number, handler in before.items():
            signal.signal(number, handler)

"""The scheduler's loop: reconcile about every second, dispatch as fast as there is room."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from models import heartbeats
from models.database import Database
from models.errors import UserError
from models.transitions import lose_worker
from scheduler.dispatch import Dispatcher
from scheduler.doorbell import Doorbell, OperationalError
from scheduler.leader import leadership
from scheduler.reconcile import Reconciler

log = logging.getLogger(__name__)

SHORTEST_PAUSE = 0.05


class Scheduler:
    """One scheduler process; stands by while another is active."""

    def __init__(self, database: Database, broker_url: str, sweep_seconds: float, lease_seconds: float = 60.0) -> None:
        self.id = f"scheduler-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._database = database
        self._sweep_seconds = sweep_seconds
        self._doorbell = Doorbell(broker_url)
        self._dispatcher = Dispatcher(database, self._doorbell)
        self._reconciler = Reconciler(database, self._doorbell, sweep_seconds, lease_seconds)
        self._leadership = leadership(database)
        self._stop = threading.Event()
        self._rung = 0

    def try_to_lead(self) -> bool:
        """Whether this process is the active scheduler."""
        return self._leadership.hold()

    def run(self) -> None:
        """Work until `stop` is called. A database or broker that does not answer is waited for."""
        self._doorbell.check()
        self._register()
        pause = SHORTEST_PAUSE
        next_sweep = 0.0
        while not self._stop.is_set():
            try:
                rung = 0
                if self._leadership.hold():
                    if time.monotonic() >= next_sweep:
                        self._reconciler.sweep()
                        self._beat()
                        next_sweep = time.monotonic() + self._sweep_seconds
                    rung = self._dispatcher.dispatch()
                    self._rung += rung
                pause = SHORTEST_PAUSE if rung else min(pause * 1.5, self._sweep_seconds)
            except (DBAPIError, UserError, OperationalError, OSError) as error:
                log.warning("waiting for the database or the broker: %s", error)
                pause = self._sweep_seconds
            except Exception:
                # One job's trouble must not end the service of all others.
                log.exception("unexpected error, the scheduler goes on")
                pause = self._sweep_seconds
            self._stop.wait(pause)
        try:
            self._beat(stopped=True)
        except (DBAPIError, UserError) as error:
            log.warning("the scheduler leaves without a last heartbeat: %s", error)
        self._leadership.release()
        self._doorbell.close()

    def stop(self) -> None:
        self._stop.set()

    def bury_local_workers(self) -> None:
        """Give up the leases of this host's workers whose process is gone, without waiting for them to run out.

        Only for the embedded mode, where no other host shares the database.
        """
        with self._database.transaction() as connection:
            now = self._database.clock.now(connection)
            worker = heartbeats.WORKER
            here = select(worker.c.id, worker.c.pid).where(
                worker.c.hostname == socket.gethostname(), worker.c.stopped_at.is_(None), worker.c.kind == "worker"
            )
            for row in connection.execute(here).all():
                if not _alive(row.pid):
                    lose_worker(connection, row.id, now)

    def _register(self) -> None:
        with self._database.transaction() as connection:
            identity = heartbeats.Identity(id=self.id, kind="scheduler")
            heartbeats.register(connection, identity, self._database.clock.now(connection))

    def _beat(self, *, stopped: bool = False) -> None:
        with self._database.transaction() as connection:
            said = heartbeats.Beat(completed=self._rung, in_flight=0, stopped=stopped)
            heartbeats.beat(connection, self.id, None, said, self._database.clock.now(connection))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()

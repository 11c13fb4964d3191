"""Who is alive and making progress: workers and the scheduler."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy import Connection, case, func, insert, literal, or_, select, update

from models import tables
from models.transitions import USAGE, table

WORKER = table(tables.Worker)

ALIVE_SECONDS = 15.0
"""A process unheard of for this long is taken for dead (its leases decide for themselves)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process as it introduces itself; `slots` is how many sequences its engine runs at once."""

    id: str
    kind: str
    generator: str | None = None
    engine: str | None = None
    slots: int = 0
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat says; busy and idle are GPU-seconds since the engine was started."""

    completed: int
    in_flight: int
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    stopped: bool = False


def product_version() -> str:
    try:
        return version("tts-jobs")
    except PackageNotFoundError:
        return "unknown"


def register(connection: Connection, identity: Identity, now: datetime) -> None:
    connection.execute(
        insert(WORKER).values(
            id=identity.id, kind=identity.kind, hostname=socket.gethostname(), pid=os.getpid(),
            generator=identity.generator, lane=identity.lane, engine=identity.engine, slots=identity.slots, version=product_version(),
            started_at=now, seen_at=now, progress_at=now, completed=0, in_flight=0, busy_seconds=0.0, idle_seconds=0.0,
        )
    )  # fmt: skip
    if identity.generator is not None:
        connection.execute(
            insert(USAGE).values(
                worker_id=identity.id,
                phase="idle",
                model=identity.generator,
                flops=None,
                flops_canonical=None,
                flops_2nd=None,
            )
        )


def beat(connection: Connection, worker_id: str, generator: str | None, said: Beat, now: datetime) -> None:
    """Write a heartbeat. `progress_at` moves when work was completed, or when there was none to do."""
    progressed = or_(WORKER.c.completed != said.completed, literal(said.in_flight == 0))
    connection.execute(
        update(WORKER)
        .where(WORKER.c.id == worker_id)
        .values(
            seen_at=now,
            progress_at=case((progressed, literal(now, WORKER.c.seen_at.type)), else_=WORKER.c.progress_at),
            completed=said.completed,
            in_flight=said.in_flight,
            busy_seconds=said.busy_seconds,
            idle_seconds=said.idle_seconds,
            stopped_at=now if said.stopped else None,
        )
    )
    if generator is not None:
        connection.execute(
            update(USAGE)
            .where(USAGE.c.worker_id == worker_id, USAGE.c.phase == "idle")
            .values(gpu_seconds=said.idle_seconds)
        )


def live_slots(connection: Connection, now: datetime) -> dict[str, int]:
    """Lane -> sequences its live workers can run at once."""
    rows = connection.execute(
        select(WORKER.c.lane, func.sum(WORKER.c.slots))
        .where(
            WORKER.c.kind == "worker",
            WORKER.c.stopped_at.is_(None),
            WORKER.c.seen_at > now - timedelta(seconds=ALIVE_SECONDS),
        )
        .group_by(WORKER.c.lane)
    )
    return {lane: int(slots) for lane, slots in rows}


def live_processes(connection: Connection, now: datetime) -> list[Any]:
    """The rows of all processes heard of lately."""
    return list(
        connection.execute(
            select(WORKER)
            .where(WORKER.c.stopped_at.is_(None), WORKER.c.seen_at > now - timedelta(seconds=ALIVE_SECONDS))
            .order_by(WORKER.c.kind, WORKER.c.started_at)
        )
    )

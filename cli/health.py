"""Whether the processes of this host are well: what `doctor --check` asks."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, select

from models.database import Database
from models.heartbeats import WORKER
from models.transitions import JOB, QUERY

HEARD_SECONDS = 30.0
"""A process unheard of for this long is unhealthy: twice what the scheduler waits before it takes it for dead."""

PROGRESS_SECONDS = 300.0
"""A worker with work that has completed none of it for this long is stuck."""


def is_absent(database: Database) -> bool:
    """Whether it is a SQLite file that looking at it would create."""
    return database.is_sqlite and not Path(database.label).exists()


def unhealthy(database: Database, kind: Literal["worker", "scheduler"]) -> str | None:
    """Why the processes of a kind on this host are not well; None when all heard of are, and at least one is.

    A process is well when its heartbeat is at most 30 s old and it gets on: a worker that holds work completes some
    within 300 s, and an idle one leaves no bell of its model waiting for as long (a consumer may fall silent).
    """
    host = socket.gethostname()
    if is_absent(database):
        return f"no {kind} has ever run on {database.label}; start one, or correct TTS_DATABASE_URL"
    with database.reading() as connection:
        now = database.clock.now(connection)
        rows = connection.execute(
            select(WORKER).where(
                WORKER.c.kind == kind,
                WORKER.c.hostname == host,
                WORKER.c.stopped_at.is_(None),
                WORKER.c.seen_at > now - timedelta(seconds=HEARD_SECONDS),
            )
        ).all()
        if not rows:
            return (
                f"no {kind} on {host} was heard of in the last {HEARD_SECONDS:g} s; look at its log and start it anew"
            )
        return next(filter(None, (_stuck(connection, row, now) for row in rows)), None)


def _stuck(connection: Connection, row: Any, now: datetime) -> str | None:
    patience = timedelta(seconds=PROGRESS_SECONDS)
    if row.in_flight:
        if row.progress_at < now - patience:
            return f"{row.id} completed none of its {row.in_flight} queries in {PROGRESS_SECONDS:g} s; start it anew"
        return None
    if row.kind == "worker":
        unheard = (
            select(QUERY.c.id)
            .join(JOB, JOB.c.id == QUERY.c.job_id)
            .where(QUERY.c.state == "queued", QUERY.c.rung_at < now - patience)
            .where(JOB.c.state == "open", JOB.c.lane == row.lane)
            .limit(1)
        )
        if connection.execute(unheard).first() is not None:
            return f"{row.id} is idle while queries wait for {row.generator}; start it anew"
    return None

"""Leases that ran out: the query goes back as a suspect, its cost is booked as wasted."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from models.transitions.commits import follow_cancelled
from models.transitions.escrow import ATTEMPT, JOB, QUERY, USAGE, book, charged

QUARANTINE_AFTER = 2
"""A query is quarantined after this many worker deaths at which it was the only one in flight."""


def expire_leases(connection: Connection, now: datetime, limit: int = 500) -> tuple[int, int]:
    """running -> pending (as a suspect) where the lease ran out; quarantine what brought its worker down alone.

    What the lost attempts were last heard to have used is booked as wasted, "at least". Returns (lost, quarantined).
    """
    return _lose(connection, now, or_(QUERY.c.lease_until < now, QUERY.c.lease_until.is_(None)), limit)


def lose_worker(connection: Connection, worker_id: str, now: datetime) -> tuple[int, int]:
    """As `expire_leases`, at once, for a worker that reports its own engine's death."""
    return _lose(connection, now, QUERY.c.worker_id == worker_id, 100_000)


def _lose(connection: Connection, now: datetime, which: Any, limit: int) -> tuple[int, int]:
    lost = connection.execute(
        select(
            QUERY.c.id, QUERY.c.job_id, QUERY.c.suspect, QUERY.c.reserved, JOB.c.cap_unit,
            ATTEMPT.c.id.label("attempt_id"), ATTEMPT.c.alone, ATTEMPT.c.running_usage, ATTEMPT.c.worker_id,
        )
        .join(JOB, JOB.c.id == QUERY.c.job_id)
        .join(ATTEMPT, (ATTEMPT.c.query_id == QUERY.c.id) & (ATTEMPT.c.number == QUERY.c.attempt))
        .where(QUERY.c.state == "running", which)
        .order_by(QUERY.c.id)
        .limit(limit)
        .with_for_update(of=QUERY)
    ).all()  # fmt: skip
    if not lost:
        return 0, 0
    books: dict[int, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    usage: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    for row in lost:
        keys = {"job_id": row.job_id, "query_id": row.id, "attempt_id": row.attempt_id}
        wasted = [{**entry, **keys} for entry in row.running_usage or []]
        spent, freed = books[row.job_id]
        books[row.job_id] = (spent + sum(charged(entry, row.cap_unit) for entry in wasted), freed + row.reserved)
        usage += wasted
        # The first loss makes a suspect; only losses while it ran alone count towards quarantine.
        suspect = row.suspect + 1 if row.alone else max(row.suspect, 1)
        state = "failed" if suspect > QUARANTINE_AFTER else "pending"
        changes.append(
            {
                "query_id": row.id,
                "new_state": state,
                "new_suspect": suspect,
                "new_ended_at": None if state == "pending" else now,
                "new_error": "quarantined: its worker died each time it ran alone" if state == "failed" else None,
            }
        )
    connection.execute(
        update(QUERY)
        .where(QUERY.c.id == bindparam("query_id"), QUERY.c.state == "running")
        .values(
            state=bindparam("new_state"), suspect=bindparam("new_suspect"), error=bindparam("new_error"),
            ended_at=bindparam("new_ended_at"), worker_id=None, lease_until=None, reserved=0.0,
        ),
        changes,
    )  # fmt: skip
    connection.execute(
        update(ATTEMPT)
        .where(ATTEMPT.c.id.in_([row.attempt_id for row in lost]), ATTEMPT.c.state == "running")
        .values(state="lost", reason="its worker's lease ran out", ended_at=now, running_usage=None)
    )
    if usage:
        connection.execute(insert(USAGE), usage)
    book(connection, books)
    returned = {change["query_id"] for change in changes if change["new_state"] == "pending"}
    follow_cancelled(connection, {row.id: row.job_id for row in lost if row.id in returned}, now)
    return len(lost), sum(change["new_state"] == "failed" for change in changes)

"""The states of a job:

loading -> open <-> paused -> done | cancelled | budget_exhausted (-> open with more budget)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from models.transitions.escrow import JOB, QUERY, book


def open_job(connection: Connection, job_id: int, now: datetime, query_count: int) -> bool:
    """loading -> open: from here on the scheduler sees it."""
    return _job(connection, job_id, ["loading"], "open", opened_at=now, query_count=query_count)


def pause_job(connection: Connection, job_id: int, reason: str) -> bool:
    """open -> paused; bells that no worker has answered yet are taken back, running queries end."""
    if not _job(connection, job_id, ["open"], "paused", reason=reason):
        return False
    _unring(connection, job_id)
    return True


def resume_job(connection: Connection, job_id: int, now: datetime) -> bool:
    """paused | budget_exhausted -> open; the breaker looks only at what fails from now on."""
    return _job(connection, job_id, ["paused", "budget_exhausted"], "open", reason=None, ended_at=None, opened_at=now)


def cancel_job(connection: Connection, job_id: int, now: datetime) -> bool:
    """Any live state -> cancelled; running queries are cancelled by their workers at the next heartbeat."""
    live = ["loading", "open", "paused", "budget_exhausted"]
    if not _job(connection, job_id, live, "cancelled", reason="cancelled by the user", ended_at=now):
        return False
    _unring(connection, job_id)
    connection.execute(
        update(QUERY)
        .where(QUERY.c.job_id == job_id, QUERY.c.state == "pending")
        .values(state="cancelled", ended_at=now)
    )
    return True


def end_job(
    connection: Connection, job_id: int, state: Literal["done", "budget_exhausted"], now: datetime, reason: str | None
) -> bool:
    """open -> done (nothing is left to do) or budget_exhausted (what is left does not fit the cap or the deadline).

    Refused while a query is in flight, or for `done` while one is pending.
    """
    _lock_job(connection, job_id)
    left = ("queued", "running", "pending") if state == "done" else ("queued", "running")
    if connection.execute(select(QUERY.c.id).where(QUERY.c.job_id == job_id, QUERY.c.state.in_(left)).limit(1)).first():
        return False
    return _job(connection, job_id, ["open"], state, reason=reason, ended_at=now)


def recall_bells(connection: Connection, job_id: int) -> None:
    """queued -> pending for what no worker has claimed yet."""
    _lock_job(connection, job_id)
    _unring(connection, job_id)


def change_job(connection: Connection, job_id: int, **values: Any) -> None:
    """Change what may change at any time: cap, deadline, priority, fail_on_error."""
    allowed = {"cap_amount", "cap_unit", "deadline", "priority", "fail_on_error", "spent"}
    assert set(values) <= allowed, values
    connection.execute(update(JOB).where(JOB.c.id == job_id).values(**values))


def retry_failed(connection: Connection, job_id: int, now: datetime) -> int:
    """failed -> pending for all of a job's failed queries; an ended job is opened again. Returns how many.

    A cancelled job stays as it is.
    """
    _lock_job(connection, job_id)
    living = select(JOB.c.id).where(JOB.c.id == job_id, JOB.c.state != "cancelled")
    count = connection.execute(
        update(QUERY)
        .where(QUERY.c.job_id.in_(living), QUERY.c.state == "failed")
        .values(state="pending", error=None, retries=0, suspect=0, not_before=None, ended_at=None)
    ).rowcount
    if count:
        _job(
            connection,
            job_id,
            ["done", "paused", "budget_exhausted"],
            "open",
            reason=None,
            ended_at=None,
            opened_at=now,
        )
    return count


def _job(connection: Connection, job_id: int, before: Sequence[str], after: str, **values: Any) -> bool:
    changed = connection.execute(
        update(JOB).where(JOB.c.id == job_id, JOB.c.state.in_(before)).values(state=after, **values)
    )
    return changed.rowcount == 1


def _lock_job(connection: Connection, job_id: int) -> None:
    """Let nobody else change the job until this transaction ends, so that what is read next stays true."""
    connection.execute(select(JOB.c.id).where(JOB.c.id == job_id).with_for_update(key_share=True))


def _unring(connection: Connection, job_id: int) -> None:
    """queued -> pending, refunding what was reserved."""
    taken = connection.execute(
        update(QUERY)
        .where(QUERY.c.job_id == job_id, QUERY.c.state == "queued")
        .values(state="pending", rung_at=None)
        .returning(QUERY.c.reserved)
    ).scalars()
    book(connection, {job_id: (0.0, sum(taken))})
    # RETURNING shows a row as it has become, so its reservation could not go in the same statement.
    connection.execute(
        update(QUERY)
        .where(QUERY.c.job_id == job_id, QUERY.c.state == "pending", QUERY.c.reserved > 0)
        .values(reserved=0.0)
    )

"""What is told of jobs while they are at work. To add up a million queries takes seconds, so of a large job the sums are
those that the scheduler took last; how many queries are in which state is always of now. Even to count them takes a
second while the machine is busy: of a job whose answers stay, those that were done a while before are counted once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from models import courses, reports, tables
from models.database import Database
from models.transitions import JOB, QUERY, table

SNAPSHOT = table(tables.Snapshot)

LARGE = 20_000
"""Queries that are added up whenever somebody looks; the sums of more are taken from time to time."""
SHARE = 1 / 20
"""Of the scheduler's time, at most, for the sums of a job."""
MOST_OFTEN_SECONDS = 5.0
LONGEST_COMMIT_SECONDS = 10.0
"""An end is told by the time at which its transaction began; what began so long ago can be seen."""

STATES = ("pending", "queued", "running", "done", "failed", "cancelled")
_SUMS = ("answered", "correct", "graded", "vote_share", "score")


def summaries(connection: Connection, job_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Rows of the view `job_summary`, by id, each with `as_of`: when its sums were taken, None if only now."""
    taken = _taken(connection, job_ids)
    if job_ids is None:
        job_ids = list(connection.execute(select(JOB.c.id)).scalars())
    rows = reports.job_summaries(connection, [job for job in job_ids if job not in taken])
    return sorted(
        [*({**row, "as_of": None} for row in rows), *_large(connection, taken)], key=lambda row: int(row["job_id"])
    )


def spending(connection: Connection, job_id: int) -> dict[str, Any]:
    """As `models.reports.spending`."""
    taken = _taken(connection, [job_id])
    found: dict[str, Any] = taken[job_id].sums["spending"] if taken else reports.spending(connection, job_id)
    return found


def bins(connection: Connection, job_id: int, votes: Sequence[str]) -> list[dict[str, Any]]:
    """As `models.courses.bins`."""
    taken = _taken(connection, [job_id])
    found: list[dict[str, Any]] = taken[job_id].sums["bins"] if taken else courses.bins(connection, job_id, votes)
    return found


def take(database: Database, staged: Mapping[str, Sequence[str]]) -> int | None:
    """Take the sums of the large job that has waited longest, if one is due; returns its id.

    `staged` has the strategies whose jobs are told by bins, each with those that `models.courses.bins` calls votes.
    """
    with database.reading() as connection:
        now = database.clock.now(connection)
        job = _due(connection, now)
        if job is None:
            return None
        started = time.monotonic()
        summary = reports.job_summaries(connection, [job.id])[0]
        sums = {
            **{name: summary[name] for name in _SUMS},
            "spending": reports.spending(connection, job.id),
            "bins": courses.bins(connection, job.id, staged[job.strategy]) if job.strategy in staged else None,
            # What has been decided in stages may be opened again.
            "done_before": None if job.strategy in staged else summary["done"] - _done_since(connection, job.id, now),
        }
        seconds = time.monotonic() - started
    moving = job.state == "open" or summary["queued"] + summary["running"] > 0
    with database.transaction() as connection:
        connection.execute(delete(SNAPSHOT).where(SNAPSHOT.c.job_id == job.id))
        connection.execute(
            insert(SNAPSHOT).values(
                job_id=job.id,
                taken_at=now,
                due_at=now + timedelta(seconds=max(seconds / SHARE, MOST_OFTEN_SECONDS)) if moving else None,
                job_state=job.state,
                sums=sums,
            )
        )
    return int(job.id)


def _due(connection: Connection, now: datetime) -> Any:
    """A job that never was looked at, has changed its state since, or goes on and has waited long enough."""
    waits = SNAPSHOT.c.taken_at.is_(None) | (SNAPSHOT.c.job_state != JOB.c.state) | (SNAPSHOT.c.due_at <= now)
    return connection.execute(
        select(JOB.c.id, JOB.c.state, JOB.c.strategy)
        .join(SNAPSHOT, SNAPSHOT.c.job_id == JOB.c.id, isouter=True)
        .where(JOB.c.query_count > LARGE, JOB.c.state != "loading", waits)
        .order_by(SNAPSHOT.c.taken_at.is_not(None), SNAPSHOT.c.taken_at, JOB.c.id)
        .limit(1)
    ).first()


def _taken(connection: Connection, job_ids: Sequence[int] | None) -> dict[int, Any]:
    chosen = select(SNAPSHOT) if job_ids is None else select(SNAPSHOT).where(SNAPSHOT.c.job_id.in_(job_ids))
    return {row.job_id: row for row in connection.execute(chosen)}


def _large(connection: Connection, taken: Mapping[int, Any]) -> list[dict[str, Any]]:
    if not taken:
        return []
    rows = reports.job_rows(connection, list(taken))
    counts = {row["job_id"]: _counts(connection, row, taken[row["job_id"]]) for row in rows}
    return [
        {
            **row,
            **counts[row["job_id"]],
            **{name: taken[row["job_id"]].sums[name] for name in _SUMS},
            "as_of": taken[row["job_id"]].taken_at,
        }
        for row in rows
    ]


def _counts(connection: Connection, job: Mapping[str, Any], taken: Any) -> dict[str, int]:
    """How many of a job's queries are in which state. Where its snapshot knows what was done before, only what is under way
    and what ended since is counted."""
    found = dict.fromkeys(STATES, 0)
    counted = select(QUERY.c.state, func.count()).where(QUERY.c.job_id == job["job_id"]).group_by(QUERY.c.state)
    if (done_before := taken.sums["done_before"]) is None:
        return found | {state: count for state, count in connection.execute(counted)}
    few = QUERY.c.state.in_([state for state in STATES if state not in ("pending", "done")])
    found |= {state: count for state, count in connection.execute(counted.where(few))}
    found["done"] = done_before + _done_since(connection, job["job_id"], taken.taken_at)
    return found | {"pending": job["queries"] - sum(found.values())}


def _done_since(connection: Connection, job_id: int, taken_at: datetime) -> int:
    """What may not have been seen of its answers when a snapshot was taken, and what came after."""
    since = QUERY.c.ended_at > taken_at - timedelta(seconds=LONGEST_COMMIT_SECONDS)
    counted = select(func.count()).where(QUERY.c.job_id == job_id, QUERY.c.state == "done", since)
    return connection.execute(counted).scalar_one()

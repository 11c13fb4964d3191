"""Reconciliation: dead leases, lost bells, jobs that are over, and the breaker."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, func, select

from models import snapshots
from models.database import Database
from models.logcontext import about
from models.transitions import ATTEMPT, JOB, QUERY, end_job, expire_leases, pause_job, ring_again
from scheduler.doorbell import Bell, Doorbell
from strategies import registry

log = logging.getLogger(__name__)

IDENTICAL_FAILURES = 20
"""This many failed attempts in a row for the same reason pause a job."""
MIN_BELL_AGE_SECONDS = 5.0
"""A bell younger than this may still be on its way."""


class Reconciler:
    """What puts right that processes die and messages are lost; one `sweep` about every second."""

    def __init__(
        self, database: Database, doorbell: Doorbell, sweep_seconds: float, lease_seconds: float = 60.0
    ) -> None:
        self._database = database
        self._doorbell = doorbell
        self._patience = max(2 * sweep_seconds, min(MIN_BELL_AGE_SECONDS, 5 * sweep_seconds))
        self._stale = max(lease_seconds, self._patience)
        self._missing_since_last_sweep: frozenset[str] = frozenset()

    def sweep(self) -> None:
        with self._database.transaction() as connection:
            lost, quarantined = expire_leases(connection, self._database.clock.now(connection))
        if lost:
            log.warning("%d leases ran out, %d queries were quarantined", lost, quarantined)
        self._ring_lost_bells()
        with self._database.transaction() as connection:
            now = self._database.clock.now(connection)
            for job in connection.execute(
                select(JOB.c.id, JOB.c.fail_on_error, JOB.c.opened_at, JOB.c.query_count).where(JOB.c.state == "open")
            ).all():
                reason = _breaker(connection, job.id, job.fail_on_error, job.opened_at, job.query_count)
                if reason:
                    pause_job(connection, job.id, reason)
                    with about(job=job.id):
                        log.warning("paused: %s", reason)
                elif _is_over(connection, job.id):
                    end_job(connection, job.id, "done", now, None)
        snapshots.take(self._database, _staged())

    def _ring_lost_bells(self) -> None:
        """Ring again where fewer messages exist than were rung, two sweeps in a row: a waiting bell is not a lost one.

        Each lane's queue is looked at by itself, or one queue's stale bells would hide another's lost ones.
        """
        with self._database.reading() as connection:
            now = self._database.clock.now(connection)
            queued = {lane: count for lane, count in connection.execute(_in_state("queued"))}
            rung_long_ago = QUERY.c.rung_at < now - timedelta(seconds=self._stale)
            stale = {lane: count for lane, count in connection.execute(_in_state("queued").where(rung_long_ago))}
            running = sum(count for _, count in connection.execute(_in_state("running")))
        if not queued:
            self._missing_since_last_sweep = frozenset()
            return
        waiting, unacked = self._doorbell.waiting(queued)
        delivered = max(0, unacked - running)
        # A dead worker's unacknowledged bells stay counted for long; none is taken to be on its way for ever.
        missing = frozenset(
            lane
            for lane, count in queued.items()
            if waiting[lane] + delivered < count or waiting[lane] < stale.get(lane, 0)
        )
        if lost := missing & self._missing_since_last_sweep:
            self._doorbell.ring(self._lost_bells(lost, now))
        self._missing_since_last_sweep = missing - lost

    def _lost_bells(self, lanes: Collection[str], now: datetime) -> Iterable[Bell]:
        with self._database.transaction() as connection:
            rows = connection.execute(
                select(QUERY.c.id, QUERY.c.stage, QUERY.c.suspect, QUERY.c.final, JOB.c.lane, JOB.c.priority)
                .join(JOB, JOB.c.id == QUERY.c.job_id)
                .where(
                    QUERY.c.state == "queued",
                    QUERY.c.rung_at < now - timedelta(seconds=self._patience),
                    JOB.c.lane.in_(lanes),
                )
                .order_by(JOB.c.priority, QUERY.c.id)
            ).all()
            still = set(ring_again(connection, [row.id for row in rows], now)) if rows else set()
        return [
            Bell(row.id, row.stage, row.lane, row.priority, alone=row.suspect > 0, probe=not row.final)
            for row in rows
            if row.id in still
        ]


def _staged() -> dict[str, list[str]]:
    return {name: registry.sampling() for name, entry in registry.STRATEGIES.items() if entry.scheduled}


def _in_state(state: str) -> Select[str, int]:
    """Lane -> how many queries are in that state."""
    counted = select(JOB.c.lane, func.count()).join(QUERY, QUERY.c.job_id == JOB.c.id)
    return counted.where(QUERY.c.state == state).group_by(JOB.c.lane)


def _is_over(connection: Connection, job_id: int) -> bool:
    live = (
        select(QUERY.c.id).where(QUERY.c.job_id == job_id, QUERY.c.state.in_(("pending", "queued", "running"))).limit(1)
    )
    return connection.execute(live).first() is None


def _breaker(
    connection: Connection, job_id: int, fail_on_error: float | None, opened_at: datetime, queries: int
) -> str | None:
    """Why the job must pause, or None: too large a share of its queries failed, or the same failure over and over."""
    if fail_on_error is not None:
        failed = connection.execute(
            select(func.count()).where(
                QUERY.c.job_id == job_id, QUERY.c.state == "failed", QUERY.c.ended_at > opened_at
            )
        ).scalar_one()
        if failed > fail_on_error * queries:
            return f"{failed} of {queries} queries failed, more than --fail-on-error {fail_on_error:g} allows"
    last = connection.execute(
        select(ATTEMPT.c.state, ATTEMPT.c.reason)
        .where(ATTEMPT.c.job_id == job_id, ATTEMPT.c.ended_at > opened_at)
        .order_by(ATTEMPT.c.ended_at.desc(), ATTEMPT.c.id.desc())
        .limit(IDENTICAL_FAILURES)
    ).all()
    if (
        len(last) == IDENTICAL_FAILURES
        and {row.state for row in last} == {"failed"}
        and len({row.reason for row in last}) == 1
    ):
        return f"{IDENTICAL_FAILURES} failures in a row, all: {last[0].reason}"
    return None

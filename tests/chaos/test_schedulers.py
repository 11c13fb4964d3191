"""Schedulers killed at each of their transitions, and two of them at once."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from tests.chaos.invariants import check
from tests.chaos.stage import Stage, stopped
from tests.chaos.wire import wire_to

pytestmark = pytest.mark.timeout(900)

QUEUED = "SELECT COUNT(*) FROM query WHERE state = 'queued'"


@pytest.mark.slow
def test_killed_at_every_transition(stage: Stage, empty_redis_url: str) -> None:
    """A lock of ours or a silent wire makes it wait at the very statement; the next scheduler goes on each time."""
    stage.submit(24, generator="steady")
    # Between ringing in the database and sending the messages.
    with wire_to(make_url(empty_redis_url).port or 6379) as wire:
        first = stage.scheduler(TTS_BROKER_URL=f"redis://127.0.0.1:{wire.port}/0")
        stage.ready(first)
        wire.silence()
        worker = stage.worker("steady")
        stage.wait_for(lambda: stage.scalar(QUEUED) > 0, "the queries to be rung")
        stage.kill(first)
    second = stage.scheduler()
    stage.wait_running()
    # Before the ringing is written.
    with stage.holding("SELECT id FROM job FOR NO KEY UPDATE"):
        stage.wait_blocked("SELECT job.cap_amount")
        stage.kill(second)
    third = stage.scheduler()
    stage.ready(third)
    stage.wait_running()
    # As it gives back what a dead worker held.
    with stage.holding("SELECT id FROM query WHERE state = 'running' FOR UPDATE"):
        died = stage.kill(worker)
        stage.wait_blocked("SELECT query.id, query.job_id, query.suspect")
        stage.kill(third)
    released = stage.now()
    assert released > died
    fourth = stage.scheduler()
    stage.wait_for(
        lambda: stage.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'lost'") > 0, "the leases to run out"
    )
    # As it ends the job.
    stage.worker("steady")
    left = "SELECT COUNT(*) FROM query WHERE state IN ('pending', 'queued')"
    stage.wait_for(lambda: stage.scalar(left) == 0, "the last bells to be heard")
    with stage.holding("SELECT id FROM job FOR NO KEY UPDATE"):
        stage.wait_blocked("SELECT job.id")
        stage.kill(fourth)
    assert stage.scalar("SELECT state FROM job") == "open"
    stage.scheduler()
    stage.wait_done()
    check(stage, queries=24)


@pytest.mark.slow
def test_one_that_takes_itself_for_the_leader(stage: Stage) -> None:
    """The first is cut off from its lock in the middle of a round, so that two ring at once."""
    stage.submit(24, generator="steady")
    first = stage.scheduler()
    stage.ready(first)
    second = stage.scheduler()
    stage.ready(second)
    locked = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    with stage.holding("SELECT id FROM job FOR UPDATE") as lock:
        worker = stage.worker("steady")
        stage.wait_blocked("SELECT job.cap_amount")
        with stopped(first):
            assert stage.query(f"SELECT pg_terminate_backend(pid) FROM ({locked}) held") == [(True,)]
            # The second plans the same queries, whose rows the first has in its open transaction.
            waiting = (
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND state = 'active'"
            )
            stage.wait_for(lambda: stage.scalar(waiting) >= 2, "both to be ringing")
        lock.rollback()
    stage.wait_done()
    assert worker.poll() is first.poll() is second.poll() is None
    check(stage, queries=24)


def test_the_standby_takes_over_at_once(stage: Stage) -> None:
    """The leader is killed under load: the other one leads within a sweep, and the work goes on."""
    stage.submit(60)
    leader = stage.scheduler()
    stage.ready(leader)
    stage.scheduler()
    stage.ready(stage.worker())
    stage.wait_running()
    died = stage.kill(leader)
    stage.wait_done()
    check(stage, queries=60)
    gap = (
        "SELECT MAX(started_at - before) FROM (SELECT started_at, LAG(started_at) OVER (ORDER BY started_at) AS before "
        "FROM attempt) a"
    )
    assert stage.scalar(gap).total_seconds() <= 2 * SWEEPS_OF_TOLERANCE
    assert died is not None


SWEEPS_OF_TOLERANCE = 5.0

"""Dead leases, lost bells, jobs that are over, and the breaker."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from models import transitions
from models.database import Database
from models.transitions import JOB, QUERY, Outcome
from models.wire import KEY_PREFIX
from scheduler.dispatch import Dispatcher
from scheduler.doorbell import Doorbell
from scheduler.reconcile import IDENTICAL_FAILURES, MIN_BELL_AGE_SECONDS, Reconciler
from tests.builders import (
    LEASE,
    ManualClock,
    Shelf,
    add_job,
    claim,
    claimed,
    commit,
    count,
    force,
    job_of,
    messages,
    ring,
    states,
    worker,
)


@pytest.fixture
def reconciler(database: Database, doorbell: Doorbell) -> Reconciler:
    return Reconciler(database, doorbell, sweep_seconds=1.0)


@pytest.fixture
def rung(database: Database, doorbell: Doorbell) -> Shelf:
    """A job of three queries whose bells wait in Redis."""
    worker(database)
    shelf = add_job(database, 3)
    assert Dispatcher(database, doorbell).dispatch() == 3
    return shelf


def flush(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()


def sweep(reconciler: Reconciler, clock: ManualClock, times: int) -> None:
    for _ in range(times):
        clock.advance(1)
        reconciler.sweep()


def test_bells_that_redis_has_lost_are_rung_again_after_two_sweeps(
    database: Database, reconciler: Reconciler, rung: Shelf, clock: ManualClock, empty_redis_url: str
) -> None:  # fmt: skip
    clock.advance(MIN_BELL_AGE_SECONDS)
    reconciler.sweep()
    flush(empty_redis_url)
    sweep(reconciler, clock, 1)
    assert messages(empty_redis_url) == []
    sweep(reconciler, clock, 1)
    assert messages(empty_redis_url) == [(query_id, 0, False) for query_id in rung.queries]
    sweep(reconciler, clock, 20)
    assert len(messages(empty_redis_url)) == 3
    assert len(claim(database, rung.queries)) == 3


def test_a_lost_probe_is_rung_again_as_a_probe(
    database: Database, reconciler: Reconciler, rung: Shelf, clock: ManualClock, empty_redis_url: str
) -> None:  # fmt: skip
    force(database, QUERY, rung.queries[1], final=False)
    clock.advance(MIN_BELL_AGE_SECONDS)
    flush(empty_redis_url)
    sweep(reconciler, clock, 2)
    assert messages(empty_redis_url, probes=True) == [(rung.queries[1], 0, False)]
    assert len(messages(empty_redis_url)) == 2


def test_a_bell_that_waits_is_not_a_lost_one(
    database: Database, reconciler: Reconciler, rung: Shelf, clock: ManualClock, empty_redis_url: str
) -> None:  # fmt: skip
    clock.advance(10_000)
    sweep(reconciler, clock, 10)
    assert messages(empty_redis_url) == [(query_id, 0, False) for query_id in rung.queries]
    assert states(database, rung) == ["queued"] * 3


def test_a_young_bell_may_still_be_on_its_way(
    reconciler: Reconciler, rung: Shelf, clock: ManualClock, empty_redis_url: str
) -> None:  # fmt: skip
    flush(empty_redis_url)
    sweep(reconciler, clock, 4)
    assert messages(empty_redis_url) == []
    sweep(reconciler, clock, 6)
    assert len(messages(empty_redis_url)) == 3


def test_what_is_claimed_needs_no_bell(
    database: Database, reconciler: Reconciler, rung: Shelf, clock: ManualClock, empty_redis_url: str
) -> None:  # fmt: skip
    claim(database, rung.queries)
    flush(empty_redis_url)
    sweep(reconciler, clock, 10)
    assert messages(empty_redis_url) == []


def test_stale_bells_of_one_model_do_not_hide_the_lost_ones_of_another(
    database: Database, doorbell: Doorbell, reconciler: Reconciler, clock: ManualClock, empty_redis_url: str
) -> None:  # fmt: skip
    """Pausing leaves messages behind, which nobody takes away where no worker listens."""
    worker(database, "a")
    worker(database, "b", generator="slow")
    fast, slow = add_job(database, 3), add_job(database, 3)
    force(database, JOB, slow.job_id, generator="slow", lane="slow")
    dispatcher = Dispatcher(database, doorbell)
    for _ in range(3):
        dispatcher.dispatch()
        with database.transaction() as connection:
            transitions.pause_job(connection, slow.job_id, "again")
            transitions.resume_job(connection, slow.job_id, clock.time)
    dispatcher.dispatch()
    assert len(messages(empty_redis_url, "slow")) == 12
    with redis.Redis.from_url(empty_redis_url) as client:
        client.delete("tts:tts.solve.fast\x06\x163")
    assert messages(empty_redis_url, "fast") == []
    clock.advance(MIN_BELL_AGE_SECONDS)
    sweep(reconciler, clock, 2)
    assert [query_id for query_id, _, _ in messages(empty_redis_url, "fast")] == fast.queries
    assert len(messages(empty_redis_url, "slow")) == 12


def test_a_suspect_is_rung_again_as_one(
    database: Database, doorbell: Doorbell, reconciler: Reconciler, clock: ManualClock, empty_redis_url: str
) -> None:  # fmt: skip
    worker(database)
    shelf = add_job(database)
    force(database, transitions.QUERY, shelf.queries[0], suspect=1)
    Dispatcher(database, doorbell).dispatch()
    flush(empty_redis_url)
    clock.advance(MIN_BELL_AGE_SECONDS)
    sweep(reconciler, clock, 2)
    assert messages(empty_redis_url) == [(shelf.queries[0], 0, True)]


def test_a_lease_that_ran_out_by_the_clock_is_taken_back(
    database: Database, reconciler: Reconciler, clock: ManualClock
) -> None:  # fmt: skip
    shelf = add_job(database, 2)
    claimed(database, shelf)
    clock.advance(LEASE - 1)
    reconciler.sweep()
    assert states(database, shelf) == ["running", "running"]
    clock.advance(2)
    reconciler.sweep()
    assert states(database, shelf) == ["pending", "pending"]
    assert job_of(database, shelf.job_id).state == "open"


def test_a_job_is_done_when_nothing_is_left(
    database: Database, reconciler: Reconciler, clock: ManualClock
) -> None:  # fmt: skip
    shelf = add_job(database, 3)
    ends: list[Any] = ["done", "failed", "done"]
    for got, state in zip(claimed(database, shelf), ends, strict=True):
        reconciler.sweep()
        assert job_of(database, shelf.job_id).state == "open"
        commit(database, Outcome(got, state, reason="too long"))
    clock.advance(1)
    reconciler.sweep()
    job = job_of(database, shelf.job_id)
    assert (job.state, job.reason, job.ended_at) == ("done", None, clock.time)


def fail(
    database: Database, clock: ManualClock, shelf: Shelf, reasons: list[str | None], state: Any = "retry"
) -> None:  # fmt: skip
    """One attempt after another; None stands for one that was drained."""
    for reason in reasons:
        clock.advance(1)
        [got] = claim(database, ring(database, shelf)[:1])
        commit(database, Outcome(got, state if reason else "drained", reason=reason))
        with database.transaction() as connection:
            transitions.recall_bells(connection, shelf.job_id)


@pytest.mark.parametrize(
    ("reasons", "trips"),
    [
        (["refused"] * IDENTICAL_FAILURES, True),
        (["refused"] * (IDENTICAL_FAILURES - 1), False),
        (["refused"] * 10 + ["too long"] + ["refused"] * 10, False),
        (["refused"] * 10 + [None] + ["refused"] * 10, False),
        (["too long", *["refused"] * IDENTICAL_FAILURES], True),
    ],
)
def test_the_same_failure_over_and_over_pauses_the_job(
    database: Database, reconciler: Reconciler, clock: ManualClock, reasons: list[str | None], trips: bool
) -> None:  # fmt: skip
    shelf = add_job(database)
    fail(database, clock, shelf, reasons)
    reconciler.sweep()
    job = job_of(database, shelf.job_id)
    assert job.state == ("paused" if trips else "open")
    assert job.reason == (f"{IDENTICAL_FAILURES} failures in a row, all: refused" if trips else None)


def test_after_a_resume_only_new_failures_count(
    database: Database, reconciler: Reconciler, clock: ManualClock
) -> None:  # fmt: skip
    shelf = add_job(database)
    fail(database, clock, shelf, ["refused"] * IDENTICAL_FAILURES)
    reconciler.sweep()
    with database.transaction() as connection:
        assert transitions.resume_job(connection, shelf.job_id, clock.time)
    fail(database, clock, shelf, ["refused"] * (IDENTICAL_FAILURES - 1))
    reconciler.sweep()
    assert job_of(database, shelf.job_id).state == "open"
    fail(database, clock, shelf, ["refused"])
    reconciler.sweep()
    assert job_of(database, shelf.job_id).state == "paused"


def test_too_large_a_share_of_failures_pauses_the_job(
    database: Database, reconciler: Reconciler, clock: ManualClock
) -> None:  # fmt: skip
    shelf = add_job(database, 20, fail_on_error=0.1)
    reasons: list[str | None] = ["a", "b"]
    fail(database, clock, shelf, reasons, "failed")
    reconciler.sweep()
    assert job_of(database, shelf.job_id).state == "open"
    fail(database, clock, shelf, ["c"], "failed")
    reconciler.sweep()
    job = job_of(database, shelf.job_id)
    assert (job.state, job.reason) == ("paused", "3 of 20 queries failed, more than --fail-on-error 0.1 allows")
    with database.transaction() as connection:
        transitions.resume_job(connection, shelf.job_id, clock.time)
    reconciler.sweep()
    assert job_of(database, shelf.job_id).state == "open"
    fail(database, clock, shelf, ["d", "e", "f"], "failed")
    reconciler.sweep()
    assert job_of(database, shelf.job_id).state == "paused"


def test_one_failure_is_one_too_many_where_none_is_allowed(
    database: Database, reconciler: Reconciler, clock: ManualClock
) -> None:  # fmt: skip
    shelf = add_job(database, 5, fail_on_error=0.0)
    reconciler.sweep()
    assert job_of(database, shelf.job_id).state == "open"
    fail(database, clock, shelf, ["a"], "failed")
    reconciler.sweep()
    assert job_of(database, shelf.job_id).state == "paused"
    assert count(database, "attempt") == 1


def test_bells_that_a_dead_worker_holds_are_not_on_their_way_for_ever(
    database: Database, clock: ManualClock, empty_redis_url: str
) -> None:
    """Redis counts a killed worker's messages as delivered until its visibility timeout, a quarter of an hour."""
    doorbell = Doorbell(empty_redis_url)
    reconciler = Reconciler(database, doorbell, sweep_seconds=1.0, lease_seconds=30.0)
    shelf = add_job(database, 4)
    ring(database, shelf)
    with redis.Redis.from_url(empty_redis_url) as client:
        client.hset(f"{KEY_PREFIX}unacked", mapping={f"dead-{n}": "{}" for n in range(8)})
    clock.advance(20)
    for _ in range(3):
        reconciler.sweep()
    assert messages(empty_redis_url, "fast") == []
    clock.advance(20)
    for _ in range(3):
        reconciler.sweep()
    assert [query_id for query_id, _, _ in messages(empty_redis_url, "fast")] == shelf.queries

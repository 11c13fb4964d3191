"""Leases that run out: what is booked, who becomes a suspect, and what is quarantined."""

from __future__ import annotations

import pytest

from models import transitions
from models.database import Database
from models.transitions import Outcome
from tests.builders import (
    LEASE,
    ManualClock,
    Shelf,
    add_job,
    attempts,
    beat,
    claim,
    claimed,
    commit,
    job_of,
    lost_usage,
    query_of,
    ring,
    states,
    usage,
    usage_row,
)


def expire(database: Database, clock: ManualClock) -> tuple[int, int]:
    with database.transaction() as connection:
        return transitions.expire_leases(connection, clock.time)


def test_a_lease_runs_out_by_the_clock_alone(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database)
    claimed(database, shelf)
    clock.advance(LEASE)
    assert expire(database, clock) == (0, 0)
    clock.advance(0.001)
    assert expire(database, clock) == (1, 0)
    assert states(database, shelf) == ["pending"]


def test_a_heartbeat_extends_what_is_in_flight_and_nothing_else(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 3)
    kept, forgotten = claim(database, ring(database, shelf)[:2], "w1")
    claim(database, shelf.queries[2:], "w2")
    clock.advance(LEASE - 1)
    assert beat(database, "w1", {kept.attempt_id: [lost_usage()]}) == {kept.query_id: "open"}
    clock.advance(2)
    assert expire(database, clock) == (2, 0)
    assert query_of(database, forgotten.query_id).state == "pending"
    assert query_of(database, kept.query_id).state == "running"


def test_a_heartbeat_tells_what_became_of_the_job(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    with database.transaction() as connection:
        transitions.cancel_job(connection, shelf.job_id, clock.time)
    assert beat(database, "w1", {got.attempt_id: []}) == {got.query_id: "cancelled"}


def test_what_a_lost_attempt_used_is_spent_and_wasted(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, cap_amount=100.0, cap_unit="tokens")
    [got] = claimed(database, shelf, worst=40.0)
    beat(database, "w1", {got.attempt_id: [lost_usage(generated_tokens=3)]})
    beat(database, "w1", {got.attempt_id: [lost_usage(generated_tokens=9, cached_tokens=None, flops=None)]})
    clock.advance(LEASE + 1)
    expire(database, clock)
    [row] = usage(database, shelf)
    assert (row.disposition, row.at_least, row.reused) == ("wasted", True, False)
    assert (row.generated_tokens, row.cached_tokens, row.flops, row.attempt_id) == (9, None, None, got.attempt_id)
    job, [attempt] = job_of(database, shelf.job_id), attempts(database, shelf)
    assert (job.spent, job.reserved, query_of(database, got.query_id).reserved) == (19.0, 0.0, 0.0)
    assert (attempt.state, attempt.running_usage, attempt.ended_at) == ("lost", None, clock.time)


def test_an_attempt_that_said_nothing_wastes_nothing(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, cap_amount=100.0, cap_unit="tokens")
    claimed(database, shelf, worst=40.0)
    clock.advance(LEASE + 1)
    assert expire(database, clock) == (1, 0)
    assert usage(database, shelf) == []
    assert (job_of(database, shelf.job_id).spent, job_of(database, shelf.job_id).reserved) == (0.0, 0.0)


def test_a_worker_whose_engine_died_gives_up_its_own_at_once(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 3)
    claim(database, ring(database, shelf)[:2], "w1")
    claim(database, shelf.queries[2:], "w2")
    with database.transaction() as connection:
        assert transitions.lose_worker(connection, "w1", clock.time) == (2, 0)
    assert states(database, shelf) == ["pending", "pending", "running"]


def lose(database: Database, clock: ManualClock, shelf: Shelf, *, alone: bool) -> tuple[int, str]:
    """Claim the job's query, let its worker die, and return its suspicion and state."""
    claimed(database, shelf, alone=alone)
    clock.advance(LEASE + 1)
    expire(database, clock)
    row = query_of(database, shelf.queries[0])
    return row.suspect, row.state


def test_losses_in_company_make_a_suspect_and_no_more(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database)
    assert {lose(database, clock, shelf, alone=False) for _ in range(5)} == {(1, "pending")}


def test_what_brings_its_worker_down_alone_twice_is_quarantined(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, cap_amount=100.0, cap_unit="samples")
    assert lose(database, clock, shelf, alone=False) == (1, "pending")
    assert lose(database, clock, shelf, alone=True) == (2, "pending")
    assert lose(database, clock, shelf, alone=True) == (3, "failed")
    row = query_of(database, shelf.queries[0])
    assert row.error == "quarantined: its worker died each time it ran alone"
    assert row.ended_at == clock.time
    assert ring(database, shelf) == []


@pytest.mark.parametrize("state", ["drained", "retry"])
def test_a_drain_or_a_retry_does_not_count_against_a_suspect(
    database: Database, clock: ManualClock, state: str
) -> None:  # fmt: skip
    shelf = add_job(database)
    lose(database, clock, shelf, alone=False)
    for _ in range(4):
        [got] = claimed(database, shelf, alone=True)
        commit(database, Outcome(got, state))  # type: ignore[arg-type]
    assert query_of(database, shelf.queries[0]).suspect == 1
    assert lose(database, clock, shelf, alone=True) == (2, "pending")


def test_an_answer_clears_a_suspect(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database)
    lose(database, clock, shelf, alone=False)
    [got] = claimed(database, shelf, alone=True)
    assert attempts(database, shelf)[-1].alone is True
    commit(database, Outcome(got, "done"))
    assert query_of(database, shelf.queries[0]).suspect == 0


def test_more_leases_than_one_sweep_takes_are_taken_in_turn(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 5)
    for got in claimed(database, shelf):
        beat(database, "w1", {got.attempt_id: [usage_row(disposition="wasted", at_least=True)]})
    clock.advance(LEASE + 1)
    for lost in (2, 2, 1, 0):
        with database.transaction() as connection:
            assert transitions.expire_leases(connection, clock.time, limit=2) == (lost, 0)
    assert len(usage(database, shelf)) == 5

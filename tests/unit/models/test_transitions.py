"""Changes of state: each is guarded, and a job goes through its life."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from models import transitions
from models.database import Database
from models.transitions import ATTEMPT, JOB, QUERY, Claim, Outcome
from tests.builders import (
    LEASE,
    ManualClock,
    Shelf,
    add_job,
    attempts,
    claim,
    claimed,
    commit,
    force,
    job_of,
    plan_row,
    query_of,
    ring,
    states,
    usage_row,
)

JOB_STATES = ["loading", "open", "paused", "done", "cancelled", "budget_exhausted"]
JOB_MOVES: dict[str, tuple[Callable[[Connection, int, Any], Any], set[str], str]] = {
    "open": (lambda c, job, now: transitions.open_job(c, job, now, 7), {"loading"}, "open"),
    "pause": (lambda c, job, now: transitions.pause_job(c, job, "enough"), {"open"}, "paused"),
    "resume": (transitions.resume_job, {"paused", "budget_exhausted"}, "open"),
    "cancel": (transitions.cancel_job, {"loading", "open", "paused", "budget_exhausted"}, "cancelled"),
    "finish": (lambda c, job, now: transitions.end_job(c, job, "done", now, None), {"open"}, "done"),
    "exhaust": (
        lambda c, job, now: transitions.end_job(c, job, "budget_exhausted", now, "no money"),
        {"open"},
        "budget_exhausted",
    ),
    "retry": (lambda c, job, now: bool(transitions.retry_failed(c, job, now)), set(JOB_STATES) - {"cancelled"}, "open"),
}


@pytest.mark.parametrize("move", JOB_MOVES)
def test_a_job_in_the_wrong_state_is_left_as_it_is(database: Database, clock: ManualClock, move: str) -> None:
    act, allowed, after = JOB_MOVES[move]
    for state in JOB_STATES:
        shelf = add_job(database, 2)
        for query_id, ended in zip(shelf.queries, ("done", "failed"), strict=True):
            force(database, QUERY, query_id, state=ended)
        force(database, JOB, shelf.job_id, state=state, reason="as before")
        before = (job_of(database, shelf.job_id), states(database, shelf))
        with database.transaction() as connection:
            assert act(connection, shelf.job_id, clock.time) is (state in allowed), state
        if state in allowed:
            kept = {"open": "open", "loading": "loading"}.get(state, after) if move == "retry" else after
            assert job_of(database, shelf.job_id).state == kept
        else:
            assert (job_of(database, shelf.job_id), states(database, shelf)) == before


QUERY_STATES = ["pending", "queued", "running", "done", "failed", "cancelled"]
QUERY_MOVES: dict[str, tuple[Callable[[Connection, Shelf, dict[int, Claim], Any], Any], dict[str, str]]] = {
    "ring": (
        lambda c, shelf, _, now: transitions.ring(c, shelf.job_id, dict.fromkeys(shelf.queries, 1.0), now),
        {"pending": "queued"},
    ),
    "ring_again": (lambda c, shelf, _, now: transitions.ring_again(c, shelf.queries, now), {"queued": "queued"}),
    "claim": (
        lambda c, shelf, _, now: transitions.claim(c, "w2", [(id_, 0, False) for id_ in shelf.queries], now, LEASE),
        {"queued": "running"},
    ),
    "extend": (
        lambda c, _, claims, now: transitions.extend_leases(
            c, "w1", {claim.attempt_id: [] for claim in claims.values()}, now, LEASE
        ),
        {"running": "running"},
    ),
    "commit": (
        lambda c, _, claims, now: transitions.commit(c, [Outcome(claim, "done") for claim in claims.values()], now),
        {"running": "done"},
    ),
    "drain": (
        lambda c, _, claims, now: transitions.commit(c, [Outcome(claim, "drained") for claim in claims.values()], now),
        {"running": "pending"},
    ),
    "expire": (lambda c, _shelf, _claims, now: transitions.expire_leases(c, now), {"running": "pending"}),
    "lose": (lambda c, _shelf, _claims, now: transitions.lose_worker(c, "w1", now), {"running": "pending"}),
    "pause": (lambda c, shelf, _, now: transitions.pause_job(c, shelf.job_id, "enough"), {"queued": "pending"}),
    "recall": (lambda c, shelf, _, now: transitions.recall_bells(c, shelf.job_id), {"queued": "pending"}),
    "cancel": (
        lambda c, shelf, _, now: transitions.cancel_job(c, shelf.job_id, now),
        {"queued": "cancelled", "pending": "cancelled"},
    ),
    "retry": (lambda c, shelf, _, now: transitions.retry_failed(c, shelf.job_id, now), {"failed": "pending"}),
}


@pytest.mark.parametrize("move", QUERY_MOVES)
def test_a_query_in_the_wrong_state_is_left_as_it_is(database: Database, clock: ManualClock, move: str) -> None:
    """One query in each state, each with an attempt of which a worker thinks that it is its own."""
    act, allowed = QUERY_MOVES[move]
    shelf = add_job(database, len(QUERY_STATES))
    claims = {claim.query_id: claim for claim in claimed(database, shelf, worst=1.0)}
    for query_id, state in zip(shelf.queries, QUERY_STATES, strict=True):
        force(database, QUERY, query_id, state=state, reserved=float(state in ("queued", "running")))
        if state != "running":
            force(database, ATTEMPT, claims[query_id].attempt_id, state="drained")
    before = {query_id: query_of(database, query_id) for query_id in shelf.queries}
    tried = attempts(database, shelf)
    clock.advance(LEASE + 1)
    with database.transaction() as connection:
        act(connection, shelf, claims, clock.time)
    for query_id, state in zip(shelf.queries, QUERY_STATES, strict=True):
        if state in allowed:
            assert query_of(database, query_id).state == allowed[state]
            assert query_of(database, query_id) != before[query_id]
            is_over = allowed[state] in ("done", "failed", "cancelled")
            assert (query_of(database, query_id).ended_at == clock.time) is is_over, "what is over has its end"
        else:
            assert query_of(database, query_id) == before[query_id], state
    touched = {id_ for id_, state in zip(shelf.queries, QUERY_STATES, strict=True) if state in allowed}
    untouched = [row for row in attempts(database, shelf) if row.query_id not in touched]
    assert untouched == [row for row in tried if row.query_id not in touched]


@pytest.mark.parametrize("state", [state for state in JOB_STATES if state != "open"])
def test_nothing_is_rung_or_claimed_of_a_job_that_is_not_open(database: Database, state: str) -> None:
    waiting, rung = add_job(database), add_job(database)
    ring(database, rung)
    for shelf in (waiting, rung):
        force(database, JOB, shelf.job_id, state=state)
    assert ring(database, waiting) == []
    assert claim(database, rung.queries) == []


def test_a_query_without_a_plan_is_not_rung_and_is_planned_once(database: Database) -> None:
    shelf = add_job(database)
    force(database, QUERY, shelf.queries[0], planned=False)
    assert ring(database, shelf) == []
    for budget in (8.0, 99.0):
        with database.transaction() as connection:
            transitions.plan(connection, [plan_row(shelf.queries[0], budget_amount=budget, difficulty=0.5, bin=2)])
    row = query_of(database, shelf.queries[0])
    assert (row.planned, row.budget_amount, row.difficulty, row.bin) == (True, 8.0, 0.5, 2)


def test_queries_are_rung_in_the_given_order(database: Database) -> None:
    shelf = add_job(database, 100)
    wanted = random.Random(1).sample(shelf.queries, 100)
    assert ring(database, shelf, queries=wanted) == wanted


def test_what_comes_back_of_a_cancelled_job_is_cancelled(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 4)
    claims = claimed(database, shelf)
    with database.transaction() as connection:
        transitions.cancel_job(connection, shelf.job_id, clock.time)
    commit(database, Outcome(claims[0], "drained"), Outcome(claims[1], "retry"), Outcome(claims[2], "done"))
    clock.advance(LEASE + 1)
    with database.transaction() as connection:
        transitions.expire_leases(connection, clock.time)
    assert states(database, shelf) == ["cancelled", "cancelled", "done", "cancelled"]


def test_a_job_does_not_end_while_a_query_is_left(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 2)
    for state, ends in (("pending", ["budget_exhausted"]), ("queued", []), ("running", [])):
        force(database, QUERY, shelf.queries[0], state="done")
        force(database, QUERY, shelf.queries[1], state=state)
        for end in ("done", "budget_exhausted"):
            force(database, JOB, shelf.job_id, state="open")
            with database.transaction() as connection:
                ended = transitions.end_job(connection, shelf.job_id, end, clock.time, None)  # type: ignore[arg-type]
            assert ended is (end in ends), (state, end)


def test_failed_queries_start_afresh(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 2)
    for got in claimed(database, shelf):
        commit(database, Outcome(got, "failed", reason="too long"))
    with database.transaction() as connection:
        assert transitions.end_job(connection, shelf.job_id, "done", clock.time, None)
    clock.advance(60)
    with database.transaction() as connection:
        assert transitions.retry_failed(connection, shelf.job_id, clock.time) == 2
        assert transitions.retry_failed(connection, shelf.job_id, clock.time) == 0
    job, row = job_of(database, shelf.job_id), query_of(database, shelf.queries[0])
    assert (job.state, job.reason, job.ended_at, job.opened_at) == ("open", None, None, clock.time)
    assert (row.state, row.error, row.retries, row.suspect, row.ended_at) == ("pending", None, 0, 0, None)
    assert [got.attempt for got in claimed(database, shelf)] == [2, 2]


def test_a_paused_job_takes_its_bells_back_and_goes_on_later(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 3, cap_amount=9.0, cap_unit="samples")
    [running] = claim(database, ring(database, shelf, 3.0)[:1])
    with database.transaction() as connection:
        assert transitions.pause_job(connection, shelf.job_id, "lunch")
    assert states(database, shelf) == ["running", "pending", "pending"]
    assert (job_of(database, shelf.job_id).reserved, job_of(database, shelf.job_id).reason) == (3.0, "lunch")
    assert claim(database, shelf.queries) == []
    assert commit(database, Outcome(running, "done", usage=[usage_row(calls=2)])) == {running.attempt_id}
    with database.transaction() as connection:
        assert transitions.resume_job(connection, shelf.job_id, clock.time)
    assert len(claimed(database, shelf, worst=3.0)) == 2
    assert job_of(database, shelf.job_id).reason is None


def test_a_job_goes_on_with_more_budget(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 3, cap_amount=5.0, cap_unit="samples")
    for got in claimed(database, shelf, worst=4.0):
        commit(database, Outcome(got, "done", usage=[usage_row(calls=4)]))
    with database.transaction() as connection:
        assert transitions.end_job(connection, shelf.job_id, "budget_exhausted", clock.time, "no money")
        assert ring_in(connection, shelf, clock) == []
        transitions.change_job(connection, shelf.job_id, cap_amount=12.0)
        assert transitions.resume_job(connection, shelf.job_id, clock.time)
        assert ring_in(connection, shelf, clock) == shelf.queries[1:]


def ring_in(connection: Connection, shelf: Shelf, clock: ManualClock) -> list[int]:
    return transitions.ring(connection, shelf.job_id, dict.fromkeys(shelf.queries[1:], 4.0), clock.time)


def test_only_what_may_change_is_changed(database: Database) -> None:
    shelf = add_job(database)
    with database.transaction() as connection, pytest.raises(AssertionError):
        transitions.change_job(connection, shelf.job_id, state="done")


def test_a_bell_given_back_is_rung_again_and_holds_nothing(database: Database) -> None:
    shelf = add_job(database, 2, cap_amount=10.0, cap_unit="samples")
    first, second = ring(database, shelf, 3.0)
    (running,) = claim(database, [second])
    with database.transaction() as connection:
        transitions.take_back(connection, first)
        transitions.take_back(connection, second)
    assert states(database, shelf) == ["pending", "running"]
    assert (query_of(database, first).reserved, job_of(database, shelf.job_id).reserved) == (0.0, 3.0)
    assert ring(database, shelf, 3.0) == [first]
    assert commit(database, Outcome(running, "done")) == {running.attempt_id}

"""A query between its stages: what a stage leaves on the row, what settles it, and what goes on with more budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models import transitions
from models.database import Database
from models.transitions import JOB, QUERY, UNDECIDED, Outcome
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
from tests.stages import come_back, seen, staged


@pytest.fixture
def shelf(database: Database) -> Shelf:
    """One query, of which the first stage has been committed."""
    made = add_job(database, cap_amount=10.0, cap_unit="samples")
    force(database, QUERY, made.queries[0], final=False)
    come_back(database, claimed(database, made, worst=4.0), seen(2))
    return made


def settle(database: Database, clock: ManualClock, shelf: Shelf, stopped: str, **values: Any) -> Any:
    told = {"difficulty": 0.25, "bin": 0, "confidence": 0.75, "decisions": [{"stage": 1}]}
    with database.transaction() as connection:
        rows = [{"id": query_id, "stage": 1, "stopped": stopped, **told, **values} for query_id in shelf.queries]
        transitions.settle(connection, rows, clock.time)
    return query_of(database, shelf.queries[0])


def test_a_stage_leaves_its_answer_and_evidence_and_waits_for_a_decision(database: Database, shelf: Shelf) -> None:
    row, job = query_of(database, shelf.queries[0]), job_of(database, shelf.job_id)
    assert (row.state, row.stage, row.planned, row.gain) == ("pending", 1, False, UNDECIDED)
    assert (row.answer, row.correct, row.votes, row.voters, row.sequential_tokens) == ("7", True, 2, 2, 5)
    assert (row.evidence["drawn"], row.stopped, row.ended_at, row.worker_id) == (2, None, None, None)
    assert (job.spent, job.reserved, row.reserved) == (2.0, 0.0, 0.0)
    assert [attempt.state for attempt in attempts(database, shelf)] == ["done"]


def test_only_the_next_stage_can_be_planned_and_claimed(database: Database, shelf: Shelf) -> None:
    (query_id,) = shelf.queries
    for stage, budget in ((0, 9.0), (1, 2.0), (1, 5.0)):
        with database.transaction() as connection:
            transitions.plan(connection, [plan_row(query_id, stage=stage, budget_amount=budget)])
    assert query_of(database, query_id).budget_amount == 2.0
    assert ring(database, shelf) == [query_id]
    assert claim(database, [query_id], stage=0) == []
    [got] = claim(database, [query_id], stage=1)
    assert (got.stage, got.final, got.attempt) == (1, True, 2)


@pytest.mark.parametrize("state", ["drained", "retry", "failed"])
def test_what_ends_otherwise_leaves_the_answer_of_the_stages_before(
    database: Database, shelf: Shelf, state: Any
) -> None:
    (query_id,) = shelf.queries
    with database.transaction() as connection:
        transitions.plan(connection, [plan_row(query_id, stage=1)])
    [got] = claim(database, ring(database, shelf), stage=1)
    commit(database, Outcome(got, state, reason="why", sequential_tokens=9, usage=[usage_row()]))
    row = query_of(database, query_id)
    assert (row.stage, row.planned, row.answer, row.votes, row.sequential_tokens) == (1, True, "7", 2, 5)
    assert row.evidence["drawn"] == 2


def test_the_stages_of_a_query_are_waited_for_one_after_the_other(database: Database, shelf: Shelf) -> None:
    (query_id,) = shelf.queries
    with database.transaction() as connection:
        transitions.plan(connection, [plan_row(query_id, stage=1)])
    [got] = claim(database, ring(database, shelf), stage=1)
    commit(database, Outcome(got, "done", answer="8", stopped="complete", sequential_tokens=9))
    row = query_of(database, query_id)
    assert (row.state, row.answer, row.stopped, row.sequential_tokens) == ("done", "8", "complete", 14)


def test_a_zombie_cannot_stage(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database)
    [zombie] = claimed(database, shelf)
    clock.advance(LEASE + 1)
    with database.transaction() as connection:
        transitions.expire_leases(connection, clock.time)
    assert commit(database, staged(zombie, seen(2))) == set()
    assert query_of(database, shelf.queries[0]).stage == 0


def test_what_is_staged_of_a_cancelled_job_is_cancelled(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database)
    claims = claimed(database, shelf)
    with database.transaction() as connection:
        transitions.cancel_job(connection, shelf.job_id, clock.time)
    come_back(database, claims, seen(2))
    assert states(database, shelf) == ["cancelled"]


def test_a_transient_error_and_a_suspicion_end_with_the_stage(database: Database) -> None:
    shelf = add_job(database)
    force(database, QUERY, shelf.queries[0], retries=3, suspect=1)
    come_back(database, claimed(database, shelf, alone=True), seen(2))
    row = query_of(database, shelf.queries[0])
    assert (row.retries, row.suspect) == (0, 0)


def test_settled_is_done_with_the_answer_that_is_there(database: Database, clock: ManualClock, shelf: Shelf) -> None:
    row = settle(database, clock, shelf, "settled")
    assert (row.state, row.answer, row.votes, row.stopped, row.ended_at) == ("done", "7", 2, "settled", clock.time)
    assert (row.difficulty, row.bin, row.confidence, row.decisions) == (0.25, 0, 0.75, [{"stage": 1}])


def test_only_what_waits_at_the_stage_that_was_decided_on_is_settled(
    database: Database, clock: ManualClock, shelf: Shelf
) -> None:  # fmt: skip
    before = query_of(database, shelf.queries[0])
    assert settle(database, clock, shelf, "settled", stage=2) == before
    for state in ("queued", "running", "failed", "cancelled", "done"):
        force(database, QUERY, shelf.queries[0], state=state)
        assert settle(database, clock, shelf, "settled").state == state
        assert query_of(database, shelf.queries[0]).stopped is None
    force(database, QUERY, shelf.queries[0], state="pending", stage=0)
    assert settle(database, clock, shelf, "settled", stage=0).state == "pending", "it has no answer yet"


@pytest.mark.parametrize("state", ["done", "budget_exhausted", "open", "paused"])
def test_more_budget_goes_on_with_what_the_budget_had_settled(
    database: Database, clock: ManualClock, shelf: Shelf, state: str
) -> None:  # fmt: skip
    settle(database, clock, shelf, "budget")
    force(database, JOB, shelf.job_id, state=state)
    with database.transaction() as connection:
        assert transitions.reopen_settled(connection, shelf.job_id, clock.time) == 1
        assert transitions.reopen_settled(connection, shelf.job_id, clock.time) == 0
    row = query_of(database, shelf.queries[0])
    assert (row.state, row.stage, row.planned, row.gain, row.stopped, row.ended_at) == (
        "pending", 1, False, UNDECIDED, None, None,
    )  # fmt: skip
    assert (row.answer, row.evidence["drawn"]) == ("7", 2)
    assert job_of(database, shelf.job_id).state == ("open" if state == "done" else state)


def test_what_was_settled_otherwise_stays(database: Database, clock: ManualClock, shelf: Shelf) -> None:
    def reopened() -> int:
        with database.transaction() as connection:
            return transitions.reopen_settled(connection, shelf.job_id, clock.time)

    settle(database, clock, shelf, "settled")
    assert reopened() == 0
    force(database, QUERY, shelf.queries[0], stopped="budget", final=True)  # its own strategy's budget
    assert reopened() == 0
    force(database, QUERY, shelf.queries[0], final=False)
    force(database, JOB, shelf.job_id, state="cancelled")
    assert reopened() == 0


def test_a_job_of_one_stage_is_as_it_was(database: Database) -> None:
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    assert got.final
    commit(database, Outcome(replace(got), "done", answer="2", sequential_tokens=5))
    row = query_of(database, shelf.queries[0])
    assert (row.stage, row.final, row.gain, row.evidence, row.decisions, row.confidence) == (
        0,
        True,
        1.0,
        None,
        None,
        None,
    )

"""Attempts: a claim is given once, a commit is fenced by the attempt's number and written once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from models import transitions
from models.database import Database
from models.transitions import ATTEMPT, CANDIDATE, QUERY, USAGE, Claim, Outcome
from tests.builders import (
    LEASE,
    ManualClock,
    add_job,
    attempts,
    beat,
    candidate_row,
    claim,
    claimed,
    commit,
    count,
    force,
    job_of,
    lost_usage,
    query_of,
    ring,
    rows,
    states,
    usage,
    usage_row,
)


def test_a_claim_takes_lease_number_and_attempt_together(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database)
    [got] = claimed(database, shelf, "w7")
    row = query_of(database, got.query_id)
    assert (row.state, row.attempt, row.worker_id, row.rung_at) == ("running", 1, "w7", None)
    assert (row.lease_until - clock.time).total_seconds() == LEASE
    [attempt] = attempts(database, shelf)
    assert (attempt.id, attempt.number, attempt.state, attempt.alone) == (got.attempt_id, 1, "running", False)
    assert claim(database, [got.query_id]) == []


def test_a_bell_of_another_stage_finds_nothing(database: Database) -> None:
    shelf = add_job(database)
    ring(database, shelf)
    assert claim(database, shelf.queries, stage=1) == []
    assert len(claim(database, shelf.queries, stage=0)) == 1


def test_a_bell_answered_by_eight_workers_is_claimed_once(database: Database) -> None:
    shelf = add_job(database, 200)
    ring(database, shelf)
    others = [Database(database.url, database.clock) for _ in range(8)]
    got: list[Claim] = []
    failures: list[Exception] = []
    start = threading.Barrier(len(others))

    def work(name: str, mine: Database) -> None:
        bells = random.Random(name).sample(shelf.queries, len(shelf.queries))
        start.wait()
        try:
            for first in range(0, len(bells), 10):
                got.extend(claim(mine, bells[first : first + 10], name))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"w{n}", mine)) for n, mine in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in others:
        mine.close()
    assert failures == []
    assert Counter(claim.query_id for claim in got) == dict.fromkeys(shelf.queries, 1)
    assert Counter(row.query_id for row in attempts(database, shelf)) == dict.fromkeys(shelf.queries, 1)
    assert {row.attempt for row in rows(database, QUERY)} == {1}


def test_the_commit_of_a_lost_attempt_changes_nothing(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, cap_amount=10.0, cap_unit="samples")
    [zombie] = claimed(database, shelf, "zombie", worst=4.0)
    clock.advance(LEASE + 1)
    with database.transaction() as connection:
        assert transitions.expire_leases(connection, clock.time) == (1, 0)
    late = Outcome(
        zombie, "done", answer="wrong", candidates=[candidate_row()], usage=[usage_row(calls=4)]
    )  # fmt: skip
    for _ in range(2):  # while the query waits, and while another worker has it
        before = [job_of(database, shelf.job_id), query_of(database, zombie.query_id), attempts(database, shelf)]
        assert commit(database, late) == set()
        assert [
            job_of(database, shelf.job_id),
            query_of(database, zombie.query_id),
            attempts(database, shelf),
        ] == before
        assert (count(database, "candidate"), count(database, "usage")) == (0, 0)
        if query_of(database, zombie.query_id).state == "pending":
            claimed(database, shelf, "w2", worst=4.0)
    assert beat(database, "zombie", {zombie.attempt_id: [lost_usage()]}) == {}


def test_one_commit_ends_what_is_still_held_and_refuses_the_rest(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 3)
    first = claimed(database, shelf)
    force(database, QUERY, shelf.queries[1], state="pending")
    [second] = claim(database, ring(database, shelf), "w2")
    accepted = commit(database, *[Outcome(claim, "done", candidates=[candidate_row()]) for claim in first])
    assert accepted == {first[0].attempt_id, first[2].attempt_id}
    assert states(database, shelf) == ["done", "running", "done"]
    assert {row.query_id for row in rows(database, CANDIDATE)} == {shelf.queries[0], shelf.queries[2]}
    assert commit(database, Outcome(second, "done")) == {second.attempt_id}


@pytest.mark.parametrize(
    ("state", "query", "attempt"),
    [
        ("done", "done", "done"),
        ("failed", "failed", "failed"),
        ("drained", "pending", "drained"),
        ("retry", "pending", "failed"),
        ("cancelled", "cancelled", "cancelled"),
    ],
)
def test_what_an_outcome_leaves(
    database: Database, clock: ManualClock, state: Any, query: str, attempt: str
) -> None:  # fmt: skip
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    beat(database, "w1", {got.attempt_id: [lost_usage()]})
    clock.advance(5)
    commit(database, Outcome(got, state, reason="why", retry_after=30.0 if state == "retry" else 0.0))
    row, [tried] = query_of(database, got.query_id), attempts(database, shelf)
    assert (row.state, row.worker_id, row.lease_until, row.suspect) == (query, None, None, 0)
    assert row.ended_at == (None if query == "pending" else clock.time)
    assert row.error == ("why" if state == "failed" else None)
    assert row.retries == (1 if state == "retry" else 0)
    assert (row.not_before is not None) == (state == "retry")
    assert (tried.state, tried.reason, tried.ended_at, tried.running_usage) == (attempt, "why", clock.time, None)
    assert usage(database, shelf) == []  # what a heartbeat said of a living attempt is not booked


def test_the_ledger_is_the_sum_of_the_attempts(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 3, cap_amount=1000.0, cap_unit="tokens")
    for round_, state in enumerate(("drained", "retry", "done")):
        for got in claimed(database, shelf, worst=50.0):
            row = usage_row(generated_tokens=7 + round_)
            commit(database, Outcome(got, state, usage=[row]))  # type: ignore[arg-type]
    booked = usage(database, shelf)
    assert len(booked) == len(attempts(database, shelf)) == 9
    assert {row.attempt_id for row in booked} == {row.id for row in attempts(database, shelf)}
    assert sum(row.generated_tokens for row in booked) == 3 * (7 + 8 + 9)
    job = job_of(database, shelf.job_id)
    assert job.spent == sum(transitions.charged(row._mapping, "tokens") for row in booked) == 3 * 30 + 3 * 24
    assert job.reserved == 0


def test_candidates_are_written_once_however_often_they_come(database: Database) -> None:
    shelf = add_job(database)
    for _ in range(2):
        [got] = claimed(database, shelf)
        commit(database, Outcome(got, "drained", candidates=[candidate_row("0"), candidate_row("1")]))
    [got] = claimed(database, shelf)
    better = candidate_row("0", answer="3", answer_class=1, score=0.9, step_scores=[0.9], correct=True)
    commit(database, Outcome(got, "done", candidates=[better]))
    first, second = rows(database, CANDIDATE)
    assert (first.path, first.answer, first.answer_class, first.score, first.correct) == ("0", "3", 1, 0.9, True)
    assert (first.attempt, second.attempt, second.path, second.score) == (1, 1, "1", None)


def test_a_candidate_that_is_drawn_again_replaces_the_earlier_one(database: Database) -> None:
    shelf = add_job(database)
    for text, reason, tokens in (("half a tho", "clipped", 3), ("half a thought", "stop", 5)):
        [got] = claimed(database, shelf)
        drawn = candidate_row(text=text, finish_reason=reason, generated_tokens=tokens)
        commit(database, Outcome(got, "drained", candidates=[drawn]))
    [row] = rows(database, CANDIDATE)
    assert (row.text, row.finish_reason, row.generated_tokens, row.attempt) == ("half a thought", "stop", 5, 2)


def test_a_replayed_ledger_row_is_refused_by_the_database(database: Database) -> None:
    [got] = claimed(database, add_job(database))
    row = {"job_id": got.job_id, "query_id": got.query_id, "attempt_id": got.attempt_id, **usage_row()}
    with database.transaction() as connection:
        connection.execute(insert(USAGE), [row])
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(insert(USAGE), [row])


def test_an_attempt_is_numbered_once(database: Database) -> None:
    shelf = add_job(database)
    for number in (1, 2, 3):
        [got] = claimed(database, shelf)
        assert got.attempt == number
        commit(database, Outcome(got, "retry"))
    with database.reading() as connection:
        assert connection.execute(select(ATTEMPT.c.number)).scalars().all() == [1, 2, 3]

"""The worker's one writer: groups, outages, and malformed results."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text

from models.database import Database
from models.transitions import CANDIDATE, JOB, QUERY, Outcome
from tests.builders import (
    LEASE,
    add_job,
    attempts,
    candidate_row,
    claim,
    claimed,
    count,
    force,
    query_of,
    ring,
    rows,
    states,
    usage,
    usage_row,
)
from worker import writer as writer_module
from worker.work import PROBLEM
from worker.writer import Writer


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    made = Writer(database, "w1", LEASE)
    yield made
    made.close()


@contextmanager
def held_up(database: Database) -> Iterator[None]:
    """Keep the writer's first transaction waiting, so that what follows piles up behind it."""
    go = threading.Event()

    def wait(connection: Connection) -> None:
        go.wait(10)

    event.listen(database.engine, "begin", wait)
    try:
        yield
    finally:
        go.set()


def results(futures: list[Future[Any]]) -> list[Any]:
    return [future.result(20) for future in futures]


def test_a_bell_brings_its_work(database: Database, writer: Writer) -> None:
    shelf = add_job(database, 2, cap_amount=100.0, cap_unit="tokens")
    ring(database, shelf)
    work = writer.claim((shelf.queries[0], 0, False)).result(20)
    assert work is not None
    assert (work.key, work.prompt, work.answer, work.subject) == ("k1", "1 + 1?", "2", None)
    assert (work.claim.query_id, work.claim.strategy, work.claim.budget_amount) == (
        shelf.queries[0],
        "majority_vote",
        4.0,
    )
    assert (work.context.template.name, work.context.sampling.temperature) == (
        "plain",
        0.7,
    )
    assert (work.candidates, work.own) == ((), frozenset())
    assert (query_of(database, shelf.queries[0]).worker_id, states(database, shelf)) == ("w1", ["running", "queued"])


def test_a_bell_that_is_not_for_us_brings_nothing(database: Database, writer: Writer) -> None:
    shelf = add_job(database, 3)
    ring(database, shelf)
    claim(database, shelf.queries[:1], "w2")
    assert writer.claim((shelf.queries[0], 0, False)).result(20) is None
    assert writer.claim((shelf.queries[1], 7, False)).result(20) is None
    assert writer.claim((999, 0, False)).result(20) is None
    assert states(database, shelf) == ["running", "queued", "queued"]


def test_the_same_bell_twice_in_a_group_is_claimed_once(database: Database, writer: Writer) -> None:
    shelf = add_job(database, 3)
    ring(database, shelf)
    with held_up(database):
        first = writer.claim((shelf.queries[0], 0, False))
        time.sleep(0.1)
        more = [writer.claim((query_id, 0, False)) for query_id in [*shelf.queries, *shelf.queries]]
    found = [work for work in results([first, *more]) if work is not None]
    assert sorted(work.claim.query_id for work in found) == shelf.queries
    assert len(attempts(database, shelf)) == 3


def test_what_waits_together_is_written_together(database: Database, writer: Writer) -> None:
    shelf = add_job(database, 50)
    claims = claimed(database, shelf)
    commits: list[int] = []
    event.listen(database.engine, "commit", lambda connection: commits.append(1))
    with held_up(database):
        futures = [writer.commit(Outcome(claims[0], "done"))]
        time.sleep(0.1)
        futures += [writer.commit(Outcome(got, "done")) for got in claims[1:]]
    assert results(futures) == [True] * 50
    assert len(commits) == 2


def test_each_result_is_stored_under_its_own_problem(database: Database, writer: Writer) -> None:
    """Claimed in one group and committed in another order: what was drawn for a prompt is found with that prompt."""
    shelf = add_job(database, 20)
    ring(database, shelf)
    shuffled = random.Random(7).sample(shelf.queries, 20)
    with held_up(database):
        claims = [writer.claim((query_id, 0, False)) for query_id in shuffled]
    works = results(claims)
    assert [work.claim.query_id for work in works] == shuffled
    with held_up(database):
        commits = [
            writer.commit(Outcome(work.claim, "done", answer=work.answer, candidates=[candidate_row(text=work.prompt)]))
            for work in sorted(works, key=lambda work: work.key)
        ]
    assert results(commits) == [True] * 20
    with database.reading() as connection:
        stored = connection.execute(
            select(PROBLEM.c.prompt, CANDIDATE.c.text, PROBLEM.c.answer, QUERY.c.answer)
            .join(QUERY, QUERY.c.problem_id == PROBLEM.c.id)
            .join(CANDIDATE, CANDIDATE.c.query_id == QUERY.c.id)
        ).all()
    assert len(stored) == 20
    assert all((prompt, right) == (text, answer) for prompt, text, right, answer in stored)


def test_of_a_group_only_the_lost_attempt_is_refused(database: Database, writer: Writer) -> None:
    shelf = add_job(database, 3)
    claims = claimed(database, shelf)
    force(database, QUERY, shelf.queries[1], state="pending")
    with held_up(database):
        futures = [writer.commit(Outcome(got, "done", candidates=[candidate_row()])) for got in claims]
    assert results(futures) == [True, False, True]
    assert count(database, "candidate") == 2


def test_a_result_that_cannot_be_stored_fails_alone_and_says_why(
    database: Database, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    shelf = add_job(database, 5)
    outcomes = [
        Outcome(got, "done", candidates=[candidate_row()], usage=[usage_row()]) for got in claimed(database, shelf)
    ]
    outcomes[1].candidates[0]["step_scores"] = [object()]  # not JSON: refused before the database sees it
    outcomes[2].candidates[0]["text"] = None  # refused by the database
    outcomes[3].usage.append(usage_row())  # the same row twice: the ledger itself is refused
    with held_up(database), caplog.at_level(logging.ERROR):
        futures = [writer.commit(outcome) for outcome in outcomes]
    assert results(futures) == [True] * 5
    assert states(database, shelf) == ["done", "failed", "failed", "failed", "done"]
    errors = [query_of(database, query_id).error for query_id in shelf.queries]
    assert [error is None for error in errors] == [True, False, False, False, True]
    assert all(error.startswith("its result cannot be stored: ") for error in errors[1:4])
    assert "JSON serializable" in errors[1]
    # What was used is booked wherever that is possible.
    assert sorted(row.query_id for row in usage(database, shelf)) == [shelf.queries[n] for n in (0, 1, 2, 4)]
    assert {row.query_id for row in rows(database, CANDIDATE)} == {shelf.queries[0], shelf.queries[4]}


def test_text_that_no_database_can_hold_does_not_cost_the_result(database: Database, writer: Writer) -> None:
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    bad = "so \0 and \ud800 so"
    outcome = Outcome(got, "done", answer=bad, candidates=[candidate_row(text=bad, answer=bad)])
    assert writer.commit(outcome).result(20) is True
    assert (states(database, shelf), query_of(database, got.query_id).answer) == (["done"], "so � and � so")


def test_a_commit_waits_for_a_database_that_is_away(
    database: Database, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The table is out of reach for a while: nothing is lost and nothing is written twice."""
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.05)
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    outage = Outage(database, 3)
    future = writer.commit(Outcome(got, "done", candidates=[candidate_row()], usage=[usage_row()]))
    assert future.result(20) is True
    assert outage.left == 0
    assert (states(database, shelf), len(usage(database, shelf)), count(database, "candidate")) == (["done"], 1, 1)


class Outage:
    """Cuts the connection in the middle of the next transactions: their server process ends, or their file is locked."""

    def __init__(self, database: Database, transactions: int) -> None:
        self.left = transactions
        self._database = database
        event.listen(database.engine, "before_cursor_execute", self._cut)

    def _cut(self, connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if not self.left or "candidate" not in statement or "INSERT" not in statement:
            return
        self.left -= 1
        if self._database.is_sqlite:
            raise sqlite3.OperationalError("database is locked")
        with self._database.engine.connect() as killer:
            pid = cursor.connection.info.backend_pid
            killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


def test_a_claim_that_fails_is_told_and_the_writer_goes_on(database: Database, writer: Writer) -> None:
    shelf = add_job(database, 2)
    ring(database, shelf)
    broken = add_job(database)
    ring(database, broken)
    force(database, JOB, broken.job_id, specification={"nonsense": 1})
    with pytest.raises(Exception, match="nonsense"):
        writer.claim((broken.queries[0], 0, False)).result(20)
    assert states(database, broken) == ["queued"]  # the claim is undone: the bell can be rung again
    assert writer.claim((shelf.queries[0], 0, False)).result(20) is not None


def test_who_gives_up_waiting_does_not_stop_the_writer(database: Database, writer: Writer) -> None:
    shelf = add_job(database, 2)
    first, second = claimed(database, shelf)
    with held_up(database):
        abandoned = writer.commit(Outcome(first, "done"))
        abandoned.cancel()
    assert writer.commit(Outcome(second, "done")).result(20) is True
    assert states(database, shelf) == ["done", "done"]


def test_closing_writes_what_waits(database: Database) -> None:
    writer = Writer(database, "w1", LEASE)
    shelf = add_job(database, 20)
    claims = claimed(database, shelf)
    with held_up(database):
        futures = [writer.commit(Outcome(got, "done")) for got in claims]
        closing = threading.Thread(target=writer.close)
        closing.start()
    closing.join(20)
    assert [future.done() and future.result() for future in futures] == [True] * 20

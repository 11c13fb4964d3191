"""Running totals: read incrementally, and yet what a sum over all rows would say."""

from __future__ import annotations

import itertools
from collections import Counter

from models import transitions
from models.database import Database
from models.tallies import SETTLE_SECONDS, Attempts, Jobs, Ledger, Paced
from models.transitions import JOB, Outcome
from tests.builders import LEASE, ManualClock, add_job, claim, claimed, commit, force, ring, usage_row, worker


class Watch:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def answer(database: Database, count: int = 1, **values: object) -> None:
    shelf = add_job(database, count)
    commit(database, *(Outcome(got, "done", usage=[usage_row(**values)]) for got in claimed(database, shelf)))


def test_the_ledger_is_summed_once_and_then_only_what_is_new(database: Database) -> None:
    watch = Watch()
    ledger = Ledger(database, watch)
    assert ledger.read() == Counter()
    for _ in range(4):
        answer(database, 3)
        watch.time += SETTLE_SECONDS / 2
        assert ledger.read() == Ledger(database).read()
    key = ("fast", "generate", "kept", False)
    found = ledger.read()
    assert (found[*key, "generated_tokens"], found[*key, "flops"], found[*key, "dollars"]) == (60, 1200, 3)
    assert found[*key, "unknown_flops"] == 0


def test_what_is_settled_is_not_read_again(database: Database) -> None:
    watch = Watch()
    ledger = Ledger(database, watch)
    answer(database)
    ledger.read()
    watch.time += SETTLE_SECONDS
    before = ledger.read()
    with database.transaction() as connection:
        connection.execute(transitions.USAGE.delete())
    assert ledger.read() == before


def test_a_row_that_is_committed_late_is_still_counted(database: Database) -> None:
    """On PostgreSQL a transaction may take an id and end after one with a higher id."""
    watch = Watch()
    ledger = Ledger(database, watch)
    answer(database, id=7)
    assert ledger.read()["fast", "generate", "kept", False, "calls"] == 1
    watch.time += SETTLE_SECONDS / 2
    answer(database, id=6)
    assert ledger.read()["fast", "generate", "kept", False, "calls"] == 2


def test_what_is_unknown_is_counted_and_adds_nothing(database: Database) -> None:
    answer(database, flops=None, dollars=None, cached_tokens=None)
    answer(database)
    found = Ledger(database).read()
    key = ("fast", "generate", "kept", False)
    assert (found[*key, "flops"], found[*key, "unknown_flops"]) == (100, 1)
    assert (found[*key, "unknown_dollars"], found[*key, "unknown_cached_tokens"]) == (1, 1)


def test_attempts_are_told_apart_by_how_they_ended(database: Database, clock: ManualClock) -> None:
    attempts = Attempts(database)
    assert attempts.read() == Counter()
    shelf = add_job(database, 5)
    worker(database)
    first, second, third, fourth, _ = claimed(database, shelf)
    commit(database, Outcome(first, "done"), Outcome(second, "failed", reason="too long"))
    commit(database, Outcome(third, "retry", reason="no connection"), Outcome(fourth, "drained"))
    expected = Counter({("fast", end): 1 for end in ("done", "failed", "retried", "drained")})
    assert attempts.read() == expected
    clock.advance(LEASE + SETTLE_SECONDS + 1)
    assert attempts.read() == expected
    with database.transaction() as connection:
        transitions.expire_leases(connection, clock.now(connection))
    clock.advance(SETTLE_SECONDS / 2)
    assert attempts.read() == expected + Counter({("fast", "lost"): 1})
    [again] = claim(database, ring(database, shelf, queries=[third.query_id]))
    commit(database, Outcome(again, "failed", reason="no connection"))
    for _ in range(3):
        clock.advance(SETTLE_SECONDS)
        found = attempts.read()
        assert (found["fast", "failed"], found["fast", "retried"], found["fast", "lost"]) == (2, 1, 1)
    assert found == Attempts(database).read()


def test_an_ended_job_is_counted_once(database: Database) -> None:
    jobs = Jobs(database)
    shelf = add_job(database, 3, cap_amount=100.0, cap_unit="samples")
    first, second, third = claimed(database, shelf, worst=4.0)
    commit(database, Outcome(first, "done", correct=True), Outcome(second, "done", correct=False))
    [tally] = jobs.read()
    assert (tally.queries, tally.graded, tally.right) == ({"done": 2, "running": 1}, 2, 1)
    assert (tally.cap_unit, tally.cap_amount, tally.reserved) == ("samples", 100.0, 4.0)
    commit(database, Outcome(third, "done", correct=None))
    with database.transaction() as connection:
        assert transitions.end_job(connection, shelf.job_id, "done", database.clock.now(connection), None)
    [tally] = jobs.read()
    assert (tally.queries, tally.graded, tally.has_ended) == ({"done": 3}, 2, True)
    force(database, transitions.QUERY, first.query_id, correct=None)
    assert jobs.read() == [tally]
    force(database, JOB, shelf.job_id, ended_at=None, state="open")  # opened again: it is looked at again
    assert jobs.read()[0].graded == 1


def test_a_slow_reading_is_repeated_seldom() -> None:
    watch, numbers = Watch(), itertools.count(1)

    def slow() -> int:
        watch.time += 2.0
        return next(numbers)

    paced = Paced(slow, watch)
    assert [paced.get(), paced.get()] == [1, 1]
    watch.time += 39.0
    assert paced.get() == 1
    watch.time += 1.0
    assert paced.get() == 2


def test_a_quick_reading_is_kept_for_five_seconds() -> None:
    watch, numbers = Watch(), itertools.count(1)
    paced = Paced(lambda: next(numbers), watch)
    assert paced.get() == 1
    watch.time = 4.9
    assert paced.get() == 1
    watch.time = 5.0
    assert paced.get() == 2

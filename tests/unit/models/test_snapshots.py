"""Large jobs are seen at once: counts of now, sums of a while ago."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from models import reports, snapshots
from models.database import Database
from models.transitions import QUERY, Claim, Outcome, cancel_job
from tests.builders import ManualClock, Shelf, add_job, candidate_row, claimed, commit, usage_row


@pytest.fixture
def shelf(database: Database, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A job that counts as large."""
    monkeypatch.setattr(snapshots, "LARGE", 3)
    return add_job(database, 4)


@pytest.fixture
def claims(database: Database, shelf: Shelf) -> list[Claim]:
    """Three of its four queries, at work; the first is answered."""
    first, *others = claimed(database, shelf)
    answer(database, first)
    return others


def answer(database: Database, claim: Any) -> None:
    drawn = [candidate_row("0")]
    commit(database, Outcome(claim, "done", answer="2", correct=True, candidates=drawn, usage=[usage_row()]))


def seen(database: Database, job_id: int) -> dict[str, Any]:
    with database.reading() as connection:
        (row,) = snapshots.summaries(connection, [job_id])
    return row


def exact(database: Database, job_id: int) -> dict[str, Any]:
    with database.reading() as connection:
        (row,) = reports.job_summaries(connection, [job_id])
    return row


def test_a_small_job_is_added_up_now(database: Database) -> None:
    shelf = add_job(database, 4)
    answer(database, claimed(database, shelf)[0])
    assert snapshots.take(database, {}) is None
    assert seen(database, shelf.job_id) == {**exact(database, shelf.job_id), "as_of": None}


@pytest.mark.usefixtures("claims")
def test_so_is_a_large_one_until_its_sums_are_taken(database: Database, shelf: Shelf) -> None:
    assert seen(database, shelf.job_id)["as_of"] is None
    assert snapshots.take(database, {}) == shelf.job_id
    row = seen(database, shelf.job_id)
    assert row.pop("as_of") is not None
    assert row == exact(database, shelf.job_id)
    with database.reading() as connection:
        assert snapshots.spending(connection, shelf.job_id) == reports.spending(connection, shelf.job_id)


def test_states_are_of_now_and_sums_of_a_while_ago(
    database: Database, clock: ManualClock, shelf: Shelf, claims: list[Claim]
) -> None:
    snapshots.take(database, {})
    answer(database, claims[0])
    assert {name: seen(database, shelf.job_id)[name] for name in ("done", "graded")} == {"done": 2, "graded": 1}
    assert snapshots.take(database, {}) is None, "it is too early"
    clock.advance(snapshots.MOST_OFTEN_SECONDS)
    assert snapshots.take(database, {}) == shelf.job_id
    assert seen(database, shelf.job_id)["graded"] == 2


@pytest.mark.parametrize("told", [True, False])
def test_what_was_done_a_while_before_counts_with_what_was_done_since(
    database: Database, clock: ManualClock, shelf: Shelf, claims: list[Claim], told: bool
) -> None:
    """Imported answers have no time."""
    if not told:
        with database.transaction() as connection:
            connection.execute(update(QUERY).where(QUERY.c.state == "done").values(ended_at=None))
    clock.advance(2 * snapshots.LONGEST_COMMIT_SECONDS)
    snapshots.take(database, {})
    clock.advance(1)
    answer(database, claims[0])
    row, now = seen(database, shelf.job_id), exact(database, shelf.job_id)
    assert row["done"] == 2
    assert {state: row[state] for state in snapshots.STATES} == {state: now[state] for state in snapshots.STATES}


def test_a_job_that_ended_is_added_up_once_more_and_then_never(
    database: Database, clock: ManualClock, shelf: Shelf, claims: list[Claim]
) -> None:
    for one in claims:
        answer(database, one)
    snapshots.take(database, {})
    with database.transaction() as connection:
        cancel_job(connection, shelf.job_id, clock.now(connection))
    assert snapshots.take(database, {}) == shelf.job_id
    assert seen(database, shelf.job_id)["state"] == "cancelled"
    clock.advance(3600)
    assert snapshots.take(database, {}) is None


def test_the_sums_take_no_more_than_their_share_of_the_time(
    database: Database, clock: ManualClock, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter((0.0, 2.0, 10.0, 12.0))
    monkeypatch.setattr("models.snapshots.time.monotonic", lambda: next(moments))
    snapshots.take(database, {})
    clock.advance(2.0 / snapshots.SHARE - 1)
    assert snapshots.take(database, {}) is None
    clock.advance(1)
    assert snapshots.take(database, {}) == shelf.job_id

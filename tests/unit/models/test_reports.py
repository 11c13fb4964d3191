"""What reports are made of: finding jobs, and the numbers behind `jobs`, `status` and `report`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import bindparam, text

from models import reports, transitions
from models.database import Database
from models.errors import UserError
from models.statistics import wilson
from models.transitions import Outcome
from models.views import of_some_jobs
from tests.builders import (
    LEASE,
    ManualClock,
    Shelf,
    add_job,
    beat,
    candidate_row,
    claim,
    claimed,
    commit,
    lost_usage,
    ring,
    usage_row,
)


def find(database: Database, wanted: str) -> int:
    with database.reading() as connection:
        return reports.find_job(connection, wanted)


def test_a_job_is_found_by_number_by_name_and_as_the_last(database: Database) -> None:
    first, second = add_job(database, name="sums"), add_job(database, name="42nd street")
    assert find(database, str(first.job_id)) == find(database, "sums") == first.job_id
    assert find(database, "42nd street") == find(database, "last") == second.job_id


def test_a_job_that_is_not_there_is_a_sentence(database: Database) -> None:
    with pytest.raises(UserError, match="there is no job yet; make one with `tts-jobs submit FILE`"):
        find(database, "last")
    for wanted in ("7", "sums", "99999999999999999999999", "\udcff", "-1", "²"):
        with pytest.raises(UserError, match="`tts-jobs jobs` lists them"):
            find(database, wanted)


def test_a_name_that_several_jobs_have_is_refused_with_their_numbers(database: Database) -> None:
    shelves = [add_job(database, name="sums") for _ in range(2)]
    with pytest.raises(UserError, match=f"{shelves[0].job_id}, {shelves[1].job_id}; name one by its number"):
        find(database, "sums")


@pytest.fixture
def answered(database: Database) -> Shelf:
    """Four queries: two right, one wrong, one failed."""
    shelf = add_job(database, 4)
    claims = claimed(database, shelf)
    for got, correct in zip(claims, (True, True, False), strict=False):
        drawn = [candidate_row("0"), candidate_row("1", finish_reason="length", answer=None)]
        commit(
            database,
            Outcome(
                got,
                "done",
                answer="2",
                correct=correct,
                votes=1,
                voters=2 - correct,
                score=0.25 + correct / 2,
                candidates=drawn,
                usage=[usage_row(calls=2)],
            ),
        )
    commit(database, Outcome(claims[3], "failed", reason="the prompt is too long"))
    return shelf


@pytest.mark.parametrize("view", ["job_summary", "cost_accuracy"])
def test_a_named_job_is_read_without_the_others(database: Database, answered: Shelf, view: str) -> None:
    add_job(database, 3)
    read = reports.job_summaries if view == "job_summary" else reports.cost_accuracy
    with database.reading() as connection:
        everything = read(connection)
        (one,) = read(connection, [answered.job_id])
        assert one in everything
        assert len(everything) == 2
        if database.is_sqlite:
            plan = connection.execute(
                text(f"EXPLAIN QUERY PLAN {of_some_jobs(view)}").bindparams(
                    bindparam("ids", [answered.job_id], expanding=True)
                )
            ).all()
            assert not [row.detail for row in plan if re.match(r"SCAN (query|candidate|u)\b", row.detail)]


def test_accuracy_comes_with_its_interval_and_rates(database: Database, answered: Shelf) -> None:
    add_job(database)
    with database.reading() as connection:
        rows = reports.cost_accuracy(connection)
        assert [row["job_id"] for row in reports.cost_accuracy(connection, [answered.job_id])] == [answered.job_id]
        assert reports.cost_accuracy(connection, []) == []
    found, untouched = rows
    assert found["accuracy"] == 2 / 3
    assert (found["accuracy_low"], found["accuracy_high"]) == wilson(2, 3)
    assert (found["truncated_rate"], found["unparsed_rate"]) == (0.5, 0.5)
    assert (found["answered"], found["vote_share"]) == (3, pytest.approx((1 + 1 + 1 / 2) / 3))
    assert found["score"] == pytest.approx((0.75 + 0.75 + 0.25) / 3)
    assert (untouched["answered"], untouched["vote_share"], untouched["score"]) == (0, None, None)
    assert (untouched["accuracy"], untouched["accuracy_low"], untouched["truncated_rate"]) == (None, None, None)


def test_numbers_and_moments_are_of_the_same_kind_on_both_databases(database: Database, answered: Shelf) -> None:
    with database.reading() as connection:
        [summary] = reports.job_summaries(connection)
        [row] = reports.cost_accuracy(connection)
        spending = reports.spending(connection, answered.job_id)
    kinds = {type(value) for values in (summary, row, spending) for value in values.values()}
    assert kinds <= {int, float, str, bool, type(None), datetime}
    assert Decimal not in kinds
    assert summary["oracle"] is False
    assert summary["created_at"].tzinfo == UTC
    assert spending == {"generated_tokens": 15, "flops": 270.0, "gpu_seconds": 1.5, "dollars": 0.75}


def test_the_commonest_failures_come_first(database: Database) -> None:
    shelf = add_job(database, 6)
    for got, reason in zip(claimed(database, shelf), "abbccc", strict=True):
        commit(database, Outcome(got, "failed", reason=reason))
    with database.reading() as connection:
        assert reports.failures(connection, shelf.job_id, limit=2) == [
            {"error": "c", "queries": 3},
            {"error": "b", "queries": 2},
        ]


def test_health_tells_what_stands_in_the_way(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database, 3)
    suspect, retrying, _ = claim(database, ring(database, shelf))
    beat(database, "w1", {suspect.attempt_id: [lost_usage()]})
    commit(database, Outcome(retrying, "retry", reason="busy", retry_after=1000.0))
    clock.advance(LEASE + 1)
    with database.transaction() as connection:
        transitions.expire_leases(connection, clock.time)
    with database.reading() as connection:
        assert reports.health(connection, shelf.job_id, clock.time) == {
            "suspects": 2, "quarantined": 0, "retrying": 1, "lost_attempts": 2, "wasted_tokens": 15,
            "wasted_at_least": True, "deadline": None,
        }  # fmt: skip


@pytest.mark.parametrize("unit", ["samples", "tokens", "flops", "usd"])
def test_what_is_spent_in_another_unit_is_what_the_cap_would_have_charged(database: Database, unit: str) -> None:
    shelf = add_job(database, 2)
    booked: list[dict[str, Any]] = []
    for got in claimed(database, shelf):
        mine = [usage_row(), usage_row(phase="score", scored_tokens=9, dollars=None), usage_row(reused=True, calls=5)]
        commit(database, Outcome(got, "done", usage=mine))
        booked += mine
    with database.reading() as connection:
        spent = reports.spent_in(connection, shelf.job_id, unit)
    assert spent == sum(transitions.charged(row, unit) for row in booked)


def test_pages_hold_every_query_and_candidate_once(
    database: Database, answered: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(reports, "PAGE", 2)
    queries: list[dict[str, Any]] = []
    candidates: list[dict[str, Any]] = []
    last = answered.queries[-1]
    with database.reading() as connection:
        while page := reports.query_page(connection, answered.job_id, queries[-1]["id"] if queries else 0, last):
            queries += page
        after = (0, "")
        while page := reports.candidate_page(connection, answered.job_id, after, last):
            candidates += page
            after = (page[-1]["query_id"], page[-1]["path"])
    assert [row["id"] for row in queries] == answered.queries
    first = queries[0]
    assert (first["key"], first["answer"], first["state"], first["tokens"]) == ("k1", "2", "done", 15)
    assert [(row["query_id"], row["path"]) for row in candidates] == [
        (query_id, path) for query_id in answered.queries[:3] for path in ("0", "1")
    ]

"""The views agree with sums done in Python, on both databases."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text

from models import reports, transitions
from models.account import accounts
from models.database import Database
from models.transitions import CANDIDATE, QUERY, Outcome
from tests.builders import (
    LEASE,
    ManualClock,
    Shelf,
    add_dataset,
    add_job,
    beat,
    candidate_row,
    claimed,
    commit,
    job_of,
    lost_usage,
    rows,
    usage,
    usage_row,
)


@pytest.fixture
def history(database: Database, clock: ManualClock) -> list[Shelf]:
    """Two jobs on one dataset with everything that can happen to a query, and one that has not begun."""
    chance = random.Random(7)
    with database.transaction() as connection:
        dataset = add_dataset(connection, 12)
    shelves = [add_job(database, 12, dataset=dataset, cap_amount=500.0, cap_unit="samples") for _ in range(2)]
    for shelf in shelves:
        for round_ in range(3):
            for got in claimed(database, shelf, worst=4.0):
                state: Any = chance.choice(["done", "done", "failed", "drained", "lost"])
                numbers = {
                    name: chance.randint(1, 99) for name in ("prompt_tokens", "generated_tokens", "scored_tokens")
                }
                row = usage_row(**numbers, calls=3, gpu_seconds=chance.random(), dollars=chance.random())
                if state == "lost":
                    beat(database, "w1", {got.attempt_id: [{**row, "disposition": "wasted", "at_least": True}]})
                    continue
                more = [
                    usage_row(reused=True, generated_tokens=chance.randint(1, 99)),
                    usage_row(phase="score", model="prm"),
                ]
                drawn = [
                    candidate_row(
                        f"{round_}.{n}", finish_reason=chance.choice(["stop", "length", "clipped"]),
                        answer=chance.choice([None, "2"]), reused_from=chance.choice([None, 5]),
                    )
                    for n in range(3)
                ]  # fmt: skip
                commit(
                    database,
                    Outcome(
                        got, state, correct=chance.choice([True, False, None]) if state == "done" else None,
                        sequential_tokens=chance.randint(1, 50), candidates=drawn, usage=[row, *more], reason="too long",
                    ),
                )  # fmt: skip
            clock.advance(LEASE + 1)
            with database.transaction() as connection:
                transitions.expire_leases(connection, clock.time)
    shelves.append(add_job(database, 2, dataset=dataset, name="untouched"))
    return shelves


def view(database: Database, name: str, job_id: int) -> list[Any]:
    with database.reading() as connection:
        found = connection.execute(text(f"SELECT * FROM {name} WHERE job_id = :job ORDER BY 1"), {"job": job_id})
        return list(found)


def spent(rows_: list[Any], name: str) -> float:
    return sum(getattr(row, name) for row in rows_ if not row.reused)


def check_costs(found: Any, booked: list[Any]) -> None:
    """The columns that `query_cost` and `cost_accuracy` have in common."""
    for name in ("prompt_tokens", "cached_tokens", "generated_tokens", "scored_tokens"):
        assert getattr(found, name) == sum(getattr(row, name) for row in booked)
    total = sum(row.canonical_prompt_tokens + row.generated_tokens + row.scored_tokens for row in booked)
    assert found.total_tokens == total
    assert found.reused_tokens == sum(row.generated_tokens for row in booked if row.reused)
    assert found.wasted_tokens == sum(row.generated_tokens for row in booked if row.disposition == "wasted")
    assert found.flops == spent(booked, "flops")
    assert found.flops_canonical == sum(row.flops_canonical for row in booked if row.disposition != "wasted")
    assert found.flops_2nd == sum(row.flops_2nd for row in booked)
    assert float(found.gpu_seconds) == pytest.approx(sum(row.gpu_seconds for row in booked))
    assert float(found.spent_gpu_seconds) == pytest.approx(spent(booked, "gpu_seconds"))
    assert float(found.dollars) == pytest.approx(sum(row.dollars for row in booked))
    assert float(found.spent_dollars) == pytest.approx(spent(booked, "dollars"))


def test_query_cost_is_the_sum_of_its_rows(database: Database, history: list[Shelf]) -> None:
    for shelf in history[:2]:
        ledger = usage(database, shelf)
        candidates = Counter(row.query_id for row in rows(database, CANDIDATE))
        for found in view(database, "query_cost", shelf.job_id):
            booked = [row for row in ledger if row.query_id == found.query_id]
            assert found.samples == candidates[found.query_id]
            assert found.calls == spent(booked, "calls")
            if booked:
                check_costs(found, booked)
    assert {row.disposition for row in ledger} == {"kept", "wasted"}


def test_cost_accuracy_is_the_sum_of_its_queries(database: Database, history: list[Shelf]) -> None:
    for shelf in history[:2]:
        [found] = view(database, "cost_accuracy", shelf.job_id)
        check_costs(found, usage(database, shelf))
        candidates = rows(database, CANDIDATE, CANDIDATE.c.job_id == shelf.job_id)
        queries = rows(database, QUERY, QUERY.c.job_id == shelf.job_id)
        graded = [row.correct for row in queries if row.state == "done" and row.correct is not None]
        assert (found.correct, found.graded) == (sum(graded), len(graded))
        assert found.accuracy == sum(graded) / len(graded)
        assert isinstance(found.accuracy, float)
        assert found.samples == len(candidates)
        assert found.truncated == sum(row.finish_reason in ("length", "clipped") for row in candidates)
        assert found.unparsed == sum(row.answer is None for row in candidates)
        assert found.reused_samples == sum(row.reused_from is not None for row in candidates)
        assert found.sequential_tokens == sum(row.sequential_tokens for row in queries)


def test_an_account_says_what_the_view_says(database: Database, history: list[Shelf]) -> None:
    shelves = [shelf.job_id for shelf in history]
    with database.reading() as connection:
        viewed = reports.cost_accuracy(connection, shelves)
        found = accounts(connection, shelves)
    for seen, row in zip(viewed, found, strict=True):
        shared = seen.keys() & row.keys()
        assert seen.keys() - shared == set()
        begun = {name: seen[name] for name in shared if seen[name] is not None or seen["samples"]}
        assert {name: row[name] for name in begun} == pytest.approx(begun)


def test_job_summary_counts_the_states(database: Database, history: list[Shelf]) -> None:
    for shelf in history:
        [found] = view(database, "job_summary", shelf.job_id)
        counted = Counter(row.state for row in rows(database, QUERY, QUERY.c.job_id == shelf.job_id))
        assert {
            state: getattr(found, state) for state in ("pending", "queued", "running", "done", "failed", "cancelled")
        } == {**dict.fromkeys(("pending", "queued", "running", "done", "failed", "cancelled"), 0), **counted}
        job = job_of(database, shelf.job_id)
        assert (found.name, found.dataset, found.queries) == (job.name, "sums", len(shelf.queries))
        assert (found.spent, found.reserved, found.cap_amount) == (job.spent, job.reserved, job.cap_amount)


def test_a_job_that_has_used_nothing_has_nothing_to_show(database: Database, history: list[Shelf]) -> None:
    [found] = view(database, "cost_accuracy", history[2].job_id)
    assert (found.done, found.accuracy, found.samples, found.total_tokens, found.dollars) == (0, None, None, None, None)
    assert [row.total_tokens for row in view(database, "query_cost", history[2].job_id)] == [0, 0]


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        ("cached_tokens", "cached_tokens"),
        ("flops", "flops"),
        ("flops_canonical", "flops_canonical"),
        ("flops_2nd", "flops_2nd"),
    ],
)
def test_a_sum_with_something_unknown_is_unknown(database: Database, column: str, shown: str) -> None:
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    rows_ = [usage_row(), usage_row(phase="score", **{column: None})]
    commit(database, Outcome(got, "done", usage=rows_))
    for name in ("query_cost", "cost_accuracy"):
        [found] = view(database, name, shelf.job_id)
        assert getattr(found, shown) is None
        assert found.generated_tokens == 10


def test_a_lost_attempt_is_wasted_and_left_out_of_the_comparison(database: Database, clock: ManualClock) -> None:
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    beat(database, "w1", {got.attempt_id: [lost_usage()]})
    clock.advance(LEASE + 1)
    with database.transaction() as connection:
        transitions.expire_leases(connection, clock.time)
    [again] = claimed(database, shelf)
    commit(database, Outcome(again, "done", usage=[usage_row()]))
    [found] = view(database, "cost_accuracy", shelf.job_id)
    assert (found.flops, found.flops_canonical, found.wasted_tokens, found.generated_tokens) == (200, 90, 5, 10)


@pytest.mark.parametrize(
    ("unknown", "columns"),
    [
        ("prompt_tokens", {"prompt_tokens"}),
        ("canonical_prompt_tokens", {"total_tokens"}),
        ("generated_tokens", {"generated_tokens", "total_tokens"}),
        ("scored_tokens", {"scored_tokens", "total_tokens"}),
        ("gpu_seconds", {"gpu_seconds", "spent_gpu_seconds"}),
    ],
)
@pytest.mark.parametrize("name", ["query_cost", "cost_accuracy"])
def test_a_sum_is_unknown_as_soon_as_a_part_of_it_is(
    database: Database, name: str, unknown: str, columns: set[str]
) -> None:
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    booked = [usage_row(), usage_row(phase="score", model="prm", **{unknown: None})]
    commit(database, Outcome(got, "done", candidates=[candidate_row()], usage=booked))
    [found] = view(database, name, shelf.job_id)
    costs = {"prompt_tokens", "generated_tokens", "scored_tokens", "total_tokens", "gpu_seconds", "spent_gpu_seconds", "reused_tokens", "wasted_tokens"}  # fmt: skip
    assert {column for column in costs if getattr(found, column) is None} == columns
    assert (found.reused_tokens, found.wasted_tokens) == (0, 0)

"""docs/database.md is what the schema makes it, and its examples give what they promise, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, text, update

from docs.make_database import PAGE, examples, render, undescribed, view_columns_of_schema
from models import columns, tables, transitions, view_columns
from models.columns import Column
from models.database import Database
from models.statistics import pass_at_k, wilson
from models.transitions import JOB, QUERY, Outcome, table
from tests.builders import (
    LEASE,
    PROBLEM,
    ManualClock,
    add_dataset,
    add_job,
    beat,
    candidate_row,
    claim,
    claimed,
    commit,
    force,
    lost_usage,
    ring,
    usage_row,
    worker,
)


def test_the_page_is_what_the_schema_makes_it() -> None:
    assert PAGE.read_text("utf-8") == render(), "run `python -m docs.make_database`"


def test_every_column_is_described_and_no_other() -> None:
    assert undescribed(view_columns_of_schema()) == []


def test_a_column_that_nobody_described_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    described = dict(columns.TABLES["job"])
    del described["spent"]
    monkeypatch.setitem(columns.TABLES, "job", described)
    monkeypatch.setitem(view_columns.VIEWS["job_summary"], "colour", Column("no such column"))
    said = [
        "models/columns.py: TABLES does not describe job.spent",
        "models/view_columns.py: VIEWS describes job_summary.colour, which is not there",
    ]
    assert undescribed(view_columns_of_schema()) == said
    with pytest.raises(ValueError, match=r"TABLES does not describe job\.spent"):
        render()


def test_no_description_breaks_the_page_table() -> None:
    every = [
        one for place in (columns.TABLES, view_columns.VIEWS) for found in place.values() for one in found.values()
    ]
    assert [one for one in every if not one.meaning.strip() or set("|\n") & set(one.meaning + one.unit)] == []


def run(database: Database, name: str) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(text(examples()[name][1])))


def plain(row: Any, *names: str) -> tuple[Any, ...]:
    """These columns with numbers as PostgreSQL and SQLite both have them."""
    values = [getattr(row, name) for name in names]
    return tuple(value if isinstance(value, str | bool) or value is None else float(value) for value in values)


DRAWN = {
    "k1": [(0, True), (0, True), (1, False), (0, True)],
    "k2": [(0, False), (1, True), (1, True), (1, True)],
    "k3": [(0, False), (0, False), (1, True), (-1, False)],
    "k4": [(0, False), (1, False), (2, False), (3, False)],
}
"""What the vote drew for each problem: answer class and whether it is right."""


@pytest.fixture
def jobs(database: Database, clock: ManualClock) -> tuple[int, int, int]:
    """Greedy decoding and a vote of four on the same four problems, and a job that has just been begun.

    Greedy is right about k1 alone, the vote about k1 and k2. A worker was lost on its way to the vote on k1, and the
    vote's sample on k4 is another job's. Every query takes a second longer than the one before.
    """
    worker(database)
    with database.transaction() as connection:
        dataset = add_dataset(connection, 4)
        for key, subject, level in (
            ("k1", "sums", "1"),
            ("k2", "sums", "2"),
            ("k3", "products", "2"),
            ("k4", None, "2"),
        ):
            connection.execute(update(PROBLEM).where(PROBLEM.c.key == key).values(subject=subject, level=level))
    greedy = add_job(database, 4, dataset=dataset, strategy="greedy")
    voted = add_job(database, 4, dataset=dataset, strategy="majority_vote")
    for seconds, (key, query_id) in enumerate(zip(DRAWN, greedy.queries, strict=True), 1):
        (got,) = claim(database, ring(database, greedy, queries=[query_id]))
        clock.advance(seconds)
        right = key == "k1"
        drawn = candidate_row("greedy", answer="2" if right else "7", correct=right)
        result = Outcome(got, "done", answer=drawn["answer"], correct=right, votes=1, voters=1, sequential_tokens=5)
        result.candidates, result.usage = [drawn], [usage_row()]
        commit(database, result)
    (lost,) = claim(database, ring(database, voted, queries=voted.queries[:1]))
    beat(database, "w1", {lost.attempt_id: [lost_usage(generated_tokens=3, canonical_prompt_tokens=0, dollars=0.5)]})
    clock.advance(LEASE + 1)
    with database.transaction() as connection:
        transitions.expire_leases(connection, clock.time)
    for seconds, (key, query_id) in enumerate(zip(DRAWN, voted.queries, strict=True), 1):
        (got,) = claim(database, ring(database, voted, queries=[query_id]), alone=key == "k1")
        clock.advance(seconds)
        drawn_here = [
            candidate_row(str(n), answer=None if kind < 0 else str(kind), answer_class=kind, correct=right)
            for n, (kind, right) in enumerate(DRAWN[key])
        ]
        won = {"k1": 0, "k2": 1, "k3": 0, "k4": 0}[key]
        voters = [kind for kind, _ in DRAWN[key] if kind >= 0]
        result = Outcome(got, "done", answer=str(won), correct=key in ("k1", "k2"), candidates=drawn_here)
        result.votes, result.voters, result.sequential_tokens = voters.count(won), len(voters), 5 * seconds
        result.usage = [usage_row(calls=4, generated_tokens=20, dollars=1.0, reused=key == "k4")]
        commit(database, result)
        force(database, QUERY, query_id, bin=0 if key in ("k1", "k2") else 1)
    for shelf in (greedy, voted):
        force(database, JOB, shelf.job_id, state="done")
    unfinished = add_job(database, 4, dataset=dataset)
    claimed(database, unfinished)
    return greedy.job_id, voted.job_id, unfinished.job_id


def test_there_are_examples_and_each_says_what_it_is_for() -> None:
    found = examples()
    assert len(found) == 11
    assert all(said and statement.endswith(";") for said, statement in found.values())


def test_the_example_of_cost_and_accuracy(database: Database, jobs: tuple[int, int, int]) -> None:
    first, second = run(database, "cost-and-accuracy")
    assert plain(first, "strategy", "percent", "tokens", "sequential_tokens", "flops", "dollars") == (
        "greedy", 25.0, 15.0, 5.0, 90.0, 0.25,
    )  # fmt: skip
    assert plain(second, "strategy", "graded", "percent") == ("majority_vote", 4, 50.0)
    # The lost attempt's three tokens and half a dollar are in it, its FLOPs are not.
    assert plain(second, "tokens", "sequential_tokens", "flops", "dollars") == (30.75, 12.5, 90.0, 1.125)
    low, high = wilson(2, 4)
    assert plain(second, "low", "high") == (round(100 * low, 1), round(100 * high, 1))


def test_the_example_of_a_replayed_vote(database: Database, jobs: tuple[int, int, int]) -> None:
    names = ("samples", "graded", "answered", "correct", "percent", "generated_tokens")
    # Of two equal votes the earlier wins: k2 is wrong until its third sample.
    assert [plain(row, *names) for row in run(database, "votes-at-every-n")] == [
        (1, 4, 4, 1, 25.0, 5.0), (2, 4, 4, 1, 25.0, 10.0), (3, 4, 4, 2, 50.0, 15.0), (4, 4, 4, 2, 50.0, 20.0),
    ]  # fmt: skip


def test_the_example_of_pass_at_k(database: Database, jobs: tuple[int, int, int]) -> None:
    expected = [
        (k, 4.0, pytest.approx(25 * sum(pass_at_k(4, hits, k) for hits in (3, 3, 1, 0)), abs=0.05)) for k in range(1, 5)
    ]
    assert [plain(row, "k", "graded", "pass_percent") for row in run(database, "pass-at-k")] == expected
    assert expected[3][2] == 75.0


def test_the_example_of_the_price_of_a_right_answer(database: Database, jobs: tuple[int, int, int]) -> None:
    (row,) = run(database, "price-of-a-right-answer")
    assert plain(row, "dataset", "name", "against", "problems", "more_right") == ("sums", "job 2", "job 1", 4, 1)
    assert plain(row, "tokens_each", "flops_each", "dollars_each") == (63.0, 0.0, 3.5)


def test_what_is_unknown_has_no_price(database: Database, jobs: tuple[int, int, int]) -> None:
    with database.transaction() as connection:
        usage = table(tables.Usage)
        connection.execute(update(usage).where(usage.c.job_id == jobs[0]).values(flops_canonical=None, dollars=None))
    (row,) = run(database, "price-of-a-right-answer")
    assert plain(row, "more_right", "tokens_each", "flops_each", "dollars_each") == (1, 63.0, None, None)


def test_the_example_of_where_it_is_right(database: Database, jobs: tuple[int, int, int]) -> None:
    found = run(database, "where-it-is-right")
    # k1 has three tokens more, those of the lost attempt; k4 has no subject.
    assert [plain(row, "kind", "value", "graded", "percent", "tokens") for row in found] == [
        ("bin", "0", 2, 100.0, 31.5), ("bin", "1", 2, 0.0, 30.0),
        ("level", "1", 1, 100.0, 33.0), ("level", "2", 3, 33.3, 30.0),
        ("subject", "products", 1, 0.0, 30.0), ("subject", "sums", 2, 100.0, 31.5),
    ]  # fmt: skip
    low, high = wilson(1, 3)
    assert plain(found[3], "low", "high") == (round(100 * low, 1), round(100 * high, 1))


def test_the_example_of_two_jobs_paired(database: Database, jobs: tuple[int, int, int]) -> None:
    names = ("a", "b", "problems", "both_right", "only_a", "only_b", "either_percent")
    assert [plain(row, *names) for row in run(database, "two-jobs-paired")] == [(jobs[0], jobs[1], 4, 1, 0, 1, 50.0)]


def test_the_example_of_disagreement(database: Database, jobs: tuple[int, int, int]) -> None:
    greedy, voted, _ = jobs
    assert [tuple(row) for row in run(database, "disagreement")] == [("k2", voted, greedy, "7", "3", 3, 1)]


def test_the_example_of_selection_efficiency(database: Database, jobs: tuple[int, int, int]) -> None:
    names = ("strategy", "graded", "samples", "pass_at_1", "percent", "pass_at_n", "selection_efficiency")
    # One sample leaves nothing to choose: unknown, not 0. The vote: (1/2 - 7/16) / (3/4 - 7/16).
    assert [plain(row, *names) for row in run(database, "selection-efficiency")] == [
        ("greedy", 4, 1, 25.0, 25.0, 25.0, None), ("majority_vote", 4, 4, pytest.approx(43.75, abs=0.051), 50.0, 75.0, 0.2),
    ]  # fmt: skip


def test_the_example_of_where_the_tokens_went(database: Database, jobs: tuple[int, int, int]) -> None:
    names = ("job_id", "phase", "disposition", "reused", "calls", "tokens", "percent", "dollars", "at_least")
    greedy, voted, _ = jobs
    assert [plain(row, *names) for row in run(database, "where-the-tokens-went")] == [
        (greedy, "generate", "kept", False, 4, 60, 100.0, 1.0, 0),
        (voted, "generate", "kept", False, 12, 90, 73.2, 3.0, 0),
        (voted, "generate", "kept", True, 4, 30, 24.4, 1.0, 0),
        (voted, "generate", "wasted", False, 1, 3, 2.4, 0.5, 1),
    ]


def test_an_unknown_part_leaves_the_sum_unknown(database: Database, jobs: tuple[int, int, int]) -> None:
    with database.transaction() as connection:
        usage = table(tables.Usage)
        connection.execute(insert(usage), [{**usage_row(flops=None, dollars=None), "job_id": jobs[0]}])
    first = run(database, "where-the-tokens-went")[0]
    assert plain(first, "job_id", "tokens", "flops", "dollars") == (jobs[0], 75, None, None)


def test_the_example_of_latency(database: Database, jobs: tuple[int, int, int]) -> None:
    greedy, voted, _ = jobs
    names = ("job_id", "queries", "seconds_50", "seconds_90", "seconds_99", "chain_50", "chain_99")
    # k1 of the vote began with the attempt that was lost.
    assert [plain(row, *names) for row in run(database, "latency")] == [
        (greedy, 4, 2.0, 4.0, 4.0, 5, 5), (voted, 4, 3.0, LEASE + 2, LEASE + 2, 10, 20),
    ]  # fmt: skip


def test_the_example_of_workers(database: Database, jobs: tuple[int, int, int]) -> None:
    with database.transaction() as connection:
        seen = table(tables.Worker)
        connection.execute(update(seen).values(busy_seconds=30.0, idle_seconds=10.0, in_flight=4))
    (row,) = run(database, "workers")
    assert plain(row, "id", "generator", "slots", "in_flight", "busy_percent") == ("w1", "fast", 8, 4, 75.0)
    assert row.oldest is not None

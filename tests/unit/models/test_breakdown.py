"""All that a job got and cost, whole and in groups, by hand and on both databases."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from models import heartbeats
from models.breakdown import breakdown, idle_seconds
from models.database import Database
from models.reports import PROBLEM
from models.statistics import wilson
from models.transitions import CANDIDATE, JOB, QUERY, USAGE, Outcome
from tests.builders import (
    ManualClock,
    Shelf,
    add_job,
    candidate_row,
    claimed,
    commit,
    force,
    query_of,
    rows,
    usage_row,
    worker,
)


def samples(*right: bool | None) -> list[dict[str, Any]]:
    """A query's samples; None is one that was cut and has no answer."""
    return [
        candidate_row(str(n), correct=bool(one))
        if one is not None
        else candidate_row(str(n), correct=False, answer=None, finish_reason="length")
        for n, one in enumerate(right)
    ]


@pytest.fixture
def shelf(database: Database, clock: ManualClock) -> Shelf:
    """Four queries of levels 10, 2, 2 and none: right, wrong, right and failed, after 1, 2, 4 and 8 s."""
    shelf = add_job(database, 4)
    for query_id, level in zip(shelf.queries, ("10", "2", "2", None), strict=True):
        force(database, PROBLEM, query_of(database, query_id).problem_id, level=level)
    first, second, third, fourth = claimed(database, shelf)
    clock.advance(1)
    first_usage = [usage_row(), usage_row(phase="score", model="prm", generated_tokens=0, scored_tokens=7)]
    commit(
        database,
        Outcome(
            first, "done", answer="2", correct=True, votes=2, voters=3, score=0.75, sequential_tokens=9,
            candidates=samples(True, True, False, None), usage=first_usage,
        ),
    )  # fmt: skip
    clock.advance(1)
    second_usage = [usage_row(reused=True, generated_tokens=6), usage_row(disposition="discarded", generated_tokens=3)]
    commit(
        database,
        Outcome(
            second, "done", answer="1", correct=False, votes=3, voters=4, score=0.25, sequential_tokens=4,
            candidates=samples(True, False, False, False), usage=second_usage,
        ),
    )  # fmt: skip
    clock.advance(2)
    commit(
        database,
        Outcome(
            third, "done", answer="2", correct=True, votes=4, voters=4, score=0.5, sequential_tokens=5,
            candidates=samples(True, True, True, True), usage=[usage_row(cached_tokens=8)],
        ),
    )  # fmt: skip
    clock.advance(4)
    lost = usage_row(disposition="wasted", at_least=True, generated_tokens=2)
    commit(database, Outcome(fourth, "failed", reason="too long", usage=[lost]))
    return shelf


def groups(database: Database, job_id: int, by: str | None = None) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return breakdown(connection, job_id, by)


def test_a_whole_job_by_hand(database: Database, shelf: Shelf) -> None:
    [found] = groups(database, shelf.job_id)
    low, high = wilson(2, 3)
    expected = {
        "value": None, "queries": 4, "done": 3, "failed": 1, "answered": 3, "graded": 3, "correct": 2,
        "accuracy": 2 / 3, "low": low, "high": high, "score": 0.5, "sequential_tokens": 18,
        # Six rows: generations kept (two), reused, discarded and wasted, and a scoring.
        "prompt_tokens": 60, "cached_tokens": 8, "generated_tokens": 21, "scored_tokens": 7, "total_tokens": 88,
        "reused_tokens": 6, "discarded_tokens": 3, "wasted_tokens": 2, "wasted_at_least": True,
        "flops": 500.0, "flops_canonical": 450.0, "verifier_flops": 90.0, "flops_2nd": 480.0,
        "gpu_seconds": 3.0, "spent_gpu_seconds": 2.5, "verifier_gpu_seconds": 0.5,
        "dollars": 1.5, "spent_dollars": 1.25, "dollars_at_least": False,
        "mean_flops_canonical": 150.0, "mean_gpu_seconds": 1.0, "mean_dollars": 0.5, "mean_sequential_tokens": 6.0,
        "samples": 12, "reused_samples": 0, "truncated": 1, "unparsed": 1, "truncated_rate": 1 / 12, "unparsed_rate": 1 / 12,
        "latency_p50": 2.0, "latency_p90": 4.0, "latency_p99": 4.0,
        "sampled": 3, "samples_each": 4, "pass_at_1": pytest.approx(7 / 12), "pass_at_n": 1.0,
        "selection_efficiency": pytest.approx(0.2),
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert found["vote_share"] == pytest.approx((2 / 3 + 3 / 4 + 1) / 3)
    assert "the vote is the limit" in found["selection"] or "cannot be told apart" in found["selection"]


def test_groups_are_sorted_as_numbers_and_add_up_to_the_whole(database: Database, shelf: Shelf) -> None:
    [whole] = groups(database, shelf.job_id)
    parts = groups(database, shelf.job_id, "level")
    assert [part["value"] for part in parts] == ["2", "10", None]
    assert [(part["done"], part["correct"], part["accuracy"]) for part in parts] == [
        (2, 1, 0.5),
        (1, 1, 1.0),
        (0, 0, None),
    ]
    assert [part["latency_p99"] for part in parts] == [4.0, 1.0, None]
    assert [part["pass_at_1"] for part in parts] == [pytest.approx(5 / 8), 0.5, None]
    added = [
        name for name in whole
        if isinstance(whole[name], int | float) and not isinstance(whole[name], bool)
        and not name.startswith(("mean", "latency", "accuracy", "pass", "selection", "samples_each", "low", "high"))
        and not name.endswith("_rate") and name not in ("vote_share", "score", "sampled_accuracy")
    ]  # fmt: skip
    assert {"total_tokens", "flops", "dollars", "samples", "truncated", "queries"} <= set(added)
    for name in added:
        assert whole[name] == pytest.approx(sum(part[name] for part in parts)), name


def test_values_are_plain_numbers_and_the_columns_the_same_everywhere(database: Database, shelf: Shelf) -> None:
    empty = add_job(database, 1)
    found = [one for by in (None, "strategy", "bin", "subject", "level") for one in groups(database, shelf.job_id, by)]
    found += groups(database, empty.job_id)
    assert {frozenset(one) for one in found} == {frozenset(found[0])}
    assert not any(isinstance(value, Decimal) for one in found for value in one.values())
    assert {one["value"] for one in groups(database, shelf.job_id, "strategy")} == {"majority_vote"}


def test_a_job_that_has_not_begun_has_nothing(database: Database) -> None:
    [found] = groups(database, add_job(database, 2).job_id)
    assert (found["queries"], found["done"], found["samples"], found["total_tokens"]) == (2, 0, 0, 0)
    assert (found["accuracy"], found["dollars"], found["mean_flops"], found["latency_p50"]) == (None, None, None, None)


@pytest.mark.parametrize("column", ["cached_tokens", "flops", "flops_canonical", "flops_2nd"])
def test_a_sum_with_something_unknown_is_unknown_in_its_group_alone(
    database: Database, shelf: Shelf, column: str
) -> None:
    ledger = rows(database, USAGE, USAGE.c.query_id == shelf.queries[1])
    force(database, USAGE, ledger[0].id, **{column: None})
    [whole] = groups(database, shelf.job_id)
    two, ten, _ = groups(database, shelf.job_id, "level")
    assert whole[column] is None
    assert two[column] is None
    assert ten[column] is not None
    assert whole["generated_tokens"] == 21
    if column in ("flops", "flops_canonical"):
        assert whole[f"mean_{column}"] is None


def test_of_what_is_unknown_the_known_parts_are_told(database: Database, shelf: Shelf) -> None:
    force(database, USAGE, rows(database, USAGE, USAGE.c.query_id == shelf.queries[0])[0].id, flops_canonical=None)
    [whole] = groups(database, shelf.job_id)
    assert (whole["flops_canonical"], whole["verifier_flops"]) == (None, 90.0)


def test_dollars_of_which_a_part_has_no_price_are_a_lower_bound(database: Database, shelf: Shelf) -> None:
    force(database, USAGE, rows(database, USAGE, USAGE.c.query_id == shelf.queries[0])[1].id, dollars=None)
    [whole] = groups(database, shelf.job_id)
    two, ten, _ = groups(database, shelf.job_id, "level")
    assert (whole["dollars"], whole["dollars_at_least"]) == (1.25, True)
    assert (two["dollars_at_least"], ten["dollars_at_least"]) == (False, True)


def test_candidates_of_a_search_are_no_independent_samples(database: Database, shelf: Shelf) -> None:
    for query_id in shelf.queries[:2]:
        force(database, QUERY, query_id, strategy="beam_search")
    [whole] = groups(database, shelf.job_id)
    assert (whole["sampled"], whole["pass_at_1"], whole["sampled_accuracy"]) == (1, 1.0, 1.0)
    assert whole["selection"].startswith("over the 1 of 3 problems answered by sampling: ")
    beam, vote = groups(database, shelf.job_id, "strategy")
    assert (beam["sampled"], beam["pass_at_1"], beam["selection_efficiency"]) == (0, None, None)
    assert "no independent samples" in beam["selection"]
    assert vote["pass_at_n"] == 1.0
    assert beam["accuracy"] == 0.5


def test_where_the_chosen_sample_alone_was_stored_nothing_is_said_of_choosing(database: Database, shelf: Shelf) -> None:
    job = rows(database, JOB, JOB.c.id == shelf.job_id)[0]
    force(database, JOB, shelf.job_id, specification={**job.specification, "keep_tree": "none"})
    [whole] = groups(database, shelf.job_id)
    assert (whole["pass_at_1"], whole["pass_at_n"]) == (None, None)
    assert whole["selection"].startswith("not all samples were stored")


def test_ungraded_samples_are_not_wrong_ones(database: Database, shelf: Shelf) -> None:
    for one in rows(database, CANDIDATE, CANDIDATE.c.query_id == shelf.queries[0])[2:]:
        force(database, CANDIDATE, one.id, correct=None)
    [whole] = groups(database, shelf.job_id)
    assert whole["pass_at_1"] == pytest.approx((1 + 1 / 4 + 1) / 3)
    assert whole["samples_each"] is None


def test_a_verifier_is_named_as_what_chose(database: Database) -> None:
    shelf = add_job(database, 20)
    force(database, JOB, shelf.job_id, verifier="prm")
    for got in claimed(database, shelf):
        commit(database, Outcome(got, "done", answer="1", correct=False, candidates=samples(True, False), usage=[]))
    [whole] = groups(database, shelf.job_id)
    assert whole["selection"].startswith("the verifier is the limit: on 100.0 % a right one was there and not chosen")
    assert (whole["limit"], whole["selection_efficiency"]) == ("selection", -1.0)


def test_idle_time_goes_to_the_jobs_by_their_part_of_the_busy_time(database: Database, clock: ManualClock) -> None:
    worker(database, "w1")
    worker(database, "w2")
    shelves = [add_job(database, 2) for _ in range(2)]
    for shelf, seconds in zip(shelves, (2.0, 6.0), strict=True):
        for got in claimed(database, shelf):
            booked = [usage_row(gpu_seconds=seconds / 2), usage_row(reused=True, gpu_seconds=50.0)]
            commit(database, Outcome(got, "done", usage=booked))
    with database.transaction() as connection:
        heartbeats.beat(connection, "w1", "fast", heartbeats.Beat(4, 0, 8.0, 12.0), clock.time)
        heartbeats.beat(connection, "w2", "fast", heartbeats.Beat(0, 0, 1.0, 99.0), clock.time)
    untouched = add_job(database, 1)
    with database.reading() as connection:
        shares = [idle_seconds(connection, shelf.job_id) for shelf in (*shelves, untouched)]
    assert shares == [pytest.approx(3.0), pytest.approx(9.0), None]


def test_a_late_heartbeat_does_not_make_more_idle_time_than_there_was(database: Database, clock: ManualClock) -> None:
    worker(database)
    shelf = add_job(database)
    [got] = claimed(database, shelf)
    commit(database, Outcome(got, "done", usage=[usage_row(gpu_seconds=5.0)]))
    with database.transaction() as connection:
        heartbeats.beat(connection, "w1", "fast", heartbeats.Beat(1, 0, 4.0, 3.0), clock.time)
    with database.reading() as connection:
        assert idle_seconds(connection, shelf.job_id) == 3.0

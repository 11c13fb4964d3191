"""The report document, read from real jobs in both kinds of database."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from cli.page import queries, wording
from cli.page.document import build
from cli.page.write import embedded
from models.database import Database
from models.errors import UserError
from models.transitions import Outcome
from tests import builders
from tests.pages import HOSTILE


def answered(
    database: Database, right: str, *, dataset: tuple[int, list[int]], flops: float = 100.0, **values: Any
) -> builders.Shelf:
    """A job on the dataset whose queries ended one by one: `+` right, `-` wrong, `?` not graded, `/` wrong in a split vote."""
    shelf = builders.add_job(database, len(right), dataset=dataset, **values)
    outcomes = []
    for claim, sign in zip(builders.claimed(database, shelf, "w1"), right, strict=True):
        outcomes.append(
            Outcome(
                claim, state="done", answer="2", correct={"?": None}.get(sign, sign == "+"), votes=1 if sign == "/" else 2, voters=2,
                stopped="complete", candidates=[builders.candidate_row("0", correct=sign == "+"), builders.candidate_row("1")],
                usage=[builders.usage_row(flops_canonical=flops)],
            )
        )  # fmt: skip
    assert len(builders.commit(database, *outcomes)) == len(right)
    return shelf


@pytest.fixture
def dataset(database: Database) -> tuple[int, list[int]]:
    builders.worker(database, slots=1000)
    with database.transaction() as connection:
        return builders.add_dataset(connection, 8)


def test_a_job_has_its_row_its_specification_and_what_a_query_cost(
    database: Database, dataset: tuple[int, list[int]]
) -> None:
    shelf = answered(database, "+++++---", dataset=dataset, name="sums")
    document = build(database, [shelf.job_id])
    (job,) = document["jobs"]
    assert (job["name"], job["accuracy"], job["queries"], job["imported_from"]) == ("sums", 5 / 8, 8, None)
    assert job["specification"]["template"]["name"] == "plain"
    assert job["versions"]["generator"]["engine"] == "instant"
    assert job["per_query"] == {"flops": 100.0, "tokens": 15.0, "dollars": 0.25, "gpu_seconds": 0.5}
    assert (job["label"], job["series"]) == ("majority_vote 4", "majority_vote")
    assert document["title"] == "fast on sums"
    assert document["conclusion"] == "majority_vote 4 answers 62.5 % (30.6 to 86.3) of 8 problems right."
    assert "pairs" not in document
    json.loads(embedded(document))


def test_the_cheapest_and_the_best_are_compared_and_the_frontier_leaves_out_what_is_dominated(
    database: Database, dataset: tuple[int, list[int]]
) -> None:
    cheap = answered(database, "+++-----", dataset=dataset, budget="1")
    worse = answered(database, "++------", dataset=dataset, budget="4", flops=200.0)
    best = answered(database, "+++++++-", dataset=dataset, budget="16", flops=400.0)
    oracle = answered(database, "++++++++", dataset=dataset, budget="16", flops=50.0, oracle=True)
    document = build(database, [cheap.job_id, worse.job_id, best.job_id, oracle.job_id])
    pairs = {(pair["a"], pair["b"]): pair for pair in document["pairs"]}
    assert set(pairs) == {
        (cheap.job_id, worse.job_id), (cheap.job_id, best.job_id), (worse.job_id, best.job_id),
    }  # fmt: skip
    pair = pairs[cheap.job_id, best.job_id]
    assert (pair["problems"], pair["gain"], pair["p"], pair["cost_ratio"]) == (8, 0.5, 0.125, 4.0)
    assert 0 < pair["low"] < 0.5 < pair["high"] < 1
    assert pair["sentence"].startswith("majority_vote 16 over majority_vote 1: +50.0 points (95 %: ")
    assert pair["sentence"].endswith(" on 8 problems, McNemar p = 0.12, for 4 times its FLOPs.")
    flops = [one["job_id"] for one in document["frontier"] if one["unit"] == "flops"]
    assert flops == [cheap.job_id, best.job_id]
    assert document["conclusion"].startswith("majority_vote 16 does best, 87.5 % (52.9 to 97.8) of 8 problems right: ")
    assert document["conclusion"].endswith(" over majority_vote 1, for 4 times its FLOPs.")


def test_a_gain_that_may_be_none_is_not_called_settled(database: Database, dataset: tuple[int, list[int]]) -> None:
    cheap = answered(database, "+++-----", dataset=dataset, budget="1")
    dear = answered(database, "++-++---", dataset=dataset, budget="4", flops=200.0)
    said = build(database, [cheap.job_id, dear.job_id])["conclusion"]
    assert said.endswith("; 8 problems do not settle that it is better.")


def test_unknown_costs_stay_unknown(database: Database, dataset: tuple[int, list[int]]) -> None:
    shelf = answered(database, "++++----", dataset=dataset)
    usage = builders.usage(database, shelf)[0]
    builders.force(database, builders.USAGE, usage.id, flops_canonical=None)
    document = build(database, [shelf.job_id])
    assert document["jobs"][0]["per_query"]["flops"] is None
    assert {one["unit"] for one in document["frontier"]} == {"tokens", "dollars", "gpu_seconds"}


def test_a_job_of_unknown_cost_is_compared_but_never_called_cheap(
    database: Database, dataset: tuple[int, list[int]]
) -> None:
    known = answered(database, "+++++---", dataset=dataset, budget="1")
    other = answered(database, "+++-----", dataset=dataset, budget="4")
    for usage in builders.usage(database, other):
        builders.force(database, builders.USAGE, usage.id, flops_canonical=None)
    document = build(database, [known.job_id, other.job_id])
    assert [(pair["a"], pair["b"], pair["cost_ratio"]) for pair in document["pairs"]] == [
        (known.job_id, other.job_id, None)
    ]
    assert document["conclusion"].startswith("majority_vote 1 is the cheapest of 2 jobs"), "both know their tokens"
    for job in document["jobs"]:
        job["per_query"] = {**job["per_query"], "tokens": None}
    said = wording.conclusion(document["jobs"], document["pairs"])
    assert said.endswith("problems right; what that cost is not known of every job.")


def test_without_reference_answers_nothing_is_claimed(database: Database, dataset: tuple[int, list[int]]) -> None:
    shelf = answered(database, "????????", dataset=dataset)
    document = build(database, [shelf.job_id])
    assert document["conclusion"] == "Accuracy is unknown: no answer could be graded."
    assert document.keys().isdisjoint({"pairs", "frontier"})
    assert len(document["queries"]) == 8


def test_jobs_of_equal_name_and_datasets_of_equal_name_are_told_apart(
    database: Database, dataset: tuple[int, list[int]]
) -> None:
    one = answered(database, "++++----", dataset=dataset)
    other = answered(database, "++++----", dataset=dataset)
    with database.transaction() as connection:
        fewer = builders.add_dataset(connection, 2)
    third = answered(database, "+-", dataset=fewer)
    document = build(database, [one.job_id, other.job_id, third.job_id])
    assert [job["label"] for job in document["jobs"]] == [
        f"majority_vote 4 (job {one.job_id})", f"majority_vote 4 (job {other.job_id})", "majority_vote 4",
    ]  # fmt: skip
    assert [job["dataset_label"] for job in document["jobs"]] == ["sums (8 problems)"] * 2 + ["sums (2 problems)"]
    assert "On sums (2 problems): majority_vote 4 answers 50.0 %" in document["conclusion"]


def test_what_jobs_disagree_on_comes_first_then_what_none_got_right(
    database: Database, dataset: tuple[int, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_QUERIES", 12)
    one = answered(database, "++++++--", dataset=dataset, budget="1")
    other = answered(database, "+++++---", dataset=dataset, budget="4")
    found = build(database, [one.job_id, other.job_id])["queries"]
    assert [(query["key"], query["job_id"]) for query in found[:2]] == [("k6", one.job_id), ("k6", other.job_id)]
    assert Counter(query["reason"] for query in found) == {"jobs disagree": 2, "wrong": 2, "sample": 8}
    wrong = {query["key"] for query in found if query["reason"] == "wrong"}
    assert wrong < {"k7", "k8"}
    assert len(found) == 12
    assert set(Counter(query["key"] for query in found).values()) == {2}, "each problem under every job"


def test_of_one_job_split_votes_come_first(database: Database, dataset: tuple[int, list[int]]) -> None:
    shelf = answered(database, "++-/++-/", dataset=dataset)
    found = build(database, [shelf.job_id])["queries"]
    assert {query["key"] for query in found[:2]} == {"k4", "k8"}
    assert {query["reason"] for query in found[:2]} == {"votes disagree"}
    assert Counter(query["reason"] for query in found) == {"votes disagree": 2, "wrong": 2, "sample": 4}


def test_the_sample_does_not_depend_on_the_database(database: Database, dataset: tuple[int, list[int]]) -> None:
    shelf = answered(database, "++++++++", dataset=dataset)
    with database.transaction() as connection:
        found = queries.sampled_queries(connection, [{"dataset_id": dataset[0], "job_id": shelf.job_id}])
    assert [query["key"] for query in found] == ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"]


def test_candidates_are_shown_without_what_is_null_and_no_more_than_a_page_can_hold(
    database: Database, dataset: tuple[int, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_CANDIDATES", 1)
    shelf = answered(database, "++++++++", dataset=dataset)
    query = build(database, [shelf.job_id])["queries"][0]
    assert query["candidates_left_out"] == 1
    assert query["candidates"] == [
        {"path": "0", "text": "text of 0", "answer": "2", "answer_class": 0, "correct": True, "generated_tokens": 5},
    ]  # fmt: skip


def test_hostile_texts_pass_through_the_database_into_the_page(
    database: Database, dataset: tuple[int, list[int]]
) -> None:
    shelf = answered(database, "++++++++", dataset=dataset, name=HOSTILE)
    shown = embedded(build(database, [shelf.job_id]))
    name = json.loads(shown)["jobs"][0]["name"]
    assert name == HOSTILE.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert "<" not in shown


def test_no_job_and_too_many_jobs_are_said_in_one_sentence(
    database: Database, dataset: tuple[int, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="there is no job yet to make a page of"):
        build(database, None)
    monkeypatch.setattr("cli.page.document.MOST_JOBS", 1)
    for _ in range(2):
        answered(database, "++++++++", dataset=dataset)
    with pytest.raises(UserError, match="at most 1 jobs and these are 2: name those"):
        build(database, None)

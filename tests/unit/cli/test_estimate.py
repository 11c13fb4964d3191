"""`estimate`: the figures, what they rest on, and that nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Desk


@pytest.fixture
def problems(desk: Desk) -> str:
    rows = [{"prompt": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(10)]
    Path("problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "problems.jsonl"


def test_nothing_is_stored_and_no_database_is_needed(desk: Desk, problems: str) -> None:
    seen = desk.tts("estimate", problems, "-g", "fast", "-b", "4", "--max-tokens", "100", "--json").json
    assert not Path(".tts-jobs").exists()
    assert (seen["queries"], seen["learned_from_candidates"]) == (10, 0)
    likely, worst = seen["total"]["likely"], seen["total"]["worst"]
    assert (likely["samples"], worst["samples"]) == (40, 40)
    assert seen["generated_tokens_per_sample"] == 50
    assert 40 * 50 < likely["tokens"] < 40 * 50 + 10 * 100
    assert worst["tokens"] > 40 * 100
    assert (likely["flops"], likely["dollars"]) == (None, None), "unknown is not zero"
    assert "a guess" in desk.tts("estimate", problems, "-g", "fast").stdout


def test_the_length_is_learned_from_earlier_candidates(desk: Desk, problems: str) -> None:
    job_id = desk.submit(4, generator="small")
    desk.commit(desk.claim(job_id, 4))
    seen = desk.tts("estimate", problems, "-g", "small", "-b", "4", "--json").json
    assert (seen["learned_from_candidates"], seen["generated_tokens_per_sample"]) == (8, 5.0)
    assert "mean of 8 earlier candidates" in seen["basis"]
    other = desk.tts("estimate", problems, "-g", "small", "-t", "plain", "--json").json
    assert other["learned_from_candidates"] == 0, "another template writes otherwise"
    assert desk.tts("estimate", problems, "-g", "fast", "--json").json["learned_from_candidates"] == 0


def test_flops_seconds_and_dollars_agree(desk: Desk, problems: str) -> None:
    cost = desk.tts("estimate", problems, "-g", "small", "-b", "4", "--json").json["total"]["likely"]
    assert cost["gpu_seconds"] == pytest.approx(cost["flops"] / 1e12)
    assert cost["dollars"] == pytest.approx(cost["gpu_seconds"] * 3.6 / 3600)


@pytest.mark.parametrize(
    ("budget", "name", "amount"),
    [("4000tokens", "tokens", 4000), ("1e9flops", "flops", 1e9), ("1e-6usd", "dollars", 1e-6)],
)
def test_a_budget_in_another_unit_is_never_exceeded(
    desk: Desk, problems: str, budget: str, name: str, amount: float
) -> None:
    seen = desk.tts("estimate", problems, "-g", "small", "-b", budget, "--max-tokens", "500", "--json").json
    assert seen["per_query"]["likely"][name] <= amount * (1 + 1e-9)
    assert seen["per_query"]["worst"][name] == pytest.approx(amount)
    for unit in ("samples", "tokens", "flops", "gpu_seconds", "dollars"):
        assert seen["per_query"]["likely"][unit] <= seen["per_query"]["worst"][unit] * (1 + 1e-9)


def test_the_greedy_budget_is_one_sample(desk: Desk, problems: str) -> None:
    seen = desk.tts("estimate", problems, "-g", "small", "-s", "greedy", "-b", "4", "--json").json
    assert seen["per_query"]["worst"]["samples"] == 1


def test_revisions_read_what_they_revise(desk: Desk, problems: str) -> None:
    options = ("estimate", problems, "-g", "small", "-b", "8", "--max-tokens", "100", "--json")
    vote = desk.tts(*options).json["total"]
    revised = desk.tts(*options, "-s", "sequential_revision").json["total"]
    single = desk.tts(*options, "-s", "sequential_revision", "--param", "length=1").json["total"]
    assert single == vote
    for case in ("likely", "worst"):
        assert revised[case]["samples"] == vote[case]["samples"]
        assert revised[case]["tokens"] > vote[case]["tokens"] + 10 * 4 * 100
        assert revised[case]["flops"] > vote[case]["flops"]


def test_revisions_take_a_verifier_and_need_none(desk: Desk, problems: str) -> None:
    options = ("estimate", problems, "-g", "small", "-s", "sequential-revision")
    for more in ((), ("-v", "exact"), ("--param", "select=verifier"), ("--param", "select=vote")):
        assert desk.tts(*options, *more).code == 0
    refused = desk.tts(*options, "--param", "select=best")
    assert (refused.code, "parameter 'select'" in refused.stderr) == (2, True)


def test_feedback_needs_scores_of_steps_and_a_turn_to_say_it_in(desk: Desk, problems: str) -> None:
    options = ("estimate", problems, "-g", "small", "-s", "sequential_revision", "--json", "--param")
    silent = desk.tts(*options, "feedback=false").json["total"]
    told = desk.tts(*options, "feedback=true").json["total"]
    assert told["likely"]["tokens"] > silent["likely"]["tokens"]
    assert told["worst"]["tokens"] > silent["worst"]["tokens"]
    oracle = desk.tts(*options, "feedback=true", "-v", "exact")
    assert (oracle.code, "exact judges answers and sequential_revision scores steps" in oracle.stderr) == (2, True)
    mute = desk.tts(*options, "feedback=true", "-t", "tiny")
    assert (mute.code, "the template tiny says nothing behind an attempt" in mute.stderr) == (2, True)


def test_it_says_how_far_the_cap_will_reach(desk: Desk, problems: str) -> None:
    options = ("estimate", problems, "-g", "fast", "-b", "4", "--job-budget", "10")
    assert desk.tts(*options, "--json").json["covered_by_job_budget"] == 0.25
    assert "--job-budget 10 covers about 25.0 % of the queries" in desk.tts(*options).stdout


def test_bad_rows_are_named_or_left_out(desk: Desk, problems: str) -> None:
    with Path(problems).open("a") as stream:
        stream.write('{"answer": "1"}\n')
    refused = desk.tts("estimate", problems, "-g", "fast")
    assert refused.code == 2
    assert "problems.jsonl line 11" in refused.stderr
    assert desk.tts("estimate", problems, "-g", "fast", "--skip-bad", "--json").json["queries"] == 10


def test_an_oracle_needs_every_reference_answer(desk: Desk, problems: str) -> None:
    options = ("estimate", problems, "-g", "fast", "-s", "best_of_n", "-v", "exact")
    assert desk.tts(*options).code == 0
    with Path(problems).open("a") as stream:
        stream.write('{"prompt": "What is 11 + 1?"}\n')
    refused = desk.tts(*options)
    assert (refused.code, "exact reads the reference answers, and 1 of 11 problems have none" in refused.stderr) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ((), "majority_vote"),
        (("--difficulty", "none"), "compute_optimal"),
        (("--allocation", "policy"), "compute_optimal"),
        (("-s", "compute-optimal"), "compute_optimal"),
    ],
)
def test_an_option_of_compute_optimal_asks_for_it(
    desk: Desk, problems: str, options: tuple[str, ...], strategy: str
) -> None:
    assert desk.tts("estimate", problems, "-g", "fast", *options, "--json").json["strategy"] == strategy

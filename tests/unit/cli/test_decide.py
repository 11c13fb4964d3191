"""`decide`: every question from the command line, on jobs whose answers and costs are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from models.database import Database, open_database
from tests.answered import add_answered, add_problems
from tests.unit.cli.conftest import Desk

COUNT = 40


def first(hits: int) -> list[bool | None]:
    """Right on every problem but each so-manieth, spread evenly, so that halves are much alike."""
    return [(place * hits) % COUNT < hits for place in range(COUNT)]


@pytest.fixture
def database(desk: Desk) -> Database:
    """On forty problems: a vote of 1, 2, 4, 8 and 16 with 16, 24, 28, 30 and 31 of them right, each sample 100 FLOPs, 10
    tokens and 36 GPU-seconds; a larger model that has 26; a job at work; an oracle; and one whose FLOPs nobody knows."""
    made = open_database()
    sums = add_problems(made, COUNT)
    for samples, hits in ((1, 16), (2, 24), (4, 28), (8, 30), (16, 31)):
        row = {
            "flops_canonical": 100.0 * samples, "gpu_seconds": 36.0 * samples, "dollars": None, "canonical_prompt_tokens": 0,
            "generated_tokens": 10 * samples,
        }  # fmt: skip
        add_answered(made, sums, first(hits), [row], budget=str(samples))
    large = {"model": "large", "flops_canonical": 1000.0, "gpu_seconds": 360.0, "dollars": None}
    add_answered(made, sums, first(26), [large], strategy="greedy", generator="large", budget="1")
    add_answered(made, sums, [True], state="open")
    add_answered(made, sums, first(40), oracle=True)
    add_answered(made, sums, first(20), [{"flops_canonical": None, "gpu_seconds": 3600.0, "dollars": None}])
    return made


@pytest.mark.usefixtures("database")
def test_the_frontier_and_what_is_left_out(desk: Desk) -> None:
    said = desk.tts("decide", "frontier", "sums", "--json")
    assert said.code == 0, said.stderr
    found = said.json
    assert (found["dataset"], found["size"], found["problems"], found["unit"]) == ("sums", COUNT, COUNT, "flops")
    assert [(one["job_id"], one["cost"], one["accuracy"]) for one in found["frontier"]] == [
        (1, 100, 0.4), (2, 200, 0.6), (3, 400, 0.7), (4, 800, 0.75), (5, 1600, 0.775),
    ]  # fmt: skip
    assert set(found["frontier"][0]) == {"job_id", "cost", "unit", "accuracy", "low", "high"}
    assert [one["job_id"] for one in found["left_out"]] == [7, 8, 9]
    which, *steps = found["decisions"]
    assert which["question"] == "Which jobs on sums are worth their FLOPs?"
    larger = next(job for job in which["details"]["jobs"] if job["job_id"] == 6)
    assert (larger["frontier"], larger["dominated_by"], larger["significant"]) == (False, 4, False)
    assert [step["details"]["price"]["value"] for step in steps] == pytest.approx([500, 2000, 8000, 32000])
    shown = desk.tts("decide", "frontier", "last").stdout
    assert "dominated by 4, not significantly" in shown
    assert "left out: job 9 (majority_vote 4 on fast): its FLOPs are unknown" in shown
    assert "on 40 of 40 problems that all 6 jobs graded" in shown


@pytest.mark.usefixtures("database")
def test_supposed_prices_make_dollars_the_cost(desk: Desk) -> None:
    # A GPU-hour of $100 makes 36 s cost $1.
    found = desk.tts("decide", "frontier", "sums", "--gpu-hour", "100", "--next", "40usd", "--json").json
    assert found["unit"] == "usd"
    assert [one["cost"] for one in found["frontier"]] == pytest.approx([1, 2, 4, 8, 16])
    bought = [one for one in found["decisions"] if one["question"].startswith("What do the next $40.00 buy")]
    # $40 are a dollar a problem: from 1 to 2 samples that is all the way, from 2 half of it, from 4 a quarter.
    assert [one["details"]["more"]["value"] for one in bought] == pytest.approx([8, 2, 0.5, 0.125, 0], abs=1e-9)


def test_the_frontier_is_drawn(desk: Desk, database: Database) -> None:
    said = desk.tts("decide", "frontier", "sums", "--png", "f.png", "--svg", "f.svg", "--json")
    assert said.code == 0, said.stderr
    assert Path("f.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse("f.svg").getroot().tag.endswith("svg")
    assert "plot: f.png" in said.stderr
    said = desk.tts("decide", "frontier", "sums", "--png", "none/f.png")
    assert (said.code, said.stdout) == (2, "")
    assert "there is no directory" in said.stderr


@pytest.mark.usefixtures("database")
def test_the_cheapest_way_and_the_best_for_an_amount(desk: Desk) -> None:
    (found,) = desk.tts("decide", "reach", "sums", "55%", "--json").json["decisions"]
    assert found["details"]["job"]["job_id"] == 2
    assert (found["details"]["chosen_on"]["problems"], found["details"]["confirmed_on"]["problems"]) == (20, 20)
    assert found["answer"].startswith("Job 2 (majority_vote 2 on fast): ")
    (found,) = desk.tts("decide", "reach", "sums", "1", "--json").json["decisions"]
    assert (found["details"]["job"], found["details"]["verdict"]) == (None, "not reached")
    (found,) = desk.tts("decide", "spend", "sums", "330usd", "--gpu-hour", "100", "--json").json["decisions"]
    assert (found["details"]["job"]["job_id"], found["details"]["verdict"]) == (4, "confirmed")
    (found,) = desk.tts("decide", "spend", "sums", "4001tokens", "--job", "1", "--job", "4", "--json").json["decisions"]
    assert found["details"]["job"]["job_id"] == 4
    assert "(95 %: " in desk.tts("decide", "spend", "sums", "1e5flops").stdout


@pytest.mark.usefixtures("database")
def test_the_factor_between_two_sets(desk: Desk) -> None:
    sets = ("--base", "6", "--base", "1", "--ours", "1", "--ours", "2")
    (found,) = desk.tts("decide", "efficiency", *sets, "--at", "60%", "--json").json["decisions"]
    # The base's line from (40 %, 100) to (65 %, 1000) is at 60 % at 820.
    assert (found["details"]["base"], found["details"]["ours"]) == pytest.approx((820, 200))
    assert found["details"]["factor"] == pytest.approx(4.1)
    assert found["answer"].startswith("4.10 times (95 %: ")
    half, most = desk.tts("decide", "efficiency", *sets, "-q", "0.5", "-q", "1", "--json").json["decisions"]
    assert half["details"]["accuracy"] == pytest.approx(0.525), "from the cheapest of the base, wherever it was named"
    assert most["answer"] == "Not reached: the second set does not reach it; nothing is extrapolated."


@pytest.mark.usefixtures("database")
def test_a_law_of_one_family_alone(desk: Desk) -> None:
    (found,) = desk.tts("decide", "scaling", "1", "2", "3", "4", "5", "--json").json["decisions"]
    assert found["details"]["refused"] in (None, "unbounded")
    (found,) = desk.tts("decide", "scaling", "1", "2", "3", "--json").json["decisions"]
    assert found["details"]["refused"] == "too few points"
    said = desk.tts("decide", "scaling", "1", "6")
    assert (said.code, len(said.stderr.splitlines())) == (2, 1)
    assert "these differ: job 1 (majority_vote 1 on fast), job 6 (greedy 1 on large)" in said.stderr
    assert "only a job with --param greedy_first=true" in desk.tts("decide", "scaling", "5").stderr


@pytest.mark.usefixtures("database")
def test_a_smaller_model_against_a_larger_one(desk: Desk) -> None:
    asked = ("decide", "exchange", "6", "1", "2", "3", "4", "5", "--parameters", "10", "--ratio", "0.5")
    found = desk.tts(*asked, "--gpu-hour", "100", "--json").json
    assert found["times_larger"] == 10
    flops, reached, dollars, _, exchanged = found["decisions"]
    # 1000 FLOPs are a quarter of the way from 8 samples to 16; the large one's 65 % halfway from 2 to 4.
    assert flops["details"]["small"]["value"] == pytest.approx(0.75 + 0.025 / 4)
    assert reached["details"]["small"] == pytest.approx(300)
    assert reached["details"]["ratio"]["value"] == pytest.approx(1000 / 300)
    assert dollars["details"]["budget"] == pytest.approx(10)
    # 10 + 3 / 0.5 * 9 = 64 times a tenth of 1000.
    assert (exchanged["details"]["ratio"], exchanged["details"]["budget"]) == (0.5, pytest.approx(6400))
    assert exchanged["details"]["beyond"]
    said = desk.tts(*asked)
    assert said.code == 0
    assert "no comparison in dollars: " in said.stderr
    assert "At equal FLOPs with pretraining, R = 0.5, what is better: fast" in said.stdout


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("frontier", "sum"), "no dataset 'sum'; there is sums"),
        (("frontier", "sums", "--cost", "usd"), "has no price); give --gpu-hour or --prices"),
        (("frontier", "sums", "--cost", "tokens", "--gpu-hour", "1"), "--cost tokens: prices change dollars alone"),
        (("frontier", "sums", "--gpu-hour", "1", "--prices", "p.toml"), "--gpu-hour and --prices: give one of them"),
        (("frontier", "sums", "--gpu-hour", "-1"), "--gpu-hour: gpu_hour: input should be greater"),
        (("frontier", "sums", "--prices", "p.toml"), "--prices p.toml: [fats]: no job used a model of that name"),
        (("frontier", "sums", "--next", "5usd", "--cost", "flops"), "--next 5usd: cost is counted in flops"),
        (("frontier", "sums", "--job", "99"), "no job '99'"),
        (("reach", "sums", "60"), "ACCURACY: '60' is not an accuracy; write for example 60% or 0.6"),
        (("spend", "sums", "5"), "AMOUNT: '5' has no unit"),
        (("spend", "sums", "5tokens", "--gpu-hour", "1"), "--cost tokens: prices change dollars alone"),
        (("efficiency", "--base", "1", "--ours", "9"), "cannot be compared: its FLOPs are unknown"),
        (("exchange", "6", "1", "2"), "the size of "),
        (("exchange", "6", "1", "6", "--parameters", "2"), "SMALL: the jobs are of several models, fast, large"),
    ],
)
def test_what_cannot_be_decided_is_a_sentence(desk: Desk, arguments: tuple[str, ...], part: str) -> None:
    Path("p.toml").write_text("[fats]\nprompt = 1\n")
    said: Any = desk.tts("decide", *arguments)
    assert (said.code, said.stdout) == (2, "")
    assert part in said.stderr
    assert len(said.stderr.splitlines()) == 1

"""`report`: the table of many jobs, the account of one or two, and the same rows for programs."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from models import transitions
from models.database import Database
from models.transitions import JOB, QUERY, USAGE
from tests.builders import force, rows
from tests.unit.cli.conftest import Desk


@pytest.fixture
def jobs(desk: Desk) -> tuple[int, int]:
    """Two jobs on one dataset of 30 problems, the first with 10 right, the second with all right at a third of the cost."""
    first, second = desk.submit(30), desk.submit(30, "--new")
    claims = desk.claim(first, 30)
    desk.commit(claims[:10])
    desk.commit(claims[10:], correct=False, answer="9")
    desk.commit(desk.claim(second, 30))
    database = desk.database
    for row in rows(database, USAGE, USAGE.c.job_id == second):
        force(database, USAGE, row.id, flops_canonical=1e6)
    for job in (first, second):
        desk.finish(job)
    database.close()
    return first, second


def put(database: Database, job_id: int, **values: object) -> None:
    force(database, JOB, job_id, **values)
    database.close()


def cells(said: str, start: str) -> list[str]:
    """The words behind `start` in the line that begins with it."""
    [line] = [line for line in said.splitlines() if line.startswith(start)]
    return line.removeprefix(start).split()


@pytest.mark.usefixtures("jobs")
def test_many_jobs_are_one_row_each(desk: Desk) -> None:
    said = desk.tts("report")
    assert said.code == 0
    assert len(said.stdout.splitlines()) == 3
    assert "33.3 % (19.2 to 51.2)" in said.stdout.splitlines()[1]


def test_one_job_is_told_in_full(desk: Desk, jobs: tuple[int, int]) -> None:
    said = desk.tts("report", str(jobs[0])).stdout
    first, second, third, *_ = said.splitlines()
    assert first == f"job {jobs[0]}, problems majority_vote: majority_vote, budget 4, fast on problems"
    assert second == "accuracy 33.3 % (19.2 to 51.2): 10 of 30 right"
    assert third.startswith("the generator is the limit: on 66.7 % of the problems no sample is right")
    assert cells(said, "FLOPs, canonical") == ["90M", "3M"]
    assert cells(said, "FLOPs, executed by this job") == ["120M", "4M"]
    assert cells(said, "tokens, one prompt a query") == ["390", "13"]
    assert cells(said, "prompt tokens, as sent") == ["180", "6"]
    assert cells(said, "GPU-seconds") == ["15.0", "0.5"]
    assert cells(said, "dollars") == ["$0.03", "$0.001"]
    assert cells(said, "pass@2") == ["33.3", "%"]
    assert "wasted" not in said, "a part that nothing went into is left out"


def test_two_jobs_are_compared_in_a_sentence_first(desk: Desk, jobs: tuple[int, int]) -> None:
    said = desk.tts("report", *map(str, jobs)).stdout
    assert said.startswith(f"job {jobs[1]} is 66.7 points better than job {jobs[0]} (95 %: ")
    assert said.splitlines()[0].endswith("30 problems; McNemar p < 0.001) at 0.333 times the canonical FLOPs")
    assert cells(said, "FLOPs, canonical") == ["90M", "3M", "30M", "1M"]
    dollars = desk.tts("report", *map(str, jobs), "--cost", "usd").stdout
    assert dollars.splitlines()[0].endswith("at 1 times the dollars")


def test_more_jobs_are_each_compared_with_the_first(desk: Desk, jobs: tuple[int, int]) -> None:
    third = desk.submit(30, "--new")
    said = desk.tts("report", *map(str, (*jobs, third))).stdout
    assert said.splitlines()[0].startswith("job  dataset")
    assert f"job {jobs[1]} is 66.7 points better than job {jobs[0]}" in said
    assert f"job {third} (partial) and job {jobs[0]} have no problem in common" in said


def test_json_and_csv_have_the_same_rows(desk: Desk, jobs: tuple[int, int]) -> None:
    chosen = (*map(str, jobs), "--by", "strategy")
    found = desk.tts("report", *chosen, "--json").json
    assert [(row["job_id"], row["by"], row["value"]) for row in found] == [
        (jobs[0], None, None), (jobs[0], "strategy", "majority_vote"),
        (jobs[1], None, None), (jobs[1], "strategy", "majority_vote"),
    ]  # fmt: skip
    assert (found[2]["compared_with"], found[2]["gain"], found[0]["gain"]) == (jobs[0], pytest.approx(2 / 3), None)
    said = desk.tts("report", *chosen, "--csv").stdout
    listed = list(csv.DictReader(io.StringIO(said)))
    assert [set(row) for row in listed] == [set(row) - {"positions"} for row in found]
    assert [float(row["accuracy"]) for row in listed] == [row["accuracy"] for row in found]


def test_markdown_shows_the_tables_and_no_mark_of_the_datasets_own(desk: Desk, jobs: tuple[int, int]) -> None:
    put(desk.database, jobs[0], name="<script>alert(1)</script> | **bold**")
    said = desk.tts("report", str(jobs[0]), "--markdown").stdout
    assert "| FLOPs, canonical | 90M | 3M |" in said
    assert "<script>" not in said
    assert "\\<script\\>" in said
    assert "\\*\\*bold\\*\\*" in said
    assert "\\|" in said
    assert desk.tts("report", "--markdown").stdout.startswith("| job | dataset |")


def test_groups_are_shown_beneath(desk: Desk, jobs: tuple[int, int]) -> None:
    database = desk.database
    for place, row in enumerate(rows(database, QUERY, QUERY.c.job_id == jobs[0])):
        force(database, QUERY, row.id, bin=0 if place < 10 else 1)
    database.close()
    said = desk.tts("report", str(jobs[0]), "--by", "bin").stdout
    outcome = said.split("what came out, by bin")[1].splitlines()
    assert outcome[2].split()[:4] == ["0", "10", "100.0", "%"]
    assert outcome[3].split()[:4] == ["1", "20", "0.0", "%"]
    assert "what it cost, by bin" in said


def test_an_unfinished_job_says_that_it_is_partial(desk: Desk) -> None:
    job_id = desk.submit(3)
    desk.commit(desk.claim(job_id, 1))
    with desk.database.transaction() as connection:
        transitions.pause_job(connection, job_id, "too many errors")
    said = desk.tts("report", str(job_id)).stdout
    assert "partial: it is paused (too many errors), 1 of 3 queries done" in said
    fresh = desk.tts("report", str(desk.submit(3, "--new"))).stdout
    assert "partial: it is open, 0 of 3 queries done" in fresh


def test_without_references_it_says_what_is_known_instead(desk: Desk) -> None:
    job_id = desk.submit(2)
    first, second = desk.claim(job_id, 2)
    desk.commit([first], correct=None)
    assert (
        "\naccuracy unknown: no reference answers; 1 of 1 problems answered" in desk.tts("report", str(job_id)).stdout
    )
    desk.commit([second])
    said = desk.tts("report", str(job_id)).stdout
    assert "\naccuracy 100.0 % (20.7 to 100.0) over the 1 of 2 problems that have a reference answer; 2 of 2" in said


def test_an_oracle_is_labelled(desk: Desk, jobs: tuple[int, int]) -> None:
    put(desk.database, jobs[1], oracle=True)
    said = desk.tts("report", *map(str, jobs)).stdout
    assert said.startswith(f"job {jobs[1]} (oracle) is 66.7 points better")
    assert "majority_vote (oracle), budget" in said
    assert "oracle: that strategy read the reference answers" in said


def test_what_is_unknown_says_so(desk: Desk, jobs: tuple[int, int]) -> None:
    database = desk.database
    row = rows(database, USAGE, USAGE.c.job_id == jobs[0])[0]
    force(database, USAGE, row.id, flops_canonical=None, cached_tokens=None, dollars=None)
    database.close()
    said = desk.tts("report", *map(str, jobs)).stdout
    assert "what it costs in canonical FLOPs beside it is unknown" in said
    assert cells(said, "FLOPs, canonical") == ["unknown", "-", "30M", "1M"]
    assert cells(said, "  cached") == ["unknown", "-", "0", "0"]
    assert cells(said, "dollars")[:3] == ["at", "least", "$0.029"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--json", "--csv"), "exclude each other"),
        (("99",), "no job '99'"),
        (("--by", "moon"), "--by"),
        (("--cost", "euros"), "--cost"),
    ],
)
@pytest.mark.usefixtures("jobs")
def test_what_cannot_be_reported_is_a_sentence(desk: Desk, options: tuple[str, ...], words: str) -> None:
    said = desk.tts("report", *options)
    assert said.code == 2
    assert words in said.stderr
    assert said.stdout == ""


def test_without_any_job_it_says_how_to_make_one(desk: Desk) -> None:
    assert "there is no job yet" in desk.tts("report").stdout
    assert desk.tts("report", "--json").json == []
    assert desk.tts("report", "--csv").stdout == ""


def test_latencies_are_of_the_queries_that_are_done(desk: Desk) -> None:
    job_id = desk.submit(2)
    desk.commit(desk.claim(job_id, 1))
    database = desk.database
    first = rows(database, QUERY, QUERY.c.job_id == job_id)[0]
    start = datetime(2026, 1, 1, 12, 0, 0, 250000, tzinfo=UTC)
    force(database, QUERY, first.id, started_at=start, ended_at=start.replace(second=1, microsecond=500000))
    database.close()
    assert desk.tts("report", str(job_id), "--json").json[0]["latency_p99"] == 1.25

"""`curves`: tables, files and reasons."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from models.database import Database, upgrade
from tests.builders import worker
from tests.recorded_samples import RIGHT, UNREAD, WRONG, Drawn, record
from tests.unit.cli.conftest import Desk

PROBLEMS = [[RIGHT, WRONG, RIGHT, RIGHT], [WRONG, RIGHT, UNREAD, WRONG]]


@pytest.fixture
def database(desk: Desk) -> Database:
    made = desk.database
    upgrade(made)
    worker(made)
    return made


def test_a_table_with_a_mark_where_subsets_overlap(desk: Desk, database: Database) -> None:
    record(database, PROBLEMS, name="sums [red]")
    said = desk.tts("curves", "last")
    assert said.code == 0, said.stderr
    assert "job 1 (sums [red]): 2 problems x 4 samples, random subsets" in said.stdout
    lines = [line.split() for line in said.stdout.splitlines()]
    assert ["N", "1", "2", "4*", "95", "%", "at", "2", "tokens", "FLOPs", "cost"] in lines
    (passed,) = [line for line in lines if line[:1] == ["pass@k"]]
    assert passed[1:4] == ["50.0", "75.0", "100.0"]
    assert passed[-3:] == ["20", "unknown", "unknown"]


def test_json_has_the_shapes_of_the_report(desk: Desk, database: Database) -> None:
    record(database, PROBLEMS, name="sums")
    record(database, PROBLEMS, strategy="beam_search")
    said = desk.tts("curves", "1", "2", "1", "--json").json
    assert [job["job_id"] for job in said["jobs"]] == [1]
    assert said["not_replayable"] == [{"job_id": 2, "reason": said["not_replayable"][0]["reason"]}]
    one = said["curves"][1]
    assert (one["job_id"], one["name"], one["strategy"], one["aggregation"], one["estimator"]) == (
        1, "sums", "majority_vote", None, "subsets",
    )  # fmt: skip
    assert set(one["points"][0]) == {"n", "accuracy", "low", "high", "flops", "tokens", "dollars", "headline"}
    assert (one["points"][0]["n"], one["points"][0]["flops"]) == (1, None)


def test_what_cannot_be_replayed_is_named_and_the_others_are_shown(desk: Desk, database: Database) -> None:
    record(database, PROBLEMS)
    record(database, PROBLEMS, strategy="rebase")
    said = desk.tts("curves", "1", "2")
    assert said.code == 0
    assert "job 2 cannot be replayed: rebase: its candidates are no independent samples" in said.stdout
    alone = desk.tts("curves", "2")
    assert alone.code == 2
    assert alone.stderr.startswith("Error: job 2 cannot be replayed: rebase")
    assert len(alone.stderr.splitlines()) == 1


def test_files(desk: Desk, database: Database) -> None:
    record(database, [[Drawn(0, True, (0.5,)), Drawn(1, False, (0.7,))]] * 2, strategy="best_of_n", name="$a|b_$")
    files = ["--png", "a.png", "--svg", "a.svg", "--csv", "a.csv", "--markdown", "a.md"]
    said = desk.tts("curves", "1", "--estimator", "prefix", *files)
    assert said.code == 0, said.stderr
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    picture = Path("a.svg").read_bytes()
    assert b"<svg" in picture
    with Path("a.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * (8 + 2 * 4)
    assert {row["aggregation"] for row in rows} == {"", "last", "min", "prod", "mean"}
    page = Path("a.md").read_text()
    assert page.startswith("## job 1 ($a\\|b\\_$)\n")
    assert "| best\\_of\\_n (last) | 100.0 | 0.0 | 0.0 to 0.0 | 34 | unknown | unknown |" in page
    assert desk.tts("curves", "1", "--svg", "b.svg", "--estimator", "prefix").code == 0
    assert Path("b.svg").read_bytes() == picture
    printed = desk.tts("curves", "1", "--csv", "-").stdout
    assert printed.startswith("job_id,name,strategy,aggregation,estimator,n,accuracy,")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("7",), "no job '7'"),
        ((), "Missing argument"),
        (("1", "--csv", "-", "--json"), "name a file with --csv FILE"),
    ],
)
def test_bad_input_is_a_sentence(desk: Desk, options: tuple[str, ...], part: str) -> None:
    said = desk.tts("curves", *options)
    assert said.code == 2
    assert part in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_nothing_is_half_written(desk: Desk, database: Database) -> None:
    record(database, PROBLEMS)
    said = desk.tts("curves", "1", "--markdown", "missing/a.md")
    assert (said.code, said.stdout) == (2, "")
    assert "there is no directory" in said.stderr


def test_an_oracle_is_named_as_one(desk: Desk, database: Database) -> None:
    record(database, PROBLEMS, oracle=True, name="sums")
    assert "job 1 (sums, oracle)" in desk.tts("curves", "1").stdout

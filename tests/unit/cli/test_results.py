"""`results`: the rows, in order, page by page."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyarrow import parquet

from cli.rows import CANDIDATE_TYPES, QUERY_TYPES
from models import reports, transitions
from models.transitions import Outcome
from tests.unit.cli.conftest import Desk


@pytest.fixture
def job_id(desk: Desk) -> int:
    """Four queries: right, wrong, failed, and one that has not been started."""
    job_id = desk.submit(4)
    first, second, third = desk.claim(job_id, 3)
    desk.commit([first])
    desk.commit([second], answer="=1+1", correct=False)
    desk.commit([third], state="failed", reason="too long", answer=None, correct=None)
    return job_id


@pytest.mark.usefixtures("job_id")
def test_one_row_for_each_query_in_the_order_of_the_file(desk: Desk) -> None:
    said = desk.tts("results", "last")
    assert said.code == 0
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [(row["key"], row["state"], row["correct"], row["error"]) for row in rows] == [
        ("k0", "done", True, None),
        ("k1", "done", False, None),
        ("k2", "failed", None, "too long"),
        ("k3", "pending", None, None),
    ]
    took = rows[0].pop("seconds")
    ended = datetime.fromisoformat(rows[0].pop("ended_at"))
    assert took >= 0
    assert datetime.now(UTC) - timedelta(hours=1) < ended <= datetime.now(UTC)
    assert rows[0] == {
        "key": "k0", "prompt": "What is 0 + 1?", "answer": "1", "reference": "1", "correct": True, "votes": None,
        "voters": None, "score": None, "state": "done", "error": None, "stopped": "complete", "subject": None,
        "level": None, "bin": None, "strategy": "majority_vote", "samples": 2, "tokens": 13, "generated_tokens": 10,
        "scored_tokens": 0, "wasted_tokens": 0, "sequential_tokens": 0, "flops_canonical": 3e6, "gpu_seconds": 0.5,
        "dollars": 0.001,
    }  # fmt: skip
    assert (rows[3]["samples"], rows[3]["tokens"], rows[3]["dollars"]) == (0, 0, None)


@pytest.mark.usefixtures("job_id")
def test_one_row_for_each_candidate(desk: Desk) -> None:
    said = desk.tts("results", "last", "--candidates", "--format", "csv", "--output", "candidates.csv")
    assert (said.stdout, said.stderr) == ("", "6 rows written to candidates.csv\n")
    with Path("candidates.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["key"], row["path"]) for row in rows] == [(f"k{n}", p) for n in range(3) for p in "01"]
    assert rows[2]["answer"] == "'=1+1", "a spreadsheet must not run it"
    assert list(rows[0]) == list(CANDIDATE_TYPES)


@pytest.mark.usefixtures("job_id")
@pytest.mark.parametrize("option", [(), ("--candidates",), ("--format", "openai-batch")])
def test_pages_join_without_a_seam(desk: Desk, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...]) -> None:
    whole = desk.tts("results", "last", *option).stdout
    for size in (1, 2, 3, 4):
        monkeypatch.setattr(reports, "PAGE", size)
        assert desk.tts("results", "last", *option).stdout == whole


@pytest.mark.usefixtures("job_id")
def test_rows_of_another_job_stay_out(desk: Desk) -> None:
    other = desk.submit(4, "--new")
    desk.commit(desk.claim(other, 4))
    assert len(desk.tts("results", "1", "--candidates").stdout.splitlines()) == 6
    assert len(desk.tts("results", "2", "--candidates").stdout.splitlines()) == 8
    assert [json.loads(line)["state"] for line in desk.tts("results", "2").stdout.splitlines()] == ["done"] * 4


@pytest.mark.usefixtures("job_id")
def test_parquet_and_what_was_written_in_json(desk: Desk) -> None:
    said = desk.tts("results", "last", "--format", "parquet", "-o", "answers.parquet", "--json")
    assert said.json == {"job_id": 1, "rows": 4, "format": "parquet", "output": "answers.parquet"}
    table = parquet.read_table("answers.parquet")
    assert table.column("correct").to_pylist() == [True, False, None, None]
    assert table.column_names == list(QUERY_TYPES)
    assert {str(table.schema.field(name).type) for name in ("bin", "votes")} == {"int64"}, "though all are missing"


def test_candidates_as_parquet_hold_everything_with_lists_as_lists(desk: Desk) -> None:
    job_id = desk.submit(2)
    first, second = desk.claim(job_id, 2)
    desk.commit([first])
    with desk.database.transaction() as connection:
        drawn = {
            "path": "s0.1", "parent": "s0", "text": "So 2.", "answer": "2", "answer_class": 0, "correct": True,
            "finish_reason": "stop", "score": 0.75, "step_scores": [None, 0.75], "step_logprobs": [-0.5, -1],
            "prompt_tokens": 3, "cached_tokens": None, "generated_tokens": 5, "gpu_seconds": 0.25,
            "disposition": "discarded", "reused_from": 1,
        }  # fmt: skip
        outcome = Outcome(second, "done", answer="2", correct=True, candidates=[drawn])
        assert transitions.commit(connection, [outcome], datetime.now(UTC))
    desk.tts("results", "last", "--candidates", "--format", "parquet", "-o", "candidates.parquet")
    table = parquet.read_table("candidates.parquet")
    assert table.column_names == list(CANDIDATE_TYPES)
    assert {str(table.schema.field(f"step_{of}").type) for of in ("scores", "logprobs")} == {"list<element: double>"}
    assert table.to_pylist()[2] == {
        "key": "k1", "subject": None, "level": None, "reference": "2", "attempt": 1, "path": "s0.1", "parent": "s0",
        "text": "So 2.", "answer": "2", "answer_class": 0, "correct": True, "score": 0.75, "step_scores": [None, 0.75],
        "step_logprobs": [-0.5, -1.0], "finish_reason": "stop", "disposition": "discarded", "reused": True,
        "prompt_tokens": 3, "cached_tokens": None, "generated_tokens": 5, "gpu_seconds": 0.25,
    }  # fmt: skip


def test_a_job_without_candidates_has_the_same_columns(desk: Desk) -> None:
    desk.submit(1)
    desk.tts("results", "last", "--candidates", "--format", "parquet", "-o", "none.parquet")
    desk.tts("results", "last", "--format", "parquet", "-o", "queries.parquet")
    assert parquet.read_table("none.parquet").column_names == list(CANDIDATE_TYPES)
    assert parquet.read_table("none.parquet").num_rows == 0
    assert parquet.read_table("queries.parquet").num_rows == 1


@pytest.mark.usefixtures("job_id")
@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--format", "parquet"), "--output FILE.parquet"),
        (("--json",), "--output FILE"),
        (("--format", "openai-batch", "--candidates"), "leave the option out"),
        (("--output", "missing/answers.jsonl"), "there is no directory"),
    ],
)
def test_what_cannot_be_written_is_a_sentence(desk: Desk, options: tuple[str, ...], part: str) -> None:
    said = desk.tts("results", "last", *options)
    assert said.code == 2
    assert part in said.stderr
    assert len(said.stderr.splitlines()) == 1

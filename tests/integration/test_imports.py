"""Recordings become jobs of the tables, on SQLite and on PostgreSQL: once, whatever is killed, and with unknown costs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli.importing import import_recording
from cli.results import candidate_rows, query_rows
from models import reports, transitions
from models.catalogue import job_costs
from models.database import Database
from models.errors import UserError
from models.specification import JobSpecification
from models.transitions import CANDIDATE, JOB, QUERY, USAGE
from models.transitions.imports import store_imported
from scheduler.recordings import imports
from scheduler.recordings.gathering import gather
from scheduler.recordings.imports import Wish, open_import
from tests.builders import DATASET, PROBLEM, clock, count, database, rows, url
from tests.recordings import PLAIN, SEARCHED, boxed, generated, replied, write

__all__ = ["clock", "database", "url"]


def quiet(doing: str, rows: int) -> None:
    pass


def imported(database: Database, *files: str, wish: Wish | None = None, **options: Any) -> dict[str, Any]:
    return import_recording(database, files, wish or Wish(), quiet, **options)


def summary(database: Database, job_id: int) -> dict[str, Any]:
    with database.reading() as connection:
        return reports.cost_accuracy(connection, [job_id])[0]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PAGE", 2)


def test_a_search_becomes_a_job_whose_costs_are_unknown(database: Database, tmp_path: Path) -> None:
    said = imported(database, write(tmp_path / "r.jsonl", [SEARCHED]), wish=Wish(generator="llama", verifier="prm"))
    assert {name: said[name] for name in ("created", "state", "format", "strategy", "queries", "samples")} == {
        "created": True, "state": "done", "format": "search-and-learn", "strategy": "beam_search", "queries": 1, "samples": 4,
    }  # fmt: skip
    row = summary(database, said["job_id"])
    assert (row["generator"], row["verifier"], row["strategy"], row["budget"]) == ("llama", "prm", "beam_search", "4")
    assert row["imported_from"] == str(tmp_path / "r.jsonl")
    assert (row["done"], row["correct"], row["accuracy"], row["samples"], row["unparsed"]) == (1, 1, 1.0, 4, 1)
    unknown = (
        "prompt_tokens", "cached_tokens", "generated_tokens", "scored_tokens", "total_tokens", "sequential_tokens", "flops",
        "flops_canonical", "flops_2nd", "gpu_seconds", "spent_gpu_seconds", "dollars",
    )  # fmt: skip
    assert {name: row[name] for name in unknown} == dict.fromkeys(unknown)
    assert (row["reused_tokens"], row["wasted_tokens"]) == (0, 0)
    [query] = rows(database, QUERY)
    assert (query.state, query.answer, query.votes, query.voters, query.sequential_tokens) == (
        "done",
        "1.5",
        2,
        3,
        None,
    )
    assert [(one.phase, one.model, one.attempt_id, one.worker_id) for one in rows(database, USAGE)] == [
        ("generate", "llama", None, None), ("score", "prm", None, None),
    ]  # fmt: skip
    assert [one.generated_tokens for one in rows(database, CANDIDATE)] == [None] * 4
    with database.reading() as connection:
        assert reports.correctness(connection, said["job_id"]) == {query.problem_id: True}
        costs = job_costs(connection, JobSpecification(**rows(database, JOB)[0].specification))
    assert costs.architecture is None, "whoever asks for its FLOPs is told that they are unknown"
    [result] = query_rows(database, said["job_id"])
    assert (result["generated_tokens"], result["gpu_seconds"], result["samples"]) == (None, None, 4)
    assert [one["generated_tokens"] for one in candidate_rows(database, said["job_id"])] == [None] * 4


def test_what_the_recording_tells_of_tokens_is_kept(database: Database, tmp_path: Path) -> None:
    row = summary(database, imported(database, write(tmp_path / "r.jsonl", [PLAIN]))["job_id"])
    assert (row["generated_tokens"], row["sequential_tokens"]) == (14, 8)
    unread = ("prompt_tokens", "scored_tokens", "total_tokens")
    assert [row[name] for name in unread] == [None] * 3, "nobody says what the verifier read"
    drawn, _ = rows(database, USAGE)
    assert (drawn.prompt_tokens, drawn.canonical_prompt_tokens, drawn.samples) == (18, 9, 2)
    (tmp_path / "d.jsonl").write_text('{"id": "k0", "problem": "0 + 1?", "answer": "1"}\n')
    batch = write(tmp_path / "b.jsonl", [replied("k0", boxed("1"), boxed("2"))])
    row = summary(database, imported(database, batch, dataset=str(tmp_path / "d.jsonl"))["job_id"])
    assert (row["prompt_tokens"], row["cached_tokens"], row["generated_tokens"], row["total_tokens"]) == (
        20,
        16,
        14,
        34,
    )
    assert (row["correct"], row["graded"], row["sequential_tokens"]) == (1, 1, None)
    assert row["generator"] == "some-model", "as the batch says"


def test_a_repeated_command_finds_its_job_and_adds_nothing(database: Database, tmp_path: Path) -> None:
    files = [write(tmp_path / f"rs{n}.jsonl", [generated(k, str(k + n)) for k in range(5)]) for n in range(3)]
    first = imported(database, *files)
    tables = ("dataset", "problem", "job", "query", "candidate", "usage", "model_specification")
    before = {name: count(database, name) for name in tables}
    assert before == {
        "dataset": 1,
        "problem": 5,
        "job": 1,
        "query": 5,
        "candidate": 15,
        "usage": 5,
        "model_specification": 1,
    }
    again = imported(database, *files)
    assert (again["job_id"], again["created"]) == (first["job_id"], False)
    assert again["notes"] == [f"job {first['job_id']} was imported before; --new makes another"]
    assert {name: count(database, name) for name in tables} == before
    other = imported(database, *files, wish=Wish(generator="other"))
    replicate = imported(database, *files, new=True)
    assert len({first["job_id"], other["job_id"], replicate["job_id"]}) == 3
    assert count(database, "problem") == 5, "they share the problems, and can be compared"


@pytest.mark.usefixtures("small_pages")
def test_an_interrupted_import_is_continued(database: Database, tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [generated(n, str(n + n % 2)) for n in range(7)])

    class Killed(BaseException):
        pass

    def kill(doing: str, rows: int) -> None:
        if (doing, rows) == ("importing", 4):
            raise Killed

    with pytest.raises(Killed):
        import_recording(database, [path], Wish(), kill)
    [job] = rows(database, JOB)
    assert (job.state, job.query_count, count(database, "query"), count(database, "candidate")) == ("loading", 4, 4, 4)
    said = imported(database, path)
    assert (said["job_id"], said["created"], said["state"]) == (job.id, True, "done")
    assert (count(database, "query"), count(database, "candidate"), count(database, "usage")) == (7, 7, 7)
    [verdicts] = [row for row in said["compared"] if row["field"] == "verdicts"]
    assert (verdicts["compared"], verdicts["right_as_graded"]) == (7, 3), "of all of it, also what was there already"


@pytest.mark.usefixtures("small_pages")
def test_two_that_import_the_same_store_it_once(database: Database, tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [generated(n, "1") for n in range(5)])
    with closing(gather([path], format=None, dataset=None, progress=quiet)) as recording:
        slow = open_import(database, recording, Wish(), None, new=False, progress=quiet)
        pages = list(slow.pages())
        fast = imported(database, path)
        assert (fast["job_id"], fast["state"]) == (slow.job_id, "done")
        with database.transaction() as connection:
            assert not store_imported(connection, slow.job_id, 0, [])
        for first in (1, 3, 5):
            slow.store(first, [_nothing(known.problem_id) for known in pages[first // 2]])
        slow.finish()
    assert (slow.state, slow.stored) == ("done", 5)
    assert (count(database, "query"), count(database, "candidate")) == (5, 5)


def _nothing(problem_id: int) -> Any:
    from models.transitions.imports import ImportedQuery

    return ImportedQuery(problem_id, {"answer": None}, [], (), False)


@pytest.mark.usefixtures("small_pages")
def test_a_cancelled_import_stays_cancelled(database: Database, tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [generated(n, "1") for n in range(5)])

    def cancel(doing: str, rows: int) -> None:
        if (doing, rows) == ("importing", 2):
            with database.transaction() as connection:
                [job_id] = connection.execute(JOB.select().with_only_columns(JOB.c.id)).scalars()
                transitions.cancel_job(connection, job_id, database.clock.now(connection))

    for progress in (cancel, quiet):
        with pytest.raises(UserError, match="job 1 was cancelled; use --new for a fresh one"):
            import_recording(database, [path], Wish(), progress)
    assert imported(database, path, new=True)["state"] == "done"


def test_imported_with_its_dataset_it_shares_the_problems_of_our_jobs(database: Database, tmp_path: Path) -> None:
    dataset = write(
        tmp_path / "d.jsonl", [{"id": f"d{n}", "problem": f"{n} and 1?", "answer": str(n + 1)} for n in range(9)]
    )
    said = imported(database, write(tmp_path / "r.jsonl", [generated(3, "4"), generated(1, "9")]), dataset=dataset)
    assert said["queries"] == 2
    assert count(database, "problem") == 9
    keys = {row.id: row.key for row in rows(database, PROBLEM)}
    assert [(keys[one.problem_id], one.correct) for one in rows(database, QUERY)] == [("d3", True), ("d1", False)]
    assert [row.name for row in rows(database, DATASET)] == ["d"]


def test_the_differences_are_written_and_again_for_what_is_imported(database: Database, tmp_path: Path) -> None:
    path, listed = write(tmp_path / "r.jsonl", [SEARCHED]), tmp_path / "differences.jsonl"
    imported(database, path, differences=str(listed))
    before = listed.read_bytes()
    assert before.count(b"\n") == 1
    listed.unlink()
    again = imported(database, path, differences=str(listed))
    assert (again["created"], listed.read_bytes()) == (False, before)
    assert [row["the_same"] for row in again["compared"]].count(0) == 1


def test_a_bad_record_leaves_nothing(database: Database, tmp_path: Path) -> None:
    bad = write(tmp_path / "r.jsonl", [generated(1, "2"), {**generated(2, "3"), "generation": None}])
    with pytest.raises(UserError, match="line 2"):
        imported(database, bad, differences=str(tmp_path / "differences.jsonl"))
    assert [count(database, name) for name in ("dataset", "problem", "job")] == [0, 0, 0]
    assert not (tmp_path / "differences.jsonl").exists()

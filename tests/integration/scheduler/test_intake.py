"""From a file to an open job: whole or not at all, once however often, and in memory that does not grow."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import transitions
from models.database import Database, upgrade
from models.errors import UserError
from models.transitions import JOB, QUERY
from scheduler import intake
from scheduler.readers import open_dataset
from scheduler.submission import Request, Submitted, submit
from tests.builders import DATASET, PROBLEM, ManualClock, count, job_of, rows, write_problems

BATCH = 10


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH", BATCH)


def quietly(what: str, done: int) -> None:
    pass


def stop_at(what: str, done: int) -> Callable[[str, int], None]:
    """A progress callback that pulls the plug when `what` has come to `done` rows."""

    def progress(now: str, rows_done: int) -> None:
        if now == what and rows_done >= done:
            raise KeyboardInterrupt

    return progress


def send(
    database: Database, path: Path, progress: Callable[[str, int], None] = quietly, *, skip_bad: bool = False,
    new: bool = False, **request: Any,
) -> Submitted:  # fmt: skip
    wanted = Request(
        **{"generator": "fast", "strategy": "majority_vote", "parameters": {}, "budget": (4.0, "samples"), **request}
    )
    return submit(database, open_dataset(str(path)), wanted, skip_bad=skip_bad, new=new, progress=progress)


def test_a_file_becomes_a_job(database: Database, directory: Path, small_batches: None) -> None:
    told: list[tuple[str, int]] = []
    submitted = send(
        database, write_problems(directory / "sums.jsonl", 25), lambda what, done: told.append((what, done))
    )
    assert submitted == Submitted(1, True, "open", 25)
    [job], [dataset] = rows(database, JOB), rows(database, DATASET)
    assert (job.state, job.query_count, job.strategy, job.generator) == ("open", 25, "majority_vote", "fast")
    assert (dataset.state, dataset.problem_count, dataset.name, dataset.skipped) == ("ready", 25, "sums", None)
    problems, queries = rows(database, PROBLEM), rows(database, QUERY)
    assert [(row.position, row.key, row.answer) for row in problems[:2]] == [(1, "k1", "2"), (2, "k2", "3")]
    assert [row.problem_id for row in queries] == [row.id for row in problems]
    assert {(row.state, row.planned, row.sequences) for row in queries} == {("pending", False, 1)}
    assert {what for what, _ in told} == {"checking", "loading", "opening"}


@pytest.mark.parametrize(
    ("what", "done", "problems", "queries"), [("checking", 10, 0, 0), ("loading", 20, 20, 0), ("opening", 20, 25, 19)]
)
def test_an_interrupted_load_goes_on_where_it_was(
    database: Database, directory: Path, small_batches: None, what: str, done: int, problems: int, queries: int
) -> None:  # fmt: skip
    path = write_problems(directory / "sums.jsonl", 25)
    with pytest.raises(KeyboardInterrupt):
        send(database, path, stop_at(what, done))
    before = rows(database, PROBLEM)
    assert (len(before), count(database, "query")) == (problems, queries)
    assert {row.state for row in rows(database, JOB)} <= {"loading"}
    loads: list[int] = []
    submitted = send(database, path, lambda now, rows_done: loads.append(rows_done) if now == "loading" else None)
    assert (submitted.state, submitted.query_count) == ("open", 25)
    assert rows(database, PROBLEM)[:problems] == before
    assert loads == [end for end in (10, 20, 25) if end > problems]  # what is there is not loaded again
    assert [row.position for row in rows(database, PROBLEM)] == list(range(1, 26))
    assert (count(database, "query"), count(database, "job"), count(database, "dataset")) == (25, 1, 1)


def test_a_repeated_command_finds_the_same_job(database: Database, directory: Path) -> None:
    path = write_problems(directory / "sums.jsonl", 5)
    first = send(database, path)
    assert send(database, path) == Submitted(first.job_id, False, "open", 5)
    # What may change later does not make another job, nor does the name of the file.
    copy = write_problems(directory / "copy.jsonl", 5)
    again = send(database, copy, priority=1, job_budget=(99.0, "samples"), fail_on_error=0.5, name="another")
    assert (again.job_id, count(database, "dataset"), count(database, "query")) == (first.job_id, 1, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"budget": (8.0, "samples")},
        {"strategy": "best_of_n"},
        {"seed": 1},
        {"template": "plain"},
        {"sampling": {"temperature": 0.9}},
    ],
)
def test_another_specification_is_another_job_on_the_same_dataset(
    database: Database, directory: Path, change: dict[str, Any]
) -> None:  # fmt: skip
    path = write_problems(directory / "sums.jsonl", 5)
    first, second = send(database, path), send(database, path, **change)
    assert second.created
    assert first.job_id != second.job_id
    assert (count(database, "dataset"), count(database, "problem"), count(database, "query")) == (1, 5, 10)


def test_new_makes_a_replicate_with_a_seed_of_its_own(database: Database, directory: Path) -> None:
    path = write_problems(directory / "sums.jsonl", 5)
    for new in (False, True, True):
        send(database, path, new=new)
    jobs = rows(database, JOB)
    assert [row.replicate for row in jobs] == [0, 1, 2]
    seeds = [row.specification["seed"] for row in jobs]
    assert seeds[0] == 0
    assert len(set(seeds)) == 3
    assert not {1, 2} & set(seeds), "a seed that a person may well have chosen would reuse that job's candidates"
    assert len({row.fingerprint for row in jobs}) == 1
    assert len({row.sampling_key for row in jobs}) == 3
    assert send(database, path).job_id == jobs[-1].id


def test_a_cancelled_job_is_found_and_not_opened_again(
    database: Database, directory: Path, clock: ManualClock
) -> None:  # fmt: skip
    path = write_problems(directory / "sums.jsonl", 5)
    job_id = send(database, path).job_id
    with database.transaction() as connection:
        transitions.cancel_job(connection, job_id, clock.time)
    assert send(database, path) == Submitted(job_id, False, "cancelled", 5)


@pytest.mark.parametrize(("earlier", "later"), [(3, 7), (3, 23), (12, 13)])
def test_a_key_that_comes_twice_names_both_lines_and_leaves_nothing(
    database: Database, directory: Path, small_batches: None, earlier: int, later: int
) -> None:  # fmt: skip
    twice = '{"unique_id": "twin", "problem": "1 + 1?", "answer": "2"}'
    path = write_problems(directory / "sums.jsonl", 25, **{f"line{earlier}": twice, f"line{later}": twice})
    with pytest.raises(UserError) as caught:
        send(database, path)
    assert str(caught.value) == (
        f"{path} line {later}: key 'twin' is already that of {path} line {earlier}; make the keys unique"
    )
    assert [count(database, name) for name in ("dataset", "problem", "job", "query")] == [0, 0, 0, 0]


def test_a_bad_row_is_named_and_leaves_nothing(database: Database, directory: Path, small_batches: None) -> None:
    path = write_problems(directory / "sums.jsonl", 25, line17='{"unique_id": "k17", "problem": "", "answer": "2"}')
    with pytest.raises(UserError, match=r"sums.jsonl line 17: .* or leave such rows out with --skip-bad"):
        send(database, path)
    assert [count(database, name) for name in ("dataset", "problem", "job", "query")] == [0, 0, 0, 0]


def test_bad_rows_are_left_out_and_recorded_when_asked(
    database: Database, directory: Path, small_batches: None
) -> None:
    path = write_problems(directory / "sums.jsonl", 25, line17='{"problem": ""}', line4="not JSON")
    assert send(database, path, skip_bad=True).query_count == 23
    [dataset] = rows(database, DATASET)
    assert [(bad["row"], bool(bad["reason"])) for bad in dataset.skipped] == [(4, True), (17, True)]
    assert {4, 17}.isdisjoint(row.position for row in rows(database, PROBLEM))
    # Without the option the same file is refused as before, though it has been loaded.
    with pytest.raises(UserError, match="line 4"):
        send(database, path)


def test_a_file_without_a_usable_row_is_refused(database: Database, directory: Path) -> None:
    path = write_problems(
        directory / "sums.jsonl", 2, line2='{"unique_id": "", "problem": ""}', line1='{"problem": " "}'
    )
    with pytest.raises(UserError, match="no usable row"):
        send(database, path, skip_bad=True)
    assert count(database, "dataset") == 0


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"generator": "nobody"}, "--generator"),
        ({"strategy": "luck"}, "--strategy"),
        ({"parameters": {"luck": 1}}, "--strategy"),
        ({"verifier": "oracle"}, "--verifier"),
        ({"verifier": "exact"}, "majority_vote uses no verifier"),
        ({"template": "nothing"}, "nothing"),
        ({"answer": "essay"}, "--answer: unknown kind 'essay'; choose one of math, number, choice, text"),
        ({"tolerance": 0.01}, "--tolerance: the answers are math; give --answer number as well"),
        ({"tolerance": 0.01, "answer": "choice"}, "--tolerance: the answers are choice"),
        ({"budget": (1e12, "flops")}, "needs the architecture of fast"),
        ({"job_budget": (5.0, "usd")}, "needs a price for fast"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_before_anything_is_read(
    database: Database, directory: Path, request_: dict[str, Any], says: str
) -> None:  # fmt: skip
    with pytest.raises(UserError, match=says):
        send(database, write_problems(directory / "sums.jsonl", 3), **request_)
    assert count(database, "dataset") == 0


def test_the_same_file_submitted_at_once_is_one_job(database: Database, directory: Path, small_batches: None) -> None:
    path = write_problems(directory / "sums.jsonl", 95)
    found: list[Submitted] = []
    failures: list[BaseException] = []
    others = [Database(database.url, database.clock) for _ in range(3)]

    def run(mine: Database) -> None:
        try:
            found.append(send(mine, path))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(mine,)) for mine in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in others:
        mine.close()
    assert failures == []
    assert {submitted.job_id for submitted in found} == {1}
    assert (count(database, "problem"), count(database, "query"), job_of(database, 1).query_count) == (95, 95, 95)


def test_a_loader_lets_others_write_meanwhile(sqlite_url: str, directory: Path, small_batches: None) -> None:
    database, other = Database(sqlite_url), Database(sqlite_url)
    upgrade(database)
    waited: list[float] = []

    def progress(what: str, done: int) -> None:
        start = time.monotonic()
        with other.transaction():
            pass
        waited.append(time.monotonic() - start)

    send(database, write_problems(directory / "sums.jsonl", 200), progress)
    assert len(waited) > 40
    assert max(waited) < 5
    database.close()
    other.close()


def test_a_hundred_thousand_rows_take_little_memory(database: Database, directory: Path) -> None:
    path = write_problems(directory / "sums.jsonl", 100_000)
    sent = send(database, write_problems(directory / "few.jsonl", 10))  # what is loaded once is not counted
    tracemalloc.start()
    try:
        sent = send(database, path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent.query_count == 100_000
    assert peak < 30 * 2**20

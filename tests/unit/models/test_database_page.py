"""docs/database.md explains every column of every view, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

from models.database import Database
from models.transitions import JOB, Outcome
from models.views import VIEWS
from tests.builders import add_dataset, add_job, candidate_row, claimed, commit, force, usage_row, worker

PAGE = (Path(__file__).parents[3] / "docs" / "database.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def section(heading: str) -> str:
    found = re.search(rf"^{re.escape(heading)}$(.*?)(^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found.group(1)


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_of_a_view_is_explained_and_no_other(database: Database, view: str) -> None:
    with database.reading() as connection:
        columns = {column["name"] for column in inspect(connection).get_columns(view)}
    explained = re.findall(r"^\| (`.*?) \|", section(f"### `{view}`"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(explained))) == columns


def test_every_table_is_explained_with_columns_that_it_has() -> None:
    lines = re.findall(r"^\| `(\w+)` \| [^|]* \| (.*) \|$", section("## Tables"), re.MULTILINE)
    assert {name for name, _ in lines} == set(SQLModel.metadata.tables)
    for name, said in lines:
        values = {
            "running",
            "done",
            "drained",
            "lost",
            "failed",
            "cancelled",
            "stop",
            "length",
            "clipped",
            "settled",
            "budget",
        }
        named = set(re.findall(r"`(\w+)`", said)) - values
        assert named <= set(SQLModel.metadata.tables[name].columns.keys()), name


def run(database: Database, number: int) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(text(EXAMPLES[number])))


@pytest.fixture
def jobs(database: Database) -> list[int]:
    """Two finished jobs on two problems; the second job's first sample is wrong where the vote is right."""
    worker(database)
    with database.transaction() as connection:
        dataset = add_dataset(connection, 2)
    shelves = [add_job(database, 2, dataset=dataset, strategy=name) for name in ("greedy", "majority_vote")]
    for shelf, size in zip(shelves, (1, 3), strict=True):
        for got in claimed(database, shelf):
            drawn = [
                candidate_row(path, answer="2" if n else "7", answer_class=min(n, 1), correct=n > 0)
                for n, path in enumerate(["greedy"] if size == 1 else ["0", "1", "2"])
            ]
            result = Outcome(got, "done", answer="2" if size > 1 else "7", correct=size > 1, candidates=drawn)
            result.usage = [usage_row(calls=size, generated_tokens=5 * size)]
            commit(database, result)
        force(database, JOB, shelf.job_id, state="done")
    unfinished = add_job(database, 2, dataset=dataset)
    claimed(database, unfinished)
    return [shelf.job_id for shelf in shelves]


def test_there_are_five_examples() -> None:
    assert len(EXAMPLES) == 5


def test_the_example_of_cost_and_accuracy(database: Database, jobs: list[int]) -> None:
    found = [(row.strategy, row.percent, row.total_tokens, row.per_query) for row in run(database, 0)]
    assert found == [("greedy", 0, 30, 15), ("majority_vote", 100, 50, 25)]


def test_the_example_of_a_replayed_vote(database: Database, jobs: list[int]) -> None:
    assert [tuple(row) for row in run(database, 1)] == [(1, 2, 0), (2, 2, 0), (3, 2, 2)]


def test_the_example_of_disagreement(database: Database, jobs: list[int]) -> None:
    greedy, voted = jobs
    assert [tuple(row) for row in run(database, 2)] == [
        ("k1", voted, greedy, "7", "2"),
        ("k2", voted, greedy, "7", "3"),
    ]


def test_the_example_of_where_the_tokens_went(database: Database, jobs: list[int]) -> None:
    found = [(row.phase, row.disposition, bool(row.reused), row.calls, row.tokens) for row in run(database, 3)]
    assert found == [("generate", "kept", False, 2, 30), ("generate", "kept", False, 6, 50)]


def test_the_example_of_work_in_hand(database: Database, jobs: list[int]) -> None:
    [row] = run(database, 4)
    assert (row.id, row.generator) == ("w1", "fast")
    assert row.oldest is not None

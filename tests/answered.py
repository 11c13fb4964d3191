"""Finished jobs whose answers and costs are known, for tests of what is decided from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.database import Database
from models.transitions import JOB, Outcome
from tests.builders import Shelf, add_dataset, add_job, claimed, commit, force, usage_row


def add_problems(database: Database, count: int, name: str = "sums") -> tuple[int, list[int]]:
    with database.transaction() as connection:
        return add_dataset(connection, count, name)


def add_answered(
    database: Database,
    dataset: tuple[int, list[int]],
    right: Sequence[bool | None],
    usage: Sequence[dict[str, Any]] = ({},),
    *,
    state: str = "done",
    generator: str = "fast",
    **values: Any,
) -> Shelf:
    """A job that answered the first problems of a dataset: `right` says how (None: not graded), and each took the ledger's
    rows `usage`, as `tests.builders.usage_row` completes them."""
    shelf = add_job(database, len(right), dataset=dataset, **values)
    rows = [usage_row(**row) for row in usage]
    outcomes = [
        Outcome(got, "done", answer="2", correct=correct, usage=rows)
        for got, correct in zip(claimed(database, shelf), right, strict=True)
    ]
    assert len(commit(database, *outcomes)) == len(right)
    force(database, JOB, shelf.job_id, state=state, generator=generator)
    return shelf

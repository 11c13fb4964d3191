"""Submitting a job that is answered in stages: its pool, its oracle, and what is checked before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models import transitions
from models.database import Database
from models.errors import UserError
from models.transitions import JOB, Outcome
from scheduler.readers import open_dataset
from scheduler.submission import Request, Submitted, submit
from tests.builders import candidate_row, claim, commit, count, job_of, plan_row, rows, write_problems
from tests.stages import calibrated


@pytest.fixture
def problems(directory: Path) -> Path:
    return write_problems(directory / "sums.jsonl", 3)


def send(database: Database, path: Path, **request: Any) -> Submitted:
    usual: dict[str, Any] = {
        "generator": "fast",
        "strategy": "compute_optimal",
        "parameters": {},
        "budget": (8.0, "samples"),
    }
    return submit(
        database, open_dataset(str(path)), Request(**{**usual, **request}), skip_bad=False, new=False,
        progress=lambda what, done: None,
    )  # fmt: skip


def test_an_adaptive_job_has_the_budget_of_all_its_queries_as_its_pool(database: Database, problems: Path) -> None:
    chosen = {"allocation": "adaptive", "policy": (calibrated({0: 0.75}), "ours@1")}
    job = job_of(database, send(database, problems, **chosen).job_id)
    assert (job.cap_amount, job.cap_unit, job.budget, job.oracle) == (24.0, "samples", "8", False)
    again = send(database, problems, **chosen)
    assert (again.job_id, again.created) == (job.id, False)
    other = send(database, problems, **chosen, seed=1, job_budget=(500.0, "tokens"))
    job = job_of(database, other.job_id)
    assert (job.cap_amount, job.cap_unit) == (500.0, "tokens")
    by_bin = job_of(database, send(database, problems).job_id)
    assert (by_bin.cap_amount, by_bin.cap_unit) == (None, None)


def test_an_oracle_of_difficulty_is_labelled(database: Database, problems: Path) -> None:
    with pytest.raises(UserError, match="--difficulty oracle: no sample of fast has been graded of 3 of 3 problems"):
        send(database, problems, difficulty="oracle")
    assert count(database, "job") == 0
    earlier = send(database, problems, strategy="majority_vote")
    grade_all(database, earlier.job_id)
    submitted = send(database, problems, difficulty="oracle")
    assert job_of(database, submitted.job_id).oracle is True


def grade_all(database: Database, job_id: int) -> None:
    with database.transaction() as connection:
        now = database.clock.now(connection)
        ids = [
            row.id for row in connection.execute(transitions.QUERY.select().where(transitions.QUERY.c.job_id == job_id))
        ]
        transitions.plan(connection, [plan_row(query_id) for query_id in ids])
        transitions.ring(connection, job_id, dict.fromkeys(ids, 0.0), now)
    for got in claim(database, ids):
        commit(database, Outcome(got, "done", candidates=[candidate_row("0", correct=True)]))


def test_levels_are_wanted_where_they_are_the_difficulty(database: Database, problems: Path) -> None:
    with pytest.raises(UserError, match="--difficulty given: 3 of 3 problems have no level"):
        send(database, problems, difficulty="given")
    assert rows(database, JOB) == []

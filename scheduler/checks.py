"""Checks: whether a dataset has what a job needs of it."""

from __future__ import annotations

from sqlalchemy import Connection, select

from models.errors import UserError
from models.specification import JobSpecification
from scheduler.difficulty import Recorded, difficulty_of
from scheduler.extensions import is_oracle
from scheduler.intake import PROBLEM, references

BATCH = 1000


def check_dataset(connection: Connection, specification: JobSpecification, dataset_id: int) -> None:
    """Raises UserError, naming the option, where the problems lack something that the job reads."""
    if is_oracle(specification.verifier):
        check_references(specification.verifier, *references(connection, dataset_id))
    difficulty = difficulty_of(connection, specification, dataset_id)
    if isinstance(difficulty, Recorded) and difficulty.oracle:
        _check_recorded(connection, specification.generator, difficulty, dataset_id)


def check_references(verifier: str | None, total: int, referenced: int) -> None:
    """Raises UserError where an oracle would have to judge problems without a reference answer."""
    if referenced < total:
        raise UserError(
            f"--verifier: {verifier} reads the reference answers, and {total - referenced} of {total} problems have none; "
            "choose another verifier"
        )


def _check_recorded(connection: Connection, generator: str, recorded: Recorded, dataset_id: int) -> None:
    """An oracle of difficulty has to have seen graded samples of every problem."""
    problems = list(connection.execute(select(PROBLEM.c.id).where(PROBLEM.c.dataset_id == dataset_id)).scalars())
    seen: set[int] = set()
    for start in range(0, len(problems), BATCH):
        rows = connection.execute(recorded.samples(problems[start : start + BATCH]))
        seen |= {row.problem_id for row in rows if row.graded}
    if len(seen) < len(problems):
        raise UserError(
            f"--difficulty oracle: no sample of {generator} has been graded of {len(problems) - len(seen)} of "
            f"{len(problems)} problems; run a job of majority_vote on them first, or leave the option out"
        )

"""Difficulty that is known before a query is probed: a column's, earlier jobs', an oracle's, or none."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, case, func, select

from models import tables
from models.errors import UserError
from models.specification import JobSpecification
from models.transitions import CANDIDATE, JOB, QUERY, table
from models.wire import lane_of
from strategies.budget_forcing import THOUGHT
from strategies.first_finish import FIRST_SEGMENT
from strategies.search import FIRST_STEP
from strategies.sequential_revision import REVISION

PROBLEM = table(tables.Problem)
SOURCES = ("probe", "given", "prior", "oracle", "none")
UNKNOWN = 0.5
"""P(one sample fails) where nothing is known: Laplace's rule of succession with no sample."""
WORDS = ("easy", "medium", "hard")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Difficulty(Protocol):
    """What is known of the problems of a job before any sample of it is drawn."""

    def failures(self, connection: Connection, problem_ids: Sequence[int]) -> Mapping[int, float]:
        """Problem id -> the probability that one sample of it is wrong, for all of them."""
        ...


def difficulty_of(connection: Connection, specification: JobSpecification, dataset_id: int) -> Difficulty | None:
    """None where queries are probed.

    Raises:
        UserError: the dataset does not say what its problems' difficulty is.
    """
    if specification.difficulty == "probe":
        return None
    if specification.difficulty == "none":
        return Unknown()
    if specification.difficulty == "given":
        return Given(rank(levels_of(connection, dataset_id)))
    return Recorded(
        lane_of(specification.generator, specification.generator_identity), specification.difficulty == "oracle"
    )


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known, and nothing is spent to find out."""

    def failures(self, connection: Connection, problem_ids: Sequence[int]) -> Mapping[int, float]:
        return dict.fromkeys(problem_ids, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Given:
    """By the problems' level, of which `ranks` has the difficulty."""

    ranks: Mapping[str, float]

    def failures(self, connection: Connection, problem_ids: Sequence[int]) -> Mapping[int, float]:
        found = connection.execute(select(PROBLEM.c.id, PROBLEM.c.level).where(PROBLEM.c.id.in_(problem_ids)))
        return {row.id: self.ranks[row.level] for row in found}


def levels_of(connection: Connection, dataset_id: int) -> list[str]:
    """The levels that problems of a dataset have.

    Raises:
        UserError: some have none.
    """
    total, with_level = connection.execute(
        select(func.count(), func.count(PROBLEM.c.level)).where(PROBLEM.c.dataset_id == dataset_id)
    ).one()
    if with_level < total:
        raise UserError(
            f"--difficulty given: {total - with_level} of {total} problems have no level; name its column with "
            "--field level=COLUMN, or leave the option out"
        )
    return list(
        connection.execute(select(PROBLEM.c.level).where(PROBLEM.c.dataset_id == dataset_id).distinct()).scalars()
    )


def rank(levels: Iterable[str]) -> dict[str, float]:
    """The probability of failure of each level: the number itself where all are between 0 and 1 and not all whole, or
    else its place among the levels, which are ordered by the number in them (`Level 5`) or as easy, medium, hard.

    Raises:
        UserError: they have no such order.
    """
    levels = list(levels)
    numbers = {level: _number(level) for level in levels}
    places = {level: float(WORDS.index(level.strip().lower())) for level in levels if level.strip().lower() in WORDS}
    values = {level: value for level, value in numbers.items() if value is not None} or places
    if len(values) < len(levels):
        strange = next(level for level in levels if level not in values)
        raise UserError(
            f"--difficulty given: the level {strange!r} has no place among the others; use numbers between 0 (easy) and 1, "
            f"levels with one number each, or {', '.join(WORDS)}"
        )
    whole = all(value.is_integer() for value in values.values())
    if not whole and all(0 <= value <= 1 for value in values.values()):
        return values
    order = sorted(set(values.values()))
    return {level: (order.index(value) + 0.5) / len(order) for level, value in values.items()}


def _number(level: str) -> float | None:
    try:
        return float(level)
    except ValueError:
        found = _NUMBER.findall(level)
        return float(found[0]) if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Recorded:
    """By the samples that the same generator has drawn of the same problem for other jobs.

    Where they were graded it is the share of wrong ones, or else one minus the share of the most frequent answer, by
    Laplace's rule of succession. An `oracle` takes the share of wrong ones as it is.
    """

    lane: str
    oracle: bool

    def failures(self, connection: Connection, problem_ids: Sequence[int]) -> Mapping[int, float]:
        drawn, graded, right, leading = (defaultdict[int, int](int) for _ in range(4))
        most: dict[tuple[int, int], int] = {}
        for row in connection.execute(self.samples(problem_ids)):
            drawn[row.problem_id] += row.samples
            graded[row.problem_id] += row.graded
            right[row.problem_id] += row.right
            if row.answer_class >= 0:
                key = (row.problem_id, row.query_id)
                most[key] = max(most.get(key, 0), row.samples)
        for (problem_id, _), votes in most.items():
            leading[problem_id] += votes
        return {one: self._failure(drawn[one], graded[one], right[one], leading[one]) for one in problem_ids}

    def _failure(self, drawn: int, graded: int, right: int, leading: int) -> float:
        if self.oracle:
            return 1 - right / graded if graded else UNKNOWN
        return 1 - (right + 1) / (graded + 2) if graded else 1 - (leading + 1) / (drawn + 2)

    def samples(self, problem_ids: Sequence[int]) -> Any:
        """Samples by problem, query and answer, copies left out."""
        return (
            select(
                QUERY.c.problem_id,
                CANDIDATE.c.query_id,
                CANDIDATE.c.answer_class,
                func.count().label("samples"),
                func.count(CANDIDATE.c.correct).label("graded"),
                func.coalesce(func.sum(case((CANDIDATE.c.correct, 1), else_=0)), 0).label("right"),
            )
            .join(QUERY, QUERY.c.id == CANDIDATE.c.query_id)
            .join(JOB, JOB.c.id == QUERY.c.job_id)
            .where(
                QUERY.c.problem_id.in_(problem_ids),
                JOB.c.lane == self.lane,
                CANDIDATE.c.parent.is_(None),
                # 0: a copy in the place of an original that was pruned.
                func.coalesce(CANDIDATE.c.reused_from, 0) == 0,
                CANDIDATE.c.finish_reason.in_(("stop", "length")),
                *(CANDIDATE.c.path.not_like(f"{start}%") for start in (FIRST_STEP, REVISION, FIRST_SEGMENT, THOUGHT)),
            )
            .group_by(QUERY.c.problem_id, CANDIDATE.c.query_id, CANDIDATE.c.answer_class)
        )

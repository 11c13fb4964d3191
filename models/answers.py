"""The answers of a job and what its samples tell of how far to trust them, as arrays."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, case, func, select

from models import tables
from models.transitions import CANDIDATE, QUERY, table

PROBLEM = table(tables.Problem)
PAGE = 500
"""Queries that are read at once."""

SIGNS = ("share", "lead", "unread", "samples", "length", "score", "score_share")
"""What is told of an answer: the share of the votes that it has (by Laplace's rule), its lead over the next one and the
samples without a readable answer as shares of all, their number and mean length in tokens (logarithms), the verifier's
score of the chosen solution, and the share of all scores that the answer's solutions have."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The done queries of a job, by id; arrays (queries,) but for signs (queries, SIGNS), where NaN is unknown.

    answered: whether there is an answer. right: 1 or 0, NaN without a reference. confidence: what a policy foretold, NaN
    where none did. problem: equal for equal prompts.
    """

    query_id: np.ndarray
    problem: np.ndarray
    answered: np.ndarray
    right: np.ndarray
    confidence: np.ndarray
    signs: np.ndarray

    def __len__(self) -> int:
        return len(self.query_id)


def read_answers(connection: Connection, job_id: int) -> Answers:
    """Read page by page: texts are not kept."""
    rows: list[tuple[Any, ...]] = []
    after = 0
    while True:
        page = connection.execute(
            select(
                QUERY.c.id, PROBLEM.c.prompt, QUERY.c.answer, QUERY.c.correct, QUERY.c.confidence, QUERY.c.votes,
                QUERY.c.voters, QUERY.c.score,
            )
            .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
            # With the bare column, SQLite would go through all of the job's queries for every page.
            .where(QUERY.c.job_id + 0 == job_id, QUERY.c.id > after, QUERY.c.state == "done")
            .order_by(QUERY.c.id)
            .limit(PAGE)
        ).all()  # fmt: skip
        if not page:
            break
        after = page[-1].id
        classes = _classes(connection, job_id, page[0].id, after)
        for row in page:
            digest = hashlib.sha256(row.prompt.encode("utf-8", "backslashreplace")).digest()
            about = (row.id, int.from_bytes(digest[:7]), row.answer is not None, row.correct, row.confidence)
            rows.append((*about, *_signs(row, classes.get(row.id, []))))
    whole = np.array(rows, dtype=float).reshape(-1, 5 + len(SIGNS))
    return Answers(
        query_id=np.array([row[0] for row in rows], dtype=int),
        problem=np.array([row[1] for row in rows], dtype=int),
        answered=whole[:, 2] > 0,
        right=whole[:, 3],
        confidence=whole[:, 4],
        signs=whole[:, 5:],
    )


def describe(connection: Connection, query_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What to show of these queries: key, prompt, answer, reference, correct, votes and voters, by id."""
    rows = connection.execute(
        select(
            QUERY.c.id, PROBLEM.c.key, PROBLEM.c.prompt, QUERY.c.answer, PROBLEM.c.answer.label("reference"),
            QUERY.c.correct, QUERY.c.votes, QUERY.c.voters,
        )
        .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
        .where(QUERY.c.id.in_(list(query_ids)))
    )  # fmt: skip
    return {row.id: {name: value for name, value in row._mapping.items() if name != "id"} for row in rows}


def _classes(connection: Connection, job_id: int, first: int, last: int) -> dict[int, list[Any]]:
    """By query, its whole solutions: those of each answer counted together."""
    rows = connection.execute(
        select(
            CANDIDATE.c.query_id,
            CANDIDATE.c.answer_class,
            func.count().label("solutions"),
            func.sum(CANDIDATE.c.score).label("score"),
            func.count(CANDIDATE.c.score).label("scored"),
            func.sum(CANDIDATE.c.generated_tokens).label("tokens"),
            func.count(CANDIDATE.c.generated_tokens).label("measured"),
            func.max(case((CANDIDATE.c.answer == QUERY.c.answer, 1), else_=0)).label("chosen"),
        )
        .join(QUERY, QUERY.c.id == CANDIDATE.c.query_id)
        .where(
            and_(CANDIDATE.c.query_id.between(first, last), CANDIDATE.c.job_id == job_id),
            CANDIDATE.c.finish_reason != "step",
        )
        .group_by(CANDIDATE.c.query_id, CANDIDATE.c.answer_class)
    )
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.query_id, []).append(row)
    return found


def _signs(query: Any, classes: Sequence[Any]) -> list[float | None]:
    """As `SIGNS`. The query's own counts go first: they hold what was not kept."""
    read = [one for one in classes if one.answer_class >= 0]
    chosen = max((one for one in read if one.chosen), key=lambda one: int(one.solutions), default=None)
    solutions = sum(one.solutions for one in classes)
    voters = sum(one.solutions for one in read) if query.voters is None else query.voters
    votes = (chosen.solutions if chosen else 0) if query.votes is None else query.votes
    second = max((one.solutions for one in read if one is not chosen), default=0)
    samples = max(solutions, voters, 1)
    tokens = sum(one.tokens for one in classes if one.tokens is not None)
    measured = solutions and all(one.measured == one.solutions for one in classes)
    total = sum(float(one.score or 0.0) for one in read)
    scored = chosen is not None and all(one.scored == one.solutions for one in read)
    score = query.score
    if score is None and scored and chosen is not None:
        score = float(chosen.score) / chosen.solutions
    return [
        (votes + 1) / (voters + 2),
        (votes - second) / samples,
        (samples - voters) / samples,
        math.log1p(samples),
        math.log1p(float(tokens) / solutions) if measured else None,
        score,
        (float(chosen.score) / total if total > 0 else 0.0) if scored and chosen is not None else None,
    ]

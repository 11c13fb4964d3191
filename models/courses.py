"""What can be told of jobs that are answered in stages: their bins, and the course that one query took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, case, func, select

from models.transitions import JOB, QUERY, USAGE, settled_by_budget


def bins(connection: Connection, job_id: int, votes: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each bin of a job, the easiest first and last what has none yet: its queries, and how many of them are
    done, right, graded and were settled for want of budget; samples planned for them and begun, and tokens.

    The samples of a probe are a part of the budget of a strategy in `votes`, and come before that of any other.
    """
    used = (
        select(
            USAGE.c.query_id,
            func.sum(USAGE.c.samples).label("samples"),
            func.sum(USAGE.c.canonical_prompt_tokens + USAGE.c.generated_tokens + USAGE.c.scored_tokens).label(
                "tokens"
            ),
        )
        .where(USAGE.c.job_id == job_id)
        .group_by(USAGE.c.query_id)
        .subquery()
    )
    probed = case((QUERY.c.strategy.in_(votes), 0), else_=func.coalesce(QUERY.c.evidence["drawn"].as_integer(), 0))
    rows = connection.execute(
        select(
            QUERY.c.bin,
            func.count().label("queries"),
            _count(QUERY.c.state == "done").label("done"),
            _count(and_(QUERY.c.state == "done", QUERY.c.correct)).label("correct"),
            _count(and_(QUERY.c.state == "done", QUERY.c.correct.is_not(None))).label("graded"),
            _count(settled_by_budget()).label("settled_by_budget"),
            func.coalesce(func.sum(QUERY.c.budget_amount + probed), 0).label("planned"),
            func.coalesce(func.sum(used.c.samples), 0).label("samples"),
            func.coalesce(func.sum(used.c.tokens), 0).label("tokens"),
        )
        .join(used, used.c.query_id == QUERY.c.id, isouter=True)
        .where(QUERY.c.job_id == job_id)
        .group_by(QUERY.c.bin)
    )
    found = [{name: _plain(value) for name, value in row._mapping.items()} for row in rows]
    return sorted(found, key=lambda row: (row["bin"] is None, row["bin"]))


def course_of(connection: Connection, query_id: int) -> dict[str, Any]:
    """How one query came to its strategy and budget: its specification, and what was decided and why."""
    row = connection.execute(
        select(
            JOB.c.specification, QUERY.c.stage, QUERY.c.strategy, QUERY.c.parameters, QUERY.c.budget_amount,
            QUERY.c.budget_unit, QUERY.c.final, QUERY.c.difficulty, QUERY.c.bin, QUERY.c.gain, QUERY.c.confidence,
            QUERY.c.evidence, QUERY.c.decisions,
        )
        .join(JOB, JOB.c.id == QUERY.c.job_id)
        .where(QUERY.c.id == query_id)
    ).one()  # fmt: skip
    return dict(row._mapping)


def _count(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _plain(value: Any) -> int | None:
    """PostgreSQL sums integers into decimals; every number here is whole."""
    return None if value is None else int(value)

"""What retention takes away: the texts of an ended job's candidates, or the whole job; in batches that hold no lock
for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from models import tables
from models.database import Database
from models.reports import query_span
from models.transitions import ATTEMPT, CANDIDATE, JOB, QUERY, USAGE, table

DATASET, PROBLEM = table(tables.Dataset), table(tables.Problem)
ENDED = ("done", "cancelled", "budget_exhausted")
"""The states in which a job may be pruned."""
BATCH = 500
"""Queries that one transaction goes through."""

Keep = Literal["answers", "nothing"]


@dataclass(frozen=True, slots=True)
class Prunable:
    """An ended job and what pruning would take: candidates that still have their text, and its length in characters."""

    job_id: int
    name: str
    state: str
    ended_at: datetime
    queries: int
    candidates: int
    characters: int


class Reopened(Exception):
    """The job was opened again while it was being pruned; what was taken is gone, the rest stays."""


def prunable(
    connection: Connection, *, ended_before: datetime | None, states: Sequence[str], job_ids: Sequence[int] | None
) -> list[Prunable]:
    """The ended jobs that match, none of whose queries a worker still holds; by id."""
    chosen = [JOB.c.state.in_(states), JOB.c.ended_at.is_not(None), ~_is_held()]
    if ended_before is not None:
        chosen.append(JOB.c.ended_at < ended_before)
    if job_ids is not None:
        chosen.append(JOB.c.id.in_(job_ids))
    jobs = connection.execute(
        select(JOB.c.id, JOB.c.name, JOB.c.state, JOB.c.ended_at, JOB.c.query_count).where(*chosen).order_by(JOB.c.id)
    ).all()
    sizes = select(CANDIDATE.c.job_id, func.count(), func.sum(func.length(CANDIDATE.c.text))).where(_has_text())
    found = {
        row[0]: row
        for row in connection.execute(
            sizes.where(CANDIDATE.c.job_id.in_([job.id for job in jobs])).group_by(CANDIDATE.c.job_id)
        )
    }
    return [
        Prunable(*job, int(found[job.id][1]), int(found[job.id][2] or 0)) if job.id in found else Prunable(*job, 0, 0)
        for job in jobs
    ]


def prune(database: Database, job_id: int, keep: Keep) -> None:
    """Take the texts of a job's candidates, or (`keep` nothing) the job with all its rows; may be repeated.

    What other jobs took over from it they keep. A dataset goes with the last job on it.

    Raises:
        Reopened: the job is not ended any more.
    """
    with database.reading() as connection:
        first, last = query_span(connection, job_id)
    take = _take_texts if keep == "answers" else _take_rows
    while first <= last and first:
        with database.transaction() as connection:
            _hold(connection, job_id)
            ids = select(QUERY.c.id).where(QUERY.c.job_id + 0 == job_id, QUERY.c.id.between(first, last))
            batch = list(connection.execute(ids.order_by(QUERY.c.id).limit(BATCH)).scalars())
            if batch:
                take(connection, batch)
        if not batch:
            break
        first = batch[-1] + 1
    if keep == "nothing":
        _take_job(database, job_id)


def _is_held() -> Any:
    held = select(QUERY.c.id).where(QUERY.c.job_id == JOB.c.id, QUERY.c.state.in_(("queued", "running")))
    return held.exists()


def _has_text() -> ColumnElement[bool]:
    return CANDIDATE.c.disposition != "pruned"


def _hold(connection: Connection, job_id: int) -> int:
    """Keep the job as it is until this transaction ends, and return its dataset's id."""
    ended = select(JOB.c.dataset_id).where(JOB.c.id == job_id, JOB.c.state.in_(ENDED), ~_is_held())
    dataset_id: int | None = connection.execute(ended.with_for_update()).scalar()
    if dataset_id is None:
        raise Reopened
    return dataset_id


def _take_texts(connection: Connection, queries: Sequence[int]) -> None:
    """The mark says that nobody may go on from it: an empty text can also be what a model wrote."""
    connection.execute(
        update(CANDIDATE).where(CANDIDATE.c.query_id.in_(queries)).values(text="", tokens=None, disposition="pruned")
    )


def _take_rows(connection: Connection, queries: Sequence[int]) -> None:
    _hand_over(connection, queries)
    for of in (USAGE, CANDIDATE, ATTEMPT):
        connection.execute(delete(of).where(of.c.query_id.in_(queries)))
    connection.execute(delete(QUERY).where(QUERY.c.id.in_(queries)))


def _hand_over(connection: Connection, queries: Sequence[int]) -> None:
    """Of the copies that other jobs hold of what goes now, the oldest takes its place (`reused_from` 0): a prior still
    counts the sample, and counts it once."""
    problems = select(QUERY.c.problem_id).where(QUERY.c.id.in_(queries))
    siblings = select(QUERY.c.id).where(QUERY.c.problem_id.in_(problems), QUERY.c.id.not_in(queries))
    going = select(CANDIDATE.c.id).where(CANDIDATE.c.query_id.in_(queries))
    copies = connection.execute(
        select(CANDIDATE.c.id, CANDIDATE.c.reused_from)
        .where(CANDIDATE.c.query_id.in_(siblings), CANDIDATE.c.reused_from.in_(going))
        .order_by(CANDIDATE.c.id)
    ).all()
    heirs: dict[int, int] = {}
    for copy in copies:
        heir = heirs.setdefault(copy.reused_from, copy.id)
        origin = 0 if heir == copy.id else heir
        connection.execute(update(CANDIDATE).where(CANDIDATE.c.id == copy.id).values(reused_from=origin))


def _take_job(database: Database, job_id: int) -> None:
    with database.transaction() as connection:
        dataset_id = _hold(connection, job_id)
        connection.execute(delete(USAGE).where(USAGE.c.job_id == job_id))
        connection.execute(delete(JOB).where(JOB.c.id == job_id))
    with database.transaction() as connection:
        # Held, so that nobody submits a job on it now. In one transaction: half a dataset must not be found by its content.
        held = select(DATASET.c.id).where(DATASET.c.id == dataset_id).with_for_update()
        connection.execute(held)
        if connection.execute(select(JOB.c.id).where(JOB.c.dataset_id == dataset_id).limit(1)).first() is None:
            connection.execute(delete(PROBLEM).where(PROBLEM.c.dataset_id == dataset_id))
            connection.execute(delete(DATASET).where(DATASET.c.id == dataset_id))

"""Between two stages of a query: settled with the answer that it has, or gone on with once there is more budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select, update

from models.transitions.escrow import JOB, QUERY

UNPROBED = 1.0
"""`query.gain` of a query of which nothing is known: the most that a sample can be worth."""
UNDECIDED = 2.0
"""`query.gain` of a query that has come back from a stage: above all others, so that it is decided on first."""

_DECIDED = ("stopped", "difficulty", "bin", "confidence", "decisions")


def settle(connection: Connection, rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """pending -> done with the answer that is there, for queries of which a stage has been committed.

    Each row: id, stage (as it was decided on), stopped (`settled`, or `budget` where a further stage would have been
    worth it), difficulty, bin, confidence, decisions.
    """
    if rows:
        connection.execute(
            update(QUERY)
            .where(
                QUERY.c.id == bindparam("query_id"), QUERY.c.stage == bindparam("decided_at"), QUERY.c.stage > 0,
                QUERY.c.state == "pending",
            )
            .values(
                state="done", final=False, gain=0.0, not_before=None, ended_at=now, **{name: bindparam(name) for name in _DECIDED}
            ),
            [
                {"query_id": row["id"], "decided_at": row["stage"], **{name: row[name] for name in _DECIDED}}
                for row in rows
            ],
        )  # fmt: skip


def settled_by_budget() -> ColumnElement[bool]:
    """The condition for a query whose answer stays only because its job's budget or time was used up: no stage of it was
    to be the last."""
    return and_(QUERY.c.state == "done", QUERY.c.stopped == "budget", QUERY.c.final.is_(False))


def reopen_settled(connection: Connection, job_id: int, now: datetime) -> int:
    """done -> pending, to be decided on again, for what only the job's budget or deadline had settled; a job that is
    done is opened again. Returns how many. A cancelled job stays as it is."""
    connection.execute(select(JOB.c.id).where(JOB.c.id == job_id).with_for_update(key_share=True))
    living = select(JOB.c.id).where(JOB.c.id == job_id, JOB.c.state != "cancelled")
    count = connection.execute(
        update(QUERY)
        .where(QUERY.c.job_id.in_(living), settled_by_budget())
        .values(state="pending", planned=False, gain=UNDECIDED, stopped=None, ended_at=None)
    ).rowcount
    if count:
        connection.execute(
            update(JOB)
            .where(JOB.c.id == job_id, JOB.c.state == "done")
            .values(state="open", reason=None, ended_at=None, opened_at=now)
        )
    return count

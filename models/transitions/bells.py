"""From a pending query to a rung one and back: planning, ringing, ringing again, giving back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from models.transitions.escrow import JOB, QUERY, ROUNDING, book

_PLANNED = (
    "strategy", "parameters", "budget_amount", "budget_unit", "sequences", "final", "difficulty", "bin", "gain",
    "confidence", "decisions",
)  # fmt: skip


def plan(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Give unplanned queries what their next stage is to run, and what was decided for it.

    Each row: id, stage (as it was decided on), strategy, parameters, budget_amount, budget_unit, sequences, final,
    difficulty, bin, gain, confidence, decisions.
    """
    statement = (
        update(QUERY)
        .where(
            QUERY.c.id == bindparam("query_id"),
            QUERY.c.stage == bindparam("decided_at"),
            QUERY.c.state == "pending",
            QUERY.c.planned.is_(False),
        )
        .values(planned=True, **{name: bindparam(name) for name in _PLANNED})
    )
    if rows:
        connection.execute(
            statement,
            [
                {"query_id": row["id"], "decided_at": row["stage"], **{name: row[name] for name in _PLANNED}}
                for row in rows
            ],
        )


def ring(connection: Connection, job_id: int, reservations: Mapping[int, float], now: datetime) -> list[int]:
    """pending -> queued for those queries whose worst case still fits the job's cap, in the given order.

    Returns the ids that must now be sent. `reservations` maps query id to its worst case in the cap's unit.
    """
    row = connection.execute(
        select(JOB.c.cap_amount, JOB.c.spent, JOB.c.reserved)
        .where(JOB.c.id == job_id, JOB.c.state == "open")
        .with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        return []
    left = float("inf") if row.cap_amount is None else row.cap_amount * ROUNDING - row.spent - row.reserved
    fitting: dict[int, float] = {}
    for query_id, worst in reservations.items():
        if worst > left:
            break
        left -= worst
        fitting[query_id] = worst
    if not fitting:
        return []
    rung = set(
        connection.execute(
            update(QUERY)
            .where(QUERY.c.id.in_(fitting), QUERY.c.state == "pending", QUERY.c.planned)
            .values(state="queued", rung_at=now, reserved=0.0)
            .returning(QUERY.c.id)
        ).scalars()
    )
    ids = [query_id for query_id in fitting if query_id in rung]
    if costly := [{"query_id": query_id, "worst": fitting[query_id]} for query_id in ids if fitting[query_id]]:
        # Many small ones, not one CASE of them all: that is another statement for every number of queries, and each is kept.
        reserve = update(QUERY).where(QUERY.c.id == bindparam("query_id")).values(reserved=bindparam("worst"))
        connection.execute(reserve, costly)
    book(connection, {job_id: (0.0, -sum(fitting[query_id] for query_id in ids))})
    return ids


def ring_again(connection: Connection, query_ids: Sequence[int], now: datetime) -> list[int]:
    """Note that lost bells are rung once more; returns those still waiting for a worker."""
    return list(
        connection.execute(
            update(QUERY)
            .where(QUERY.c.id.in_(query_ids), QUERY.c.state == "queued")
            .values(rung_at=now)
            .returning(QUERY.c.id)
        ).scalars()
    )


def take_back(connection: Connection, query_id: int) -> None:
    """queued -> pending for a bell that its worker leaves unanswered; the scheduler rings another worker."""
    waiting = connection.execute(
        select(QUERY.c.job_id, QUERY.c.reserved)
        .where(QUERY.c.id == query_id, QUERY.c.state == "queued")
        .with_for_update()
    ).one_or_none()
    if waiting is not None:
        connection.execute(
            update(QUERY)
            .where(QUERY.c.id == query_id, QUERY.c.state == "queued")
            .values(state="pending", rung_at=None, reserved=0.0)
        )
        book(connection, {waiting.job_id: (0.0, waiting.reserved)})

"""The worker's side: claim a rung query and keep its lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, literal, select, tuple_, update

from models.transitions.escrow import ATTEMPT, JOB, QUERY


@dataclass(frozen=True, slots=True)
class Claim:
    """A query now leased to this worker; `attempt` fences its commit, `final` tells that no stage follows this one."""

    query_id: int
    job_id: int
    problem_id: int
    attempt_id: int
    attempt: int
    stage: int
    retries: int
    strategy: str
    parameters: dict[str, Any]
    budget_amount: float
    budget_unit: str
    final: bool = True


def claim(
    connection: Connection, worker_id: str, bells: Sequence[tuple[int, int, bool]], now: datetime, lease_seconds: float
) -> list[Claim]:
    """queued -> running for each (query id, stage, alone) that is still waiting and whose job is open.

    State, lease and attempt number change in one statement; a duplicate bell finds a live lease and gets nothing.
    """
    if not bells:
        return []
    alone = {query_id: is_alone for query_id, _, is_alone in bells}
    rung = [(query_id, stage) for query_id, stage, _ in bells]
    open_jobs = select(JOB.c.id).where(JOB.c.state == "open")
    # A row that another worker is claiming right now is passed over, not waited for.
    free = (
        select(QUERY.c.id)
        .where(
            QUERY.c.id.in_(alone),  # what the next line says too, so that the index of ids serves
            tuple_(QUERY.c.id, QUERY.c.stage).in_(rung),
            QUERY.c.state == "queued",
            QUERY.c.job_id.in_(open_jobs),
        )
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(
        update(QUERY)
        .where(QUERY.c.id.in_(free), QUERY.c.state == "queued")
        .values(
            state="running",
            attempt=QUERY.c.attempt + 1,
            worker_id=worker_id,
            lease_until=now + timedelta(seconds=lease_seconds),
            rung_at=None,
            started_at=func.coalesce(QUERY.c.started_at, literal(now, QUERY.c.started_at.type)),
        )
        .returning(
            QUERY.c.id, QUERY.c.job_id, QUERY.c.problem_id, QUERY.c.attempt, QUERY.c.stage, QUERY.c.retries,
            QUERY.c.strategy, QUERY.c.parameters, QUERY.c.budget_amount, QUERY.c.budget_unit, QUERY.c.final,
        )
    ).all()  # fmt: skip
    if not rows:
        return []
    connection.execute(
        insert(ATTEMPT),
        [
            {
                "job_id": row.job_id, "query_id": row.id, "number": row.attempt, "stage": row.stage, "state": "running",
                "alone": alone[row.id], "worker_id": worker_id, "started_at": now,
            }
            for row in rows
        ],
    )  # fmt: skip
    made = connection.execute(
        select(ATTEMPT.c.id, ATTEMPT.c.query_id).where(
            ATTEMPT.c.query_id.in_([row.id for row in rows]),
            ATTEMPT.c.state == "running",
            ATTEMPT.c.worker_id == worker_id,
        )
    )
    attempt_ids = {row.query_id: row.id for row in made}
    return [
        Claim(
            row.id, row.job_id, row.problem_id, attempt_ids[row.id], row.attempt, row.stage, row.retries,
            row.strategy, row.parameters or {}, row.budget_amount, row.budget_unit, row.final,
        )
        for row in rows
    ]  # fmt: skip


def extend_leases(
    connection: Connection, worker_id: str, running_usage: Mapping[int, list[Any]], now: datetime, lease_seconds: float
) -> dict[int, str]:
    """Extend the leases of a worker's attempts in flight and note their running usage (attempt id -> usage rows).

    Returns query id -> state of its job for the queries that are still this worker's; what is missing was lost. An
    attempt that the worker no longer knows of is left to run out.
    """
    mine = (
        select(QUERY.c.id)
        .join(ATTEMPT, (ATTEMPT.c.query_id == QUERY.c.id) & (ATTEMPT.c.number == QUERY.c.attempt))
        .where(ATTEMPT.c.id.in_(running_usage), QUERY.c.worker_id == worker_id, QUERY.c.state == "running")
        .order_by(QUERY.c.id)
        .with_for_update(of=QUERY)
    )
    held = connection.execute(
        update(QUERY)
        .where(QUERY.c.id.in_(mine), QUERY.c.state == "running")
        .values(lease_until=now + timedelta(seconds=lease_seconds))
        .returning(QUERY.c.id, QUERY.c.job_id)
    ).all()
    if running_usage:
        connection.execute(
            update(ATTEMPT)
            .where(ATTEMPT.c.id == bindparam("attempt_id"), ATTEMPT.c.state == "running")
            .values(running_usage=bindparam("rows")),
            [{"attempt_id": attempt_id, "rows": rows} for attempt_id, rows in running_usage.items()],
        )
    states: dict[int, str] = {}
    if held:
        jobs = {row.job_id for row in held}
        states = {
            row.id: row.state for row in connection.execute(select(JOB.c.id, JOB.c.state).where(JOB.c.id.in_(jobs)))
        }
    return {row.id: states[row.job_id] for row in held}

"""The worker's side: claim a rung query, keep its lease, commit how the attempt ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, case, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from models.transitions.escrow import ATTEMPT, CANDIDATE, JOB, QUERY, USAGE, book, charged


@dataclass(frozen=True, slots=True)
class Claim:
    """A query now leased to this worker; `attempt` fences its commit."""

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


@dataclass(slots=True)
class Outcome:
    """How an attempt ended. `candidates` and `usage` are rows without their keys; `votes`, `voters` and `score` as in
    `models.tables.Query`."""

    claim: Claim
    state: Literal["done", "drained", "failed", "retry", "cancelled"]
    answer: str | None = None
    correct: bool | None = None
    votes: int | None = None
    voters: int | None = None
    score: float | None = None
    stopped: str | None = None
    reason: str | None = None
    retry_after: float = 0.0
    sequential_tokens: int = 0
    candidates: list[dict[str, Any]] = field(default_factory=list)
    usage: list[dict[str, Any]] = field(default_factory=list)


def claim(
    connection: Connection, worker_id: str, bells: Sequence[tuple[int, int, bool]], now: datetime, lease_seconds: float
) -> list[Claim]:
    """queued -> running for each (query id, stage, alone) that is still waiting and whose job is open.

    State, lease and attempt number change in one statement; a duplicate bell finds a live lease and gets nothing.
    """
    if not bells:
        return []
    alone = {query_id: is_alone for query_id, _, is_alone in bells}
    stages = {query_id: stage for query_id, stage, _ in bells}
    open_jobs = select(JOB.c.id).where(JOB.c.state == "open")
    # A row that another worker is claiming right now is passed over, not waited for.
    free = (
        select(QUERY.c.id)
        .where(
            QUERY.c.id.in_(alone),
            QUERY.c.state == "queued",
            QUERY.c.stage == case(stages, value=QUERY.c.id),
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
            QUERY.c.strategy, QUERY.c.parameters, QUERY.c.budget_amount, QUERY.c.budget_unit,
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
            row.strategy, row.parameters or {}, row.budget_amount, row.budget_unit,
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


def commit(connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> set[int]:
    """End attempts: candidates, usage, answer and next state together, fenced by the attempt number.

    Returns the attempt ids that were accepted; the commit of a worker whose lease was given away is refused.
    """
    live = connection.execute(
        select(QUERY.c.id, QUERY.c.attempt, QUERY.c.reserved, QUERY.c.retries, QUERY.c.suspect)
        .where(QUERY.c.id.in_([outcome.claim.query_id for outcome in outcomes]), QUERY.c.state == "running")
        .order_by(QUERY.c.id)
        .with_for_update()
    ).all()
    fence = {(row.id, row.attempt): row for row in live}
    accepted = [outcome for outcome in outcomes if (outcome.claim.query_id, outcome.claim.attempt) in fence]
    if not accepted:
        return set()
    next_state = {
        "done": "done",
        "drained": "pending",
        "failed": "failed",
        "retry": "pending",
        "cancelled": "cancelled",
    }
    connection.execute(
        update(QUERY)
        .where(QUERY.c.id == bindparam("query_id"), QUERY.c.attempt == bindparam("fence"), QUERY.c.state == "running")
        .values(
            reserved=0.0, worker_id=None, lease_until=None,
            **{name: bindparam(f"new_{name}") for name in _QUERY_RESULT},
        ),
        [
            {
                "query_id": outcome.claim.query_id,
                "fence": outcome.claim.attempt,
                "new_state": next_state[outcome.state],
                "new_answer": outcome.answer,
                "new_correct": outcome.correct,
                "new_votes": outcome.votes,
                "new_voters": outcome.voters,
                "new_score": outcome.score,
                "new_stopped": outcome.stopped,
                "new_error": outcome.reason if outcome.state == "failed" else None,
                "new_sequential_tokens": outcome.sequential_tokens,
                "new_retries": fence[outcome.claim.query_id, outcome.claim.attempt].retries + (outcome.state == "retry"),
                "new_suspect": 0 if outcome.state == "done" else fence[outcome.claim.query_id, outcome.claim.attempt].suspect,
                "new_not_before": now + timedelta(seconds=outcome.retry_after) if outcome.retry_after else None,
                "new_ended_at": now if next_state[outcome.state] != "pending" else None,
            }
            for outcome in accepted
        ],
    )  # fmt: skip
    connection.execute(
        update(ATTEMPT)
        .where(ATTEMPT.c.id == bindparam("attempt_id"))
        .values(state=bindparam("new_state"), reason=bindparam("new_reason"), ended_at=now, running_usage=None),
        [
            {
                "attempt_id": outcome.claim.attempt_id,
                "new_state": "failed" if outcome.state == "retry" else outcome.state,
                "new_reason": outcome.reason,
            }
            for outcome in accepted
        ],
    )
    _store_candidates(connection, accepted)
    usage = [{**_keys(outcome), **row} for outcome in accepted for row in outcome.usage]
    if usage:
        connection.execute(insert(USAGE), usage)
    # Read here and not remembered: a cap's unit may be changed while the job's worker lives on.
    jobs = select(JOB.c.id, JOB.c.cap_unit).where(JOB.c.id.in_({outcome.claim.job_id for outcome in accepted}))
    units = {row.id: row.cap_unit for row in connection.execute(jobs)}
    books: dict[int, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for outcome in accepted:
        job_id = outcome.claim.job_id
        spent, freed = books[job_id]
        reserved = fence[outcome.claim.query_id, outcome.claim.attempt].reserved
        books[job_id] = (spent + sum(charged(row, units[job_id]) for row in outcome.usage), freed + reserved)
    book(connection, books)
    returned = [outcome.claim for outcome in accepted if next_state[outcome.state] == "pending"]
    follow_cancelled(connection, {claim.query_id: claim.job_id for claim in returned}, now)
    return {outcome.claim.attempt_id for outcome in accepted}


_QUERY_RESULT = (
    "state", "answer", "correct", "votes", "voters", "score", "stopped", "error", "sequential_tokens", "retries", "suspect",
    "not_before", "ended_at",
)  # fmt: skip


def _keys(outcome: Outcome) -> dict[str, Any]:
    claim = outcome.claim
    return {"job_id": claim.job_id, "query_id": claim.query_id, "attempt_id": claim.attempt_id}


def _store_candidates(connection: Connection, outcomes: Iterable[Outcome]) -> None:
    """Bulk upsert: a later stage or attempt rewrites what it knows better, or the whole where it drew it again."""
    rows = [
        {**row, "job_id": outcome.claim.job_id, "query_id": outcome.claim.query_id, "attempt": outcome.claim.attempt}
        for outcome in outcomes
        for row in outcome.candidates
    ]
    if not rows:
        return
    upsert = (sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert)(CANDIDATE)
    better: dict[str, Any] = {
        name: upsert.excluded[name] for name in rows[0] if name not in ("job_id", "query_id", "path", "attempt")
    }
    drawn_again = CANDIDATE.c.text != upsert.excluded.text
    better["attempt"] = case((drawn_again, upsert.excluded.attempt), else_=CANDIDATE.c.attempt)
    connection.execute(upsert.on_conflict_do_update(index_elements=["query_id", "path"], set_=better), rows)


def follow_cancelled(connection: Connection, returned: Mapping[int, int], now: datetime) -> None:
    """pending -> cancelled for what came back (query id -> job id) after its job was cancelled."""
    if not returned:
        return
    # Waits for a cancel that is under way; one that comes later finds the queries pending and ends them itself.
    states = connection.execute(
        select(JOB.c.id, JOB.c.state)
        .where(JOB.c.id.in_(set(returned.values())))
        .order_by(JOB.c.id)
        .with_for_update(read=True)
    )
    over = {row.id for row in states if row.state == "cancelled"}
    orphans = [query_id for query_id, job_id in returned.items() if job_id in over]
    if orphans:
        connection.execute(
            update(QUERY)
            .where(QUERY.c.id.in_(orphans), QUERY.c.state == "pending")
            .values(state="cancelled", ended_at=now)
        )

"""How an attempt ended: candidates, usage, answer and next state, written together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from models.transitions.attempts import Claim
from models.transitions.escrow import ATTEMPT, CANDIDATE, JOB, QUERY, USAGE, book, charged
from models.transitions.stages import UNDECIDED


@dataclass(slots=True)
class Outcome:
    """How an attempt ended: `staged` where it did what it was planned to and that was not the query's last stage.

    `candidates` and `usage` are rows without their keys; `votes`, `voters`, `score` and `evidence` as in
    `models.tables.Query`; `sequential_tokens` are this stage's alone.
    """

    claim: Claim
    state: Literal["done", "staged", "drained", "failed", "retry", "cancelled"]
    answer: str | None = None
    correct: bool | None = None
    votes: int | None = None
    voters: int | None = None
    score: float | None = None
    stopped: str | None = None
    reason: str | None = None
    retry_after: float = 0.0
    sequential_tokens: int = 0
    evidence: dict[str, Any] | None = None
    candidates: list[dict[str, Any]] = field(default_factory=list)
    usage: list[dict[str, Any]] = field(default_factory=list)


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
    _advance(connection, accepted, fence, now)
    connection.execute(
        update(ATTEMPT)
        .where(ATTEMPT.c.id == bindparam("attempt_id"))
        .values(state=bindparam("new_state"), reason=bindparam("new_reason"), ended_at=now, running_usage=None),
        [
            {
                "attempt_id": outcome.claim.attempt_id,
                "new_state": {"retry": "failed", "staged": "done"}.get(outcome.state, outcome.state),
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
    returned = [outcome.claim for outcome in accepted if _NEXT_STATE[outcome.state] == "pending"]
    follow_cancelled(connection, {claim.query_id: claim.job_id for claim in returned}, now)
    return {outcome.claim.attempt_id for outcome in accepted}


_NEXT_STATE = {
    "done": "done",
    "staged": "pending",
    "drained": "pending",
    "failed": "failed",
    "retry": "pending",
    "cancelled": "cancelled",
}
_ANSWER = ("answer", "correct", "votes", "voters", "score", "stopped")
_COURSE = ("state", "error", "retries", "suspect", "not_before", "ended_at")


def _advance(
    connection: Connection, outcomes: Sequence[Outcome], rows: Mapping[tuple[int, int], Any], now: datetime
) -> None:
    """running -> the next state. A stage that was carried out brings the answer of now; what ended otherwise leaves that
    of the stages before it."""
    mine = update(QUERY).where(
        QUERY.c.id == bindparam("query_id"), QUERY.c.attempt == bindparam("fence"), QUERY.c.state == "running"
    )
    ending = {"reserved": 0.0, "worker_id": None, "lease_until": None, **_new(_COURSE)}
    # The longest of the chains that ran side by side, stage after stage.
    chain = QUERY.c.sequential_tokens + bindparam("new_sequential_tokens")
    answered = {**_new(_ANSWER), "sequential_tokens": chain}
    next_stage = {"stage": QUERY.c.stage + 1, "planned": False, "gain": UNDECIDED, **_new(("evidence",))}
    kept = {name: func.coalesce(bindparam(f"new_{name}", type_=QUERY.c[name].type), QUERY.c[name]) for name in _ANSWER}
    for states, changes, told in (
        (("done",), answered, ("sequential_tokens",)),
        (("staged",), answered | next_stage, ("sequential_tokens", "evidence")),
        (("drained", "failed", "retry", "cancelled"), kept, ()),
    ):
        values = [
            _course(one, rows[one.claim.query_id, one.claim.attempt], now)
            | {f"new_{name}": getattr(one, name) for name in (*_ANSWER, *told)}
            for one in outcomes
            if one.state in states
        ]
        if values:
            connection.execute(mine.values(**ending, **changes), values)


def _new(names: Sequence[str]) -> dict[str, Any]:
    return {name: bindparam(f"new_{name}") for name in names}


def _course(outcome: Outcome, row: Any, now: datetime) -> dict[str, Any]:
    carried_out = outcome.state in ("done", "staged")
    return {
        "query_id": outcome.claim.query_id,
        "fence": outcome.claim.attempt,
        "new_state": _NEXT_STATE[outcome.state],
        "new_error": outcome.reason if outcome.state == "failed" else None,
        "new_retries": 0 if outcome.state == "staged" else row.retries + (outcome.state == "retry"),
        "new_suspect": 0 if carried_out else row.suspect,
        "new_not_before": now + timedelta(seconds=outcome.retry_after) if outcome.retry_after else None,
        "new_ended_at": now if _NEXT_STATE[outcome.state] != "pending" else None,
    }


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

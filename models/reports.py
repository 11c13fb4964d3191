"""What reports are made of, aggregated in SQL: the rows behind `jobs`, `status`, `watch` and `report`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    TextClause,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
)

from models import tables
from models.errors import UserError
from models.sqltypes import UtcDateTime
from models.statistics import wilson
from models.transitions import ATTEMPT, CANDIDATE, JOB, QUARANTINE_AFTER, QUERY, USAGE, table
from models.views import of_some_jobs

PROBLEM = table(tables.Problem)
PAGE = 1000
"""Rows that `query_page` and `candidate_page` read at once."""


def find_job(connection: Connection, wanted: str) -> int:
    """A job's id from what a person typed: its number, its name, or `last`.

    Raises:
        UserError: no such job, or several of that name.
    """
    if wanted == "last":
        newest: int | None = connection.execute(select(func.max(JOB.c.id))).scalar_one()
        if newest is None:
            raise UserError("there is no job yet; make one with `tts-jobs submit FILE`")
        return newest
    is_number = wanted.isdecimal() and len(wanted) < 19  # what a database's largest integer can hold
    condition = JOB.c.id == int(wanted) if is_number else JOB.c.name == wanted
    found = list(connection.execute(select(JOB.c.id).where(condition).order_by(JOB.c.id)).scalars())
    if not found:
        raise UserError(f"no job {wanted!r}; `tts-jobs jobs` lists them")
    if len(found) > 1:
        raise UserError(f"several jobs are called {wanted!r}: {', '.join(map(str, found))}; name one by its number")
    return int(found[0])


def job_ids(connection: Connection, states: Sequence[str]) -> list[int]:
    """The jobs in one of these states, by id."""
    return list(connection.execute(select(JOB.c.id).where(JOB.c.state.in_(states)).order_by(JOB.c.id)).scalars())


def job_summaries(connection: Connection, job_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Rows of the view `job_summary`, by id."""
    return _rows(connection, "job_summary", job_ids)


def job_rows(connection: Connection, job_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of the view `job_summary` without what would have to be added up over the queries."""
    return _rows(connection, "job", job_ids)


def cost_accuracy(connection: Connection, job_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Rows of the view `cost_accuracy` with Wilson's 95 % interval and the truncated and unparsed rates.

    `accuracy_low` and `accuracy_high` are None where nothing could be graded; FLOPs and dollars are None (unknown)
    where the model's architecture or price is.
    """
    rows = _rows(connection, "cost_accuracy", job_ids)
    for row in rows:
        graded, samples = row["graded"] or 0, row["samples"] or 0
        row["accuracy_low"], row["accuracy_high"] = wilson(row["correct"], graded) if graded else (None, None)
        row["truncated_rate"] = row["truncated"] / samples if samples else None
        row["unparsed_rate"] = row["unparsed"] / samples if samples else None
    return rows


def spending(connection: Connection, job_id: int) -> dict[str, Any]:
    """What a job has used so far, attempts in flight not included: one cheap row for live views."""
    row = connection.execute(
        select(
            _whole(USAGE.c.generated_tokens).label("generated_tokens"),
            func.sum(USAGE.c.flops_canonical).label("flops"),
            _whole(USAGE.c.gpu_seconds).label("gpu_seconds"),
            func.sum(USAGE.c.dollars).label("dollars"),
        ).where(USAGE.c.job_id == job_id, USAGE.c.reused.is_(False))
    ).one()
    return plain(row)


def failures(connection: Connection, job_id: int, limit: int = 5) -> list[dict[str, Any]]:
    """The commonest reasons for which a job's queries failed, with how many each."""
    rows = connection.execute(
        text(
            "SELECT error, COUNT(*) AS queries FROM query WHERE job_id = :job AND state = 'failed' "
            "GROUP BY error ORDER BY 2 DESC, 1 LIMIT :limit"
        ),
        {"job": job_id, "limit": limit},
    )
    return [plain(row) for row in rows]


def health(connection: Connection, job_id: int, now: datetime) -> dict[str, Any]:
    """What stands in a job's way: suspects, quarantined and retrying queries, lost attempts, wasted tokens, deadline.

    `wasted_tokens` is a lower bound where `wasted_at_least` is set: a lost attempt's last words are missing.
    """
    # Literals, not parameters: only so can the partial indexes serve, which hold nothing but such rows.
    live = QUERY.c.state.in_(("pending", "queued", "running"))
    queries = connection.execute(
        select(
            _count(and_(live, QUERY.c.suspect > 0)).label("suspects"),
            _count(and_(QUERY.c.state == "failed", QUERY.c.suspect > QUARANTINE_AFTER)).label("quarantined"),
            _count(and_(QUERY.c.state == "pending", QUERY.c.not_before > now)).label("retrying"),
        ).where(QUERY.c.job_id == job_id, or_(QUERY.c.suspect > literal_column("0"), QUERY.c.not_before.is_not(None)))
    ).one()
    wasted = connection.execute(
        select(
            _whole(USAGE.c.prompt_tokens + USAGE.c.generated_tokens).label("wasted_tokens"),
            _count(USAGE.c.at_least).label("bounds"),
        ).where(USAGE.c.job_id == job_id, USAGE.c.disposition == literal_column("'wasted'"))
    ).one()
    lost = select(func.count()).where(ATTEMPT.c.job_id == job_id, ATTEMPT.c.state == literal_column("'lost'"))
    return {
        **plain(queries),
        "lost_attempts": connection.execute(lost).scalar_one(),
        "wasted_tokens": None if wasted.wasted_tokens is None else int(wasted.wasted_tokens),
        "wasted_at_least": wasted.bounds > 0,
        "deadline": connection.execute(select(JOB.c.deadline).where(JOB.c.id == job_id)).scalar_one(),
    }


def spent_in(connection: Connection, job_id: int, unit: str) -> float:
    """What a job has spent in a cap's unit, from its ledger: the sum of `models.transitions.charged` over its rows."""
    amounts = {
        "samples": USAGE.c.samples,
        "tokens": USAGE.c.canonical_prompt_tokens + USAGE.c.generated_tokens + USAGE.c.scored_tokens,
        "flops": USAGE.c.flops_canonical,
        "usd": USAGE.c.dollars,
    }
    total = select(func.sum(amounts[unit])).where(USAGE.c.job_id == job_id, USAGE.c.reused.is_(False))
    return float(connection.execute(total).scalar_one() or 0.0)


def correctness(connection: Connection, job_id: int) -> dict[int, bool]:
    """For each graded problem of a job, by its id, whether the answer was right: what paired comparisons are made of."""
    rows = connection.execute(
        select(QUERY.c.problem_id, QUERY.c.correct).where(QUERY.c.job_id == job_id, QUERY.c.correct.is_not(None))
    )
    return {problem_id: correct for problem_id, correct in rows}


def query_span(connection: Connection, job_id: int) -> tuple[int, int]:
    """The first and last query id of a job; (0, 0) where it has none."""
    row = connection.execute(select(func.min(QUERY.c.id), func.max(QUERY.c.id)).where(QUERY.c.job_id == job_id)).one()
    return row[0] or 0, row[1] or 0


def query_page(connection: Connection, job_id: int, after: int, last: int) -> list[dict[str, Any]]:
    """The next `PAGE` queries of a job behind the id `after`, by id, each with its problem and all it cost.

    `last` is the end of the job's span: the ids are walked in their own order, past those of other jobs.
    """
    queries = connection.execute(
        select(
            QUERY.c.id, PROBLEM.c.key, PROBLEM.c.prompt, QUERY.c.answer, PROBLEM.c.answer.label("reference"),
            QUERY.c.correct, QUERY.c.votes, QUERY.c.voters, QUERY.c.score, QUERY.c.state, QUERY.c.error, QUERY.c.stopped,
            PROBLEM.c.subject, PROBLEM.c.level, QUERY.c.bin, QUERY.c.strategy, QUERY.c.ended_at,
        )
        .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
        # With the bare column, SQLite would go through all of the job's queries for every page.
        .where(QUERY.c.job_id + 0 == job_id, QUERY.c.id > after, QUERY.c.id <= last)
        .order_by(QUERY.c.id)
        .limit(PAGE)
    ).all()  # fmt: skip
    if not queries:
        return []
    costs = connection.execute(
        text(
            "SELECT query_id, samples, total_tokens AS tokens, generated_tokens, scored_tokens, wasted_tokens, "
            "sequential_tokens, flops_canonical, gpu_seconds, dollars, seconds "
            "FROM query_cost WHERE query_id BETWEEN :first AND :last"
        ),
        {"first": queries[0].id, "last": queries[-1].id},
    )
    by_query = {row.query_id: plain(row) for row in costs}
    return [{**row._mapping, **by_query[row.id]} for row in queries]


def candidate_page(connection: Connection, job_id: int, after: tuple[int, str], last: int) -> list[dict[str, Any]]:
    """The next `PAGE` candidates of a job behind (query id, path), in that order, each with its problem's
    key, subject, level and reference answer."""
    rows = connection.execute(
        select(
            CANDIDATE.c.query_id, PROBLEM.c.key, PROBLEM.c.subject, PROBLEM.c.level,
            PROBLEM.c.answer.label("reference"), CANDIDATE.c.attempt, CANDIDATE.c.path, CANDIDATE.c.parent,
            CANDIDATE.c.text, CANDIDATE.c.answer, CANDIDATE.c.answer_class, CANDIDATE.c.correct, CANDIDATE.c.score,
            CANDIDATE.c.step_scores, CANDIDATE.c.step_logprobs, CANDIDATE.c.finish_reason, CANDIDATE.c.disposition,
            CANDIDATE.c.reused_from.is_not(None).label("reused"), CANDIDATE.c.prompt_tokens,
            CANDIDATE.c.cached_tokens, CANDIDATE.c.generated_tokens, CANDIDATE.c.gpu_seconds,
        )
        .join(QUERY, QUERY.c.id == CANDIDATE.c.query_id)
        .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
        .where(
            CANDIDATE.c.job_id == job_id,
            tuple_(CANDIDATE.c.query_id, CANDIDATE.c.path) > after,
            CANDIDATE.c.query_id <= last,
        )
        .order_by(CANDIDATE.c.query_id, CANDIDATE.c.path)
        .limit(PAGE)
    )  # fmt: skip
    return [plain(row) for row in rows]


def query_of(connection: Connection, job_id: int, key: str) -> dict[str, Any]:
    """One query of a job, with its problem and all that it cost.

    Raises:
        UserError: the job has no problem of that key.
    """
    found = connection.execute(
        select(QUERY.c.id)
        .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
        .where(QUERY.c.job_id == job_id, PROBLEM.c.key == key)
    ).scalar()
    if found is None:
        raise UserError(f"job {job_id} has no problem {key!r}; `tts-jobs results {job_id}` lists its keys")
    return query_page(connection, job_id, found - 1, found)[0]


def candidates_of(connection: Connection, query_id: int) -> list[dict[str, Any]]:
    """All candidates of one query in the order in which they were stored, parents before their children."""
    columns = [
        CANDIDATE.c[name]
        for name in (
            "path", "parent", "text", "answer", "answer_class", "correct", "score", "step_scores", "finish_reason",
            "disposition", "generated_tokens", "cached_tokens", "prompt_tokens",
        )
    ]  # fmt: skip
    rows = connection.execute(select(*columns).where(CANDIDATE.c.query_id == query_id).order_by(CANDIDATE.c.id))
    return [plain(row) for row in rows]


def _count(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _whole(value: Any) -> Any:
    """The sum over all rows, unknown as soon as one of them is."""
    return case((func.count() == func.count(value), func.coalesce(func.sum(value), 0)))


def _rows(connection: Connection, view: str, job_ids: Sequence[int] | None) -> list[dict[str, Any]]:
    if job_ids is None:
        rows = connection.execute(_typed(text(f"SELECT * FROM {view} ORDER BY job_id")))  # noqa: S608  (a name of ours)
    else:
        chosen = text(of_some_jobs(view))
        rows = connection.execute(_typed(chosen.bindparams(bindparam("ids", list(job_ids), expanding=True))))
    return [plain(row) for row in rows]


def _typed(statement: TextClause) -> Any:
    """SQLite keeps moments as text and truth as a number, and a view's columns say nothing of it."""
    moments = dict.fromkeys(("created_at", "opened_at", "ended_at"), UtcDateTime())
    return statement.columns(oracle=Boolean(), **moments)


def plain(row: Any) -> dict[str, Any]:
    """PostgreSQL sums integers into decimals: give back the numbers that SQLite gives."""
    values = {}
    for name, value in row._mapping.items():
        if isinstance(value, Decimal):
            value = int(value) if value == value.to_integral_value() else float(value)
        values[name] = value
    return values

"""A job's rows, read page by page so that memory does not grow with their number, and the types of their columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from models import reports
from models.database import Database

QUERY_TYPES: dict[str, Any] = {
    "key": str, "prompt": str, "answer": str, "reference": str, "correct": bool, "votes": int, "voters": int,
    "score": float, "state": str, "error": str, "stopped": str, "subject": str, "level": str, "bin": int,
    "strategy": str, "ended_at": datetime, "samples": int, "tokens": int, "generated_tokens": int, "scored_tokens": int,
    "wasted_tokens": int, "sequential_tokens": int, "flops_canonical": float, "gpu_seconds": float, "dollars": float,
    "seconds": float,
}  # fmt: skip
CANDIDATE_TYPES: dict[str, Any] = {
    "key": str, "subject": str, "level": str, "reference": str, "attempt": int, "path": str, "parent": str, "text": str,
    "answer": str, "answer_class": int, "correct": bool, "score": float, "step_scores": list[float],
    "step_logprobs": list[float], "finish_reason": str, "disposition": str, "reused": bool, "prompt_tokens": int,
    "cached_tokens": int, "generated_tokens": int, "gpu_seconds": float,
}  # fmt: skip
"""Column -> its type, whatever the first rows hold of it; each may be missing."""


def query_rows(database: Database, job_id: int) -> Iterator[dict[str, Any]]:
    """A job's queries in the order of the dataset (see `models.reports.query_page`)."""
    with database.reading() as connection:
        first, last = reports.query_span(connection, job_id)
    after = first - 1
    while True:
        with database.reading() as connection:
            page = reports.query_page(connection, job_id, after, last)
        if not page:
            return
        yield from page
        after = page[-1]["id"]


def candidate_rows(database: Database, job_id: int) -> Iterator[dict[str, Any]]:
    """A job's candidates by query and path (see `models.reports.candidate_page`)."""
    with database.reading() as connection:
        first, last = reports.query_span(connection, job_id)
    after = (first, "")
    while True:
        with database.reading() as connection:
            page = reports.candidate_page(connection, job_id, after, last)
        if not page:
            return
        yield from page
        after = (page[-1]["query_id"], page[-1]["path"])


def without_ids(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows without what only the database itself can make sense of."""
    return ({name: value for name, value in row.items() if name not in ("id", "query_id")} for row in rows)

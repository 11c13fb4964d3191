"""The tables as SQL sees them, and the books of a job: what is spent, what is reserved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, update
from sqlmodel import SQLModel

from models import tables

ROUNDING = 1 + 1e-9
"""A cap of 0.3 holds three queries of 0.1, whose sum is a little more in floating point."""


def table(model: type[SQLModel]) -> Table:
    found: Table = model.__table__  # type: ignore[attr-defined]
    return found


JOB, QUERY, ATTEMPT = table(tables.Job), table(tables.Query), table(tables.Attempt)
CANDIDATE, USAGE = table(tables.Candidate), table(tables.Usage)


def book(connection: Connection, books: Mapping[int, tuple[float, float]]) -> None:
    """Add to `spent` and take from `reserved`: job id -> (spent, freed), in the order of ids so that none deadlock."""
    for job_id, (spent, freed) in sorted(books.items()):
        if spent or freed:
            connection.execute(
                update(JOB).where(JOB.c.id == job_id).values(spent=JOB.c.spent + spent, reserved=JOB.c.reserved - freed)
            )


def charged(usage: Mapping[str, Any], unit: str | None) -> float:
    """What a usage row costs in a cap's unit; reused work is not spent again."""
    if usage.get("reused"):
        return 0.0
    if unit == "samples":
        return float(usage.get("samples", 0))  # a worker of an earlier version does not say
    if unit == "tokens":
        return float(usage["canonical_prompt_tokens"] + usage["generated_tokens"] + usage["scored_tokens"])
    if unit == "flops":
        return float(usage["flops_canonical"] or 0.0)
    return float(usage["dollars"] or 0.0) if unit == "usd" else 0.0

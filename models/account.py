"""The account of a job: what it was, what came of it and all that it cost, in flat rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from models import tables
from models.breakdown import breakdown, idle_seconds
from models.reports import plain
from models.transitions import JOB, table

DATASET = table(tables.Dataset)


def accounts(connection: Connection, job_ids: Sequence[int], by: str | None = None) -> list[dict[str, Any]]:
    """One row for each job, where `by` is given followed by one for each of its groups (`models.breakdown.GROUPS`).

    All rows have the same columns: the job, `by` and `value` of the group (both None in the job's own row), what
    `models.breakdown.breakdown` gives, its interval as `accuracy_low` and `accuracy_high`, and `idle_seconds`, which is
    the whole job's alone. A column that the view `cost_accuracy` also has means the same there.
    """
    rows = []
    for job_id in job_ids:
        job = _job(connection, job_id)
        rows.append(_row(job, None, breakdown(connection, job_id)[0], idle_seconds(connection, job_id)))
        rows += [_row(job, by, group, None) for group in (breakdown(connection, job_id, by) if by else [])]
    return rows


def _job(connection: Connection, job_id: int) -> dict[str, Any]:
    columns = [
        JOB.c[name]
        for name in (
            "name",
            "generator",
            "verifier",
            "strategy",
            "budget",
            "oracle",
            "imported_from",
            "state",
            "reason",
        )
    ]
    found = connection.execute(
        select(JOB.c.id.label("job_id"), DATASET.c.name.label("dataset"), *columns)
        .join(DATASET, DATASET.c.id == JOB.c.dataset_id)
        .where(JOB.c.id == job_id)
    )
    return plain(found.one())


def _row(job: dict[str, Any], by: str | None, group: dict[str, Any], idle: float | None) -> dict[str, Any]:
    rest = {name: value for name, value in group.items() if name not in ("value", "low", "high")}
    interval = {"accuracy_low": group["low"], "accuracy_high": group["high"]}
    return {**job, "by": by, "value": group["value"], **rest, **interval, "idle_seconds": idle}

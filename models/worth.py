"""What a report says of which of its jobs are worth their cost: the document's `frontier` and `decisions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from models import decisions
from models.aligned import align_jobs
from models.errors import UserError
from models.frontier import frontier_of
from models.transitions import JOB
from models.whatif import AS_BOOKED, Prices


def frontier_and_decisions(
    connection: Connection, job_ids: Sequence[int], unit: str = "flops", prices: Prices = AS_BOOKED
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The points of the frontier of each dataset's jobs, and the decisions between them with what one more right answer
    costs. Oracles take no part; jobs that cannot be compared are in a decision's details as `left_out`.

    Datasets in which nothing can be compared are passed over.
    """
    rows = connection.execute(
        select(JOB.c.id, JOB.c.dataset_id)
        .where(JOB.c.id.in_(list(job_ids)), JOB.c.oracle.is_(False))
        .order_by(JOB.c.id)
    )
    by_dataset: dict[int, list[int]] = {}
    for row in rows:
        by_dataset.setdefault(row.dataset_id, []).append(row.id)
    points, said = [], []
    for chosen in by_dataset.values():
        try:
            aligned = align_jobs(connection, chosen, unit, prices)
        except UserError:
            continue
        found = frontier_of(aligned)
        which = decisions.frontier_decision(aligned, found)
        which.details["left_out"] = [{"job_id": one.run.job_id, "reason": one.reason} for one in aligned.left_out]
        points += decisions.frontier_rows(aligned, found)
        said += [which, *(decisions.step_decision(aligned, step) for step in found.steps)]
    return points, [decision.to_dict() for decision in said]

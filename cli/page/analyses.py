"""What the page shows beyond its jobs' own figures: groups, comparisons, replayed curves and decisions, as the commands
`report`, `curves` and `decide` tell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from models.breakdown import GROUPS, breakdown
from models.pairs import compare

Job = dict[str, Any]

SHOWN = ("majority_vote", "weighted_vote", "best_of_n", "pass@k")
"""Of the replayed curves: the ways to answer, and what the best choice would bring."""


def groups(connection: Connection, job_id: int) -> dict[str, list[dict[str, Any]]]:
    """A job's figures by each kind of group of which it has several."""
    found = {kind: breakdown(connection, job_id, kind) for kind in GROUPS}
    return {kind: rows for kind, rows in found.items() if len(rows) > 1}


def pair(connection: Connection, a: Job, b: Job) -> dict[str, Any] | None:
    """Job `b` against job `a` on the problems graded in both; None where there are none."""
    found = compare(connection, a["job_id"], b["job_id"])
    if found.gain is None:
        return None
    names = ("a", "b", "problems", "gain", "low", "high", "p", "cost_ratio")
    return {name: getattr(found, name) for name in names}


def curves(connection: Connection, jobs: Sequence[Job]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The replay of the job with the most samples among those that could share them, and why others have none."""
    from models.curves import refusal, replayed_curves

    refused, largest = [], dict[tuple[Any, ...], Job]()
    for job in jobs:
        if job["accuracy"] is None or not job["samples"]:
            continue
        reason = refusal(connection, job["job_id"])
        if reason is not None:
            refused.append({"job_id": job["job_id"], "reason": reason})
            continue
        drawn = (job["dataset_id"], job["generator"])
        rank = job["samples"], job["verifier"] is not None
        if drawn not in largest or rank > (largest[drawn]["samples"], largest[drawn]["verifier"] is not None):
            largest[drawn] = job
    several = [job for job in largest.values() if job["samples"] > job["queries"]]
    replayed = (curve for job in several for curve in replayed_curves(connection, job["job_id"]))
    return [curve for curve in replayed if curve["strategy"] in SHOWN], refused


def decisions(connection: Connection, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """For each dataset with several jobs: which of them are worth their FLOPs, and what a step up costs."""
    from models.worth import frontier_and_decisions

    several = Counter(job["dataset_id"] for job in jobs if job["accuracy"] is not None and not job["oracle"])
    chosen = [job["job_id"] for job in jobs if several[job["dataset_id"]] > 1 and job["accuracy"] is not None]
    return frontier_and_decisions(connection, chosen)[1]
